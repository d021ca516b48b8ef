"""Puts the pieces of one run together: settings, engine, conversation.

The command line makes one of these for whichever face it starts. Imports no torch, no
textual.
"""

from functools import partial
from typing import Self

from chatbot.config import Config, save_settings
from chatbot.conversation.manager import ConversationManager
from chatbot.engine.client import EngineClient
from chatbot.paths import config_file, log_dir
from chatbot.settings import Settings


class Session:
    """An engine and a conversation with it, for as long as an ``async with`` lasts."""

    def __init__(self, config: Config, settings: Settings) -> None:
        """Make the pieces; nothing is started yet.

        Args:
            config: what stands in the settings file.
            settings: what is in force for this run, flags of the command line included.
        """
        self.config = config
        self.engine = EngineClient(log_dir() / "engine.log")
        self.manager = ConversationManager(
            self.engine, settings, partial(save_settings, file=config_file())
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.engine.close()
