"""Puts the pieces of one run together: settings, engine, retrieval, conversation, store.

The command line makes one of these for whichever face it starts. Imports no torch, no
textual.
"""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Self

from chatbot.config import Config, save_settings
from chatbot.conversation.knowledge import Knowledge
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.tools import FolderAccess, Tools
from chatbot.engine.client import EngineClient, EngineStatus, LoadOptions
from chatbot.errors import KnowledgeError, StoreError, ToolError
from chatbot.models.notebook import Measured, remember_measured
from chatbot.paths import config_dir, config_file, data_dir, log_dir
from chatbot.retrieval.client import RetrievalClient
from chatbot.settings import Settings
from chatbot.store import LATEST
from chatbot.store.chat_store import ChatStore

if TYPE_CHECKING:
    from chatbot.tools.toolbox import ToolBox


class Session:
    """An engine, knowledge folders and a conversation, for as long as an ``async with`` lasts.

    The retrieval process is started when a folder is first indexed or searched; a face starts
    that with ``manager.knowledge.start()`` once it is on the screen.
    """

    def __init__(
        self,
        config: Config,
        settings: Settings,
        *,
        keeps_chats: bool = True,
        tools: Collection[str] | None = None,
        allowed_tools: Collection[str] = (),
    ) -> None:
        """Make the pieces; nothing is started or opened yet.

        Args:
            config: what stands in the settings file.
            settings: what is in force for this run, flags of the command line included.
            keeps_chats: chats go to the disk; else they live in memory alone.
            tools: the tools to have on in this run; None for those that are chosen.
            allowed_tools: those that may run without anybody being asked.
        """
        self.config = config
        self.engine = EngineClient(log_dir() / "engine.log")
        self.engine.options = LoadOptions(
            context_length=settings.context_length, allow_code=frozenset(config.allow_code)
        )
        if keeps_chats:
            self.engine.on_status(_remember_loaded)
        self.store = ChatStore(data_dir()) if keeps_chats else None
        self.retrieval = RetrievalClient(log_dir() / "retrieval.log")
        self.manager = ConversationManager(
            self.engine,
            settings,
            partial(save_settings, file=config_file()),
            self.store,
            self.retrieval,
            # Folders of the command line are for this run alone.
            keeps_folders=settings.folders == config.settings.folders,
            tools=Tools(partial(self._make_tool_box, allowed_tools), tools),
        )
        self.engine.on_status(self._tell_tools)

    @property
    def problems(self) -> tuple[str, ...]:
        """See ``problems_of``."""
        return problems_of(self.config)

    def _tell_tools(self, status: EngineStatus) -> None:
        if status.info:
            self.tools.model_changed(status.info)

    def _make_tool_box(self, allowed: Collection[str]) -> "ToolBox":
        from chatbot.tools.settings import load_tool_settings, save_tool_choice
        from chatbot.tools.toolbox import ToolBox

        return ToolBox(
            load_tool_settings(config_file()),
            user_file=config_dir() / "tools.py",
            log_dir=log_dir(),
            knowledge=FolderAccess(lambda: self.knowledge),
            allowed_by_flag=allowed,
            save=partial(save_tool_choice, file=config_file()),
        )

    @property
    def tools(self) -> Tools:
        """The tools of this run."""
        if self.manager.tools is None:
            raise ToolError("This run was made without tools.")
        return self.manager.tools

    @property
    def knowledge(self) -> Knowledge:
        """The knowledge folders of this run."""
        if self.manager.knowledge is None:
            raise KnowledgeError("This run was made without knowledge folders.")
        return self.manager.knowledge

    async def resume(self, chat: str) -> None:
        """Go on with a stored chat.

        Args:
            chat: the beginning of its id, or ``store.LATEST``.

        Raises:
            StoreError: there is no such chat, or it cannot be read.
        """
        if self.store is None:
            raise StoreError("A chat can only be gone on with where chats are kept.")
        found = await (self.store.latest_chat() if chat == LATEST else self.store.find_chat(chat))
        if found is None:
            raise StoreError("There is no chat to continue yet.")
        await self.manager.open_chat(found)

    def on_problem(self, watcher: Callable[[str], None]) -> None:
        """Have ``watcher`` told, in sentences, when chats cannot be kept or had to be repaired."""
        self.manager.on_problem(watcher)
        if self.store:
            self.store.on_notice(watcher)

    async def close_workers(self) -> None:
        """End the engine, the retrieval process and the tools, and what goes on with them."""
        await self.knowledge.close()
        # An interrupt cancels what either waits for; the other must still come to its end.
        await asyncio.gather(
            self.engine.close(),
            self.retrieval.close(),
            self.tools.close(),
            return_exceptions=True,
        )

    def close_store(self) -> None:
        """Write what is still to be written; the last thing a run does."""
        if self.store:
            self.manager.make_good()
            self.store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close_workers()
        if self.store:
            self.manager.make_good()  # here, because the chat belongs to the event loop
            await asyncio.to_thread(self.store.close)


def problems_of(config: Config) -> tuple[str, ...]:
    """One sentence for each entry of the settings file that is not used, of tools too."""
    from chatbot.tools.settings import load_tool_settings

    return (*config.problems, *load_tool_settings(config_file()).problems)


def _remember_loaded(status: EngineStatus) -> None:
    """Note what a model took, for ``chatbot models memory`` to show beside its estimate."""
    info = status.info
    if status.state != "ready" or info is None or not info.weight_bytes:
        return
    measured = Measured(weight_bytes=info.weight_bytes, device=info.device)
    remember_measured(info.name, info.precision, measured)
