"""The folders that a conversation draws on: which they are, and how they are kept up to date.

Knows neither questions nor answers, neither the language model nor a screen.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from chatbot.conversation.folders import (
    FolderState,
    checked_folder,
    find_folder,
    is_home,
    path_of,
    problem_of,
)
from chatbot.errors import ChatbotError, KnowledgeError
from chatbot.retrieval.client import Retrieval, RetrievalStatus
from chatbot.retrieval.values import FolderStatus, IndexOptions
from chatbot.settings import MANUAL, KnowledgeFolder, Settings

ChangeFolders = Callable[[tuple[KnowledgeFolder, ...]], None]
"""Takes other folders into the settings, and keeps them for the next start."""


class KeptFolders:
    """The folders in force, and the verbs on them."""

    def __init__(
        self, retrieval: Retrieval, settings: Callable[[], Settings], change: ChangeFolders
    ) -> None:
        """Prepare; nothing is started.

        Args:
            retrieval: indexes and searches.
            settings: gives the settings as they are at the moment of asking.
            change: puts other folders in force.
        """
        self.retrieval = retrieval
        self.error = ""
        """Why the folders are not being kept up to date, in one sentence; else empty."""
        self._settings = settings
        self._change = change
        self._watchers: list[Callable[[], None]] = []
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        """The indexes are further than when it was last cleared."""
        self._keeping: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None
        self._refused: KnowledgeFolder | None = None
        """The last folder that the user must name twice."""
        self._is_searched = False
        """Somebody searches by hand, or a tool does, though questions are not searched for."""
        retrieval.on_status(self._status_changed)

    @property
    def folders(self) -> tuple[FolderState, ...]:
        """Every folder of the settings, those that are off or not there too."""
        statuses = {status.folder: status for status in self.retrieval.status.folders}
        states = []
        for folder in self._settings().folders:
            path, problem = str(path_of(folder)), problem_of(folder)
            status = statuses.get(path) if folder.is_on and not problem else None
            states.append(FolderState(folder=folder, path=path, problem=problem, status=status))
        return tuple(states)

    @property
    def statuses(self) -> list[FolderStatus]:
        """How those stand that are on and there, as far as it is known."""
        return [state.status for state in self.folders if state.status]

    @property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths of the folders that are on and there, each once."""
        found = [s.path for s in self.folders if s.folder.is_on and not s.problem]
        return tuple(dict.fromkeys(found))

    @property
    def is_on(self) -> bool:
        """Whether questions are searched for: a folder is on, and sources are wanted."""
        settings = self._settings()
        return settings.num_sources > 0 and any(f.is_on for f in settings.folders)

    @property
    def is_kept_up(self) -> bool:
        """Whether the folders are indexed: for questions, or for whoever searches by hand."""
        return self.is_on or self._is_searched

    def is_strict(self, *, has_tools: bool = False) -> bool:
        """Whether the program declines when nothing is relevant; see ``Grounding``.

        Args:
            has_tools: the user switched tools on, so that the model may find an answer by them.
        """
        settings = self._settings()
        if settings.grounding == "auto":
            has_own = any(f.is_on and f.path != MANUAL for f in settings.folders)
            return has_own and not has_tools
        return settings.grounding == "strict"

    @property
    def options(self) -> IndexOptions:
        """How folders are indexed."""
        return IndexOptions(embedding_model=self._settings().embedding_model)

    def on_change(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call ``watcher`` when the folders, or how far their indexes are, change.

        Returns:
            What ends that; to be called once.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def start(self) -> None:
        """Keep the folders up to date in the background, from now on; needs the event loop."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self.keep_up())

    def keep_searchable(self) -> None:
        """Keep the folders up to date from now on, also where questions are not searched for."""
        self._is_searched = True
        self.start()
        self.settings_changed()

    async def close(self) -> None:
        """End the work in the background."""
        tasks = [task for task in (self._keeping, self._warming) if task]
        self._keeping = self._warming = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def keep_up(self) -> None:
        """Index the folders that are on, and follow every change of them, until cancelled."""
        while True:
            self._wake.clear()
            wake = asyncio.ensure_future(self._wake.wait())
            index = asyncio.ensure_future(self._index_once())
            try:
                await asyncio.wait({index, wake}, return_when=asyncio.FIRST_COMPLETED)
                # Work that ended by itself begins anew only when there is a reason to.
                await wake
            finally:
                wake.cancel()
                index.cancel()
                await asyncio.gather(wake, index, return_exceptions=True)

    async def _index_once(self) -> None:
        paths = self.paths
        if not paths or not self.is_kept_up:
            self.retrieval.cancel_index()
            return
        error = ""
        try:
            await self.retrieval.index(paths, self.options, watch=True)
        except ChatbotError as failure:
            error = str(failure)
        if error != self.error:
            self.error = error
            self._tell()

    async def bring_up_to_date(self) -> None:
        """Index the folders that are on, once; returns when all is embedded.

        Raises:
            KnowledgeError: it cannot be done.
            WorkerError: the retrieval process died.
        """
        if self.is_on and (paths := self.paths):
            await self.retrieval.index(paths, self.options, watch=False)

    @property
    def is_warm(self) -> bool:
        """Whether the embedding model is loaded, or could not be: no search waits for it."""
        return self._warming is not None and self._warming.done()

    def warm(self) -> None:
        """Have the embedding model loaded in the background, where questions need it."""
        if self.is_on and self.paths and (self._warming is None or self._warming.done()):
            self._warming = asyncio.create_task(_quietly(self.retrieval.warm(self.options)))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Embed nothing in the background meanwhile: the processor is wanted elsewhere."""
        self.retrieval.pause()
        try:
            yield
        finally:
            self.retrieval.resume()

    def settings_changed(self) -> None:
        """Go on with the folders and the embedding model as they are set now."""
        self._wake.set()
        self._tell()

    def add_folder(self, text: str) -> FolderState:
        """Search another folder from now on; one that is off is switched on.

        Args:
            text: its path as typed, or ``manual``. The user's whole own folder has to be
                named twice.

        Raises:
            KnowledgeError: there is no such folder, it is searched already, or it is too much.
            ConfigError: it is searched, but could not be kept for the next start.
        """
        folder = checked_folder(text)
        folders = self._settings().folders
        same = next((f for f in folders if path_of(f) == path_of(folder)), None)
        if same and same.is_on:
            raise KnowledgeError(f"{same.path} is searched already.")
        if same:
            return self.switch_folder(same.path, is_on=True)
        if is_home(folder) and self._refused != folder:
            self._refused = folder
            raise KnowledgeError(
                f"{folder.path} holds everything of yours; name the same once more to add it "
                "all the same, or better a folder in it."
            )
        return self._put((*folders, folder), folder)

    def remove_folder(self, text: str) -> KnowledgeFolder:
        """Search a folder no longer, and forget it; what is in it stays as it is.

        Raises:
            KnowledgeError: there is no such folder.
            ConfigError: it is gone, but that could not be kept for the next start.
        """
        folders = self._settings().folders
        folder = find_folder(folders, text)
        self._put(tuple(f for f in folders if f != folder), folder)
        return folder

    def switch_folder(self, text: str, *, is_on: bool) -> FolderState:
        """Search a folder, or leave it alone until it is switched on again.

        Raises:
            KnowledgeError: there is no such folder.
            ConfigError: it is done, but could not be kept for the next start.
        """
        folders = self._settings().folders
        folder = find_folder(folders, text)
        changed = KnowledgeFolder(folder.path, is_on=is_on)
        return self._put(tuple(changed if f == folder else f for f in folders), changed)

    def _put(self, folders: tuple[KnowledgeFolder, ...], folder: KnowledgeFolder) -> FolderState:
        try:
            self._change(folders)
        finally:
            self.settings_changed()
        state = next((s for s in self.folders if s.folder == folder), None)
        return state or FolderState(folder=folder, path=str(path_of(folder)))

    def _status_changed(self, status: RetrievalStatus) -> None:
        self._tell()

    def _tell(self) -> None:
        self._moved.set()
        for watcher in tuple(self._watchers):
            watcher()


async def _quietly(work: Coroutine[Any, Any, object]) -> None:
    """Do what may fail: whoever needs it meets the same failure, and says so."""
    with suppress(ChatbotError):
        await work
