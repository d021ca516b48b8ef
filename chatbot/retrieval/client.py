"""Retrieval as the rest of the program sees it. Imports no torch.

``RetrievalClient`` starts the retrieval process when it is needed, starts another when it
died, and keeps one ``RetrievalStatus`` that the screens watch. Knows nothing of conversations.
"""

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from chatbot.errors import KnowledgeError, WorkerError
from chatbot.retrieval.protocol import (
    Cancel,
    DocumentRead,
    Documents,
    Forget,
    Forgotten,
    Found,
    Index,
    Indexed,
    ListDocuments,
    ListPassages,
    MakeMap,
    MapMade,
    Passages,
    Pause,
    Progress,
    ReadDocument,
    ReadFile,
    Resume,
    RetrievalEvent,
    ScoreSupport,
    Search,
    SupportScored,
    Warm,
    Warmed,
)
from chatbot.retrieval.values import (
    DocumentInfo,
    DocumentText,
    FolderMap,
    FolderStatus,
    IndexOptions,
    Passage,
)
from chatbot.worker.client import Call
from chatbot.worker.owner import WorkerOwner
from chatbot.worker.protocol import Failed, Request

RETRIEVAL_COMMAND = (sys.executable, "-P", "-m", "chatbot.retrieval")
"""``-P``: or Python would import first of all what lies in the folder that the user is in."""

_NAME = "the retrieval process"

_AnswerT = TypeVar("_AnswerT")


class RetrievalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far the folders' indexes are."""

    folders: tuple[FolderStatus, ...] = ()
    """Those of the last ``index``, in its order."""
    error: str = ""
    """When the process died: how, in one sentence."""


class Retrieval(Protocol):
    """What a conversation needs of retrieval; a scripted one serves in tests.

    Each verb raises KnowledgeError when it cannot be carried out, and WorkerError when the
    process cannot be started or dies.
    """

    status: RetrievalStatus

    def on_status(self, watcher: Callable[[RetrievalStatus], None]) -> None:
        """Call ``watcher`` whenever the status changes, from the event loop."""
        ...

    async def index(
        self, folders: Sequence[str], options: IndexOptions, *, watch: bool
    ) -> tuple[FolderStatus, ...]:
        """Bring the indexes up to date, in place of what an earlier call was about.

        Returns when that is done or another call takes its place; with ``watch`` the process
        goes on to keep them so, and this returns only then.
        """
        ...

    def cancel_index(self) -> None:
        """End the running ``index``; what is indexed stays."""
        ...

    async def search(
        self,
        query: str,
        folders: Sequence[str],
        options: IndexOptions,
        *,
        num_hits: int = 10,
        reranker: str = "",
    ) -> Found:
        """The passages that fit best."""
        ...

    async def score_support(
        self, sentences: Sequence[str], passages: Sequence[str], options: IndexOptions
    ) -> tuple[tuple[float, ...], ...]:
        """For each sentence, for each passage: how well it supports it, 0 to 1."""
        ...

    async def list_documents(self, folder: str) -> tuple[DocumentInfo, ...]:
        """The files of a folder, those with problems too."""
        ...

    async def list_passages(self, folder: str, file: str) -> tuple[Passage, ...]:
        """The passages of a file, in order."""
        ...

    async def read_document(self, folder: str, file: str) -> DocumentText:
        """The text of an indexed file, as its passages' offsets count it."""
        ...

    async def read_file(self, path: str) -> DocumentText:
        """The text of any file, by its absolute path."""
        ...

    async def make_map(self, folder: str, options: IndexOptions) -> FolderMap:
        """The folder's passages in two dimensions."""
        ...

    async def warm(self, options: IndexOptions) -> Warmed:
        """Load the embedding model, so that the first search need not."""
        ...

    async def forget(self, folder: str) -> int:
        """Delete the index of a folder; returns the bytes freed on the disk."""
        ...

    def pause(self) -> None:
        """Embed nothing in the background until ``resume``."""
        ...

    def resume(self) -> None:
        """Go on in the background."""
        ...


