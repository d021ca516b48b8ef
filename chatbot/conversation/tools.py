"""The tools of a run, as the conversation and the faces use them.

Made when they are first needed, since the first frame has no use for them. Knows no screen:
whoever has one sets ``approver``.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from chatbot.conversation.knowledge import Knowledge
from chatbot.engine.protocol.messages import ToolSchema
from chatbot.engine.protocol.model_info import ModelInfo
from chatbot.errors import ChatbotError, KnowledgeError
from chatbot.messages import Message, Source
from chatbot.terminal_text import clean_line

if TYPE_CHECKING:
    from chatbot.tools.approvals import Approver
    from chatbot.tools.toolbox import ToolBox
    from chatbot.tools.turn import ToolTurn

OWN_PROTOCOL = "compact"
"""The dialect of models that were not trained to call tools."""


class Tools:
    """What the model may call, and who is asked whether it may."""

    def __init__(self, make: "Callable[[], ToolBox]", only: Collection[str] | None = None) -> None:
        """Prepare; nothing is started.

        Args:
            make: makes the tool box.
            only: the tools to have on in this run, by name; None for those that are chosen.
        """
        self.approver: Approver | None = None
        """Asks the user; None where there is nobody to ask."""
        self.problem = ""
        """Why the tools that were wanted for this run are not on, in one sentence."""
        self._make = make
        self._only = only
        self._box: ToolBox | None = None
        self._has_defaults = False
        """Harmless tools are on by themselves; not before it is known which model there is."""
        self._starting: asyncio.Task[None] | None = None
        self._watchers: list[Callable[[], None]] = []

    @property
    def box(self) -> "ToolBox":
        """All tools, which are on, and what the user allows them."""
        if self._box is None:
            self._box = self._make()
            self._box.has_defaults = self._has_defaults
            self._box.on_change(self._tell)
            if self._only is not None:
                # Those that are built in need not wait until the others are listed.
                known = {info.definition.name for info in self._box.tools}
                self._box.use_only(known & set(self._only))
        return self._box

    def on_change(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` whenever tools, servers or problems change, from the event loop."""
        self._watchers.append(watcher)

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()

    def start(self) -> None:
        """List the user's own tools and the MCP servers in the background; needs the loop."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
            # What went wrong is told by ``problem``, whoever waits for it or not.
            self._starting.add_done_callback(lambda done: done.cancelled() or done.exception())

    @property
    def is_begun(self) -> bool:
        """Whether somebody had everything listed, or has it listed now."""
        return self._starting is not None

    async def known(self, name: str) -> None:
        """Have everything listed, unless there is a tool of that name already."""
        if all(info.definition.name != name for info in self.box.tools):
            await self.started()

    async def started(self) -> None:
        """Have everything listed.

        Raises:
            ToolError: a tool that was wanted for this run is not there.
        """
        self.start()
        if self._starting:
            await asyncio.shield(self._starting)

    async def _start(self) -> None:
        await self.box.refresh()
        try:
            self.check_names()
            if self._only is not None:
                self.box.use_only(self._only)
        except ChatbotError as error:
            self.problem = str(error)
            self._tell()
            raise

    def check_names(self) -> None:
        """Refuse names of tools that were given for this run and that no tool can have.

        Raises:
            SettingError: there is no such tool.
        """
        self.box.require(self._only or ())

    async def refresh(self) -> None:
        """List the user's own tools and the servers anew."""
        self.start()
        await self.box.refresh()

    async def close(self) -> None:
        """End what runs."""
        if self._starting:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._box:
            await self._box.close()

    def model_changed(self, info: ModelInfo) -> None:
        """Have harmless tools on by themselves only where the model was trained to call any:
        others are worse with tools than without.
        """
        has_defaults = info.tool_dialect not in ("", OWN_PROTOCOL)
        if self._has_defaults != has_defaults:
            self._has_defaults = has_defaults
            if self._box:
                self._box.has_defaults = has_defaults
            self._tell()

    def schemas(self, info: ModelInfo) -> tuple[ToolSchema, ...]:
        """What this model is told of; empty when no tool is on."""
        self.model_changed(info)
        return tuple(
            ToolSchema(
                name=tool.name,
                description=tool.description,
                parameters=msgspec.json.encode(tool.parameters).decode(),
            )
            for tool in self.box.usable
        )

    @property
    def are_chosen(self) -> bool:
        """Whether the user switched one on, rather than that the program has it on by itself."""
        return bool(self._only) or self.box.has_chosen

    def begin_turn(self, path: Iterable[Message], *, is_tainted: bool) -> "ToolTurn":
        """The tools' side of one turn.

        Args:
            path: the messages before the answer.
            is_tainted: text that is not the user's is in the context already; else that is
                looked for in ``path``.
        """
        from chatbot.tools.turn import taints

        return self.box.begin_turn(is_tainted=is_tainted or taints(path), approver=self.approver)

    def forget_chat(self) -> None:
        """Another chat begins: what was allowed for the chat is allowed no more."""
        if self._box:
            self._box.forget_chat()


class FolderAccess:
    """The knowledge folders, as the tools that look into them want it."""

    def __init__(self, knowledge: Callable[[], Knowledge]) -> None:
        self._knowledge = knowledge

    async def search(self, query: str, max_results: int) -> Sequence[Source]:
        """The passages that fit best, the best first."""
        part = await self._knowledge().search(query, num_sources=max_results)
        return part.sources

    async def read(self, file: str) -> str:
        """The text of an indexed document, by its path relative to one of the folders.

        Raises:
            KnowledgeError: no folder has such a document, or it cannot be read.
            WorkerError: the retrieval process died.
        """
        knowledge = self._knowledge()
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise KnowledgeError(f"{clean_line(file)} is in none of the folders.")
        for folder in knowledge.paths:
            documents = await knowledge.retrieval.list_documents(folder)
            if any(document.file == file and not document.problem for document in documents):
                return (await knowledge.retrieval.read_document(folder, file)).text
        raise KnowledgeError(f"{clean_line(file)} is in none of the folders.")