class RetrievalClient:
    """Owner of the retrieval process; see ``Retrieval`` for its verbs."""

    def __init__(self, log_file: Path, command: Sequence[str] = RETRIEVAL_COMMAND) -> None:
        self.status = RetrievalStatus()
        self.log_file = log_file
        """What the process prints beside the protocol."""
        self._owner: WorkerOwner[RetrievalEvent] = WorkerOwner(
            command,
            RetrievalEvent,
            name=_NAME,
            log_file=log_file,
            on_start=self._started,
            on_end=self._ended,
        )
        self._index_id: int | None = None
        self._is_paused = False
        self._watchers: list[Callable[[RetrievalStatus], None]] = []

    @property
    def pid(self) -> int | None:
        """The process's number, while it runs."""
        return self._owner.pid

    def on_status(self, watcher: Callable[[RetrievalStatus], None]) -> None:
        """See ``Retrieval``."""
        self._watchers.append(watcher)

    async def index(
        self, folders: Sequence[str], options: IndexOptions, *, watch: bool
    ) -> tuple[FolderStatus, ...]:
        """See ``Retrieval``."""
        worker = await self._owner.start()
        known = {status.folder: status for status in self.status.folders}
        waiting = [known.get(f, FolderStatus(folder=f)) for f in folders]
        self._report(RetrievalStatus(folders=tuple(waiting)))
        call = worker.call(Index(folders=tuple(folders), options=options, watch=watch))
        self._index_id = call.request_id
        try:
            async for event in call:
                match event:
                    case Progress(status=status) if self._index_id == call.request_id:
                        self._note(status)
                    case Indexed(statuses=statuses):
                        if self._index_id == call.request_id:
                            self._report(RetrievalStatus(folders=statuses))
                        return statuses
                    case Failed():
                        raise KnowledgeError(event.message)
        finally:
            if self._index_id == call.request_id:
                self._index_id = None
        raise WorkerError("The retrieval process ended its work without a result; try again.")

    def cancel_index(self) -> None:
        """See ``Retrieval``."""
        if self._index_id is not None:
            self._send(Cancel(target=self._index_id))

    async def search(
        self,
        query: str,
        folders: Sequence[str],
        options: IndexOptions,
        *,
        num_hits: int = 10,
        reranker: str = "",
    ) -> Found:
        """See ``Retrieval``."""
        request = Search(
            query=query,
            folders=tuple(folders),
            options=options,
            num_hits=num_hits,
            reranker=reranker,
        )
        return await self._ask(request, Found)

    async def score_support(
        self, sentences: Sequence[str], passages: Sequence[str], options: IndexOptions
    ) -> tuple[tuple[float, ...], ...]:
        """See ``Retrieval``."""
        request = ScoreSupport(
            sentences=tuple(sentences), passages=tuple(passages), options=options
        )
        return (await self._ask(request, SupportScored)).scores

    async def list_documents(self, folder: str) -> tuple[DocumentInfo, ...]:
        """See ``Retrieval``."""
        return (await self._ask(ListDocuments(folder=folder), Documents)).documents

    async def list_passages(self, folder: str, file: str) -> tuple[Passage, ...]:
        """See ``Retrieval``."""
        return (await self._ask(ListPassages(folder=folder, file=file), Passages)).passages

    async def read_document(self, folder: str, file: str) -> DocumentText:
        """See ``Retrieval``."""
        return (await self._ask(ReadDocument(folder=folder, file=file), DocumentRead)).document

    async def read_file(self, path: str) -> DocumentText:
        """See ``Retrieval``."""
        return (await self._ask(ReadFile(path=path), DocumentRead)).document

    async def make_map(self, folder: str, options: IndexOptions) -> FolderMap:
        """See ``Retrieval``."""
        return (await self._ask(MakeMap(folder=folder, options=options), MapMade)).map

    async def warm(self, options: IndexOptions) -> Warmed:
        """See ``Retrieval``."""
        return await self._ask(Warm(options=options), Warmed)

    async def forget(self, folder: str) -> int:
        """See ``Retrieval``."""
        return (await self._ask(Forget(folder=folder), Forgotten)).num_bytes

    def pause(self) -> None:
        """See ``Retrieval``. Holds for a process that is started later, too."""
        self._is_paused = True
        self._send(Pause())

    def resume(self) -> None:
        """See ``Retrieval``."""
        self._is_paused = False
        self._send(Resume())

    async def close(self) -> None:
        """End the process; no other is started after it."""
        await self._owner.close()

    def _send(self, request: Request) -> None:
        """Send what has no answer, if there is a process to send it to."""
        worker = self._owner.worker
        if worker and worker.is_alive:
            with contextlib.suppress(WorkerError):
                worker.send(request)

    def _started(self) -> None:
        if self._is_paused:
            self._send(Pause())

    def _ended(self, error: WorkerError) -> None:
        """Tell the screens that the process died."""
        self._report(msgspec.structs.replace(self.status, error=str(error)))

    async def _ask(self, request: Request, answer_type: type[_AnswerT]) -> _AnswerT:
        call: Call[RetrievalEvent] = (await self._owner.start()).call(request)
        async for event in call:
            if isinstance(event, Failed):
                raise KnowledgeError(event.message)
            if isinstance(event, answer_type):
                return event
        raise WorkerError("The retrieval process ended a request without an answer; try again.")

    def _note(self, status: FolderStatus) -> None:
        folders = tuple(status if f.folder == status.folder else f for f in self.status.folders)
        self._report(RetrievalStatus(folders=folders))

    def _report(self, status: RetrievalStatus) -> None:
        self.status = status
        for watcher in self._watchers:
            watcher(status)
