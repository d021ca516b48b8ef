"""The conversation as the faces of the program drive it.

Holds the tree, the settings and the one running turn. Each way to answer (a new question,
an edited one, once more) is an async generator of the events in ``chatbot.events``.
"""

from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing, suppress
from typing import Any

import msgspec

from chatbot.conversation.prompt_building import build_prompt
from chatbot.conversation.tree import Conversation
from chatbot.conversation.turn import Turn
from chatbot.engine.client import Engine
from chatbot.engine.protocol import Rendered
from chatbot.errors import ChatbotError, CommandError, ConfigError
from chatbot.events import TurnEvent
from chatbot.messages import Message, TextPart
from chatbot.settings import Precision, Settings, find_spec, get_value, with_value
from chatbot.terminal_text import clean

SaveSettings = Callable[[Settings, Collection[str]], None]
"""Keeps the named settings for the next start."""


class ConversationManager:
    """One conversation, its settings and its running turn."""

    def __init__(self, engine: Engine, settings: Settings, save: SaveSettings) -> None:
        self.engine = engine
        self.settings = settings
        self.conversation = Conversation()
        self._save = save
        self._turn: Turn | None = None
        self._last_working: tuple[str, Precision] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being made."""
        return self._turn is not None

    async def reply(self, text: str) -> AsyncGenerator[TurnEvent]:
        """Ask a question below the branch that is shown."""
        question = _question(text, self.conversation.active_leaf)
        async with aclosing(self._answer(question, is_new=True)) as events:
            async for event in events:
                yield event

    async def regenerate(self) -> AsyncGenerator[TurnEvent]:
        """Answer the last question once more; the answers so far stay as variants.

        Raises:
            CommandError: nothing was asked yet.
        """
        question = self.conversation.last("user")
        if question is None:
            raise CommandError("There is no question to answer again; ask one first.")
        async with aclosing(self._answer(question, is_new=False)) as events:
            async for event in events:
                yield event

    async def edit(self, text: str) -> AsyncGenerator[TurnEvent]:
        """Ask the last question in other words, beside the old one.

        Raises:
            CommandError: nothing was asked yet.
        """
        old = self.conversation.last("user")
        if old is None:
            raise CommandError("There is no question to edit; ask one first.")
        async with aclosing(self._answer(_question(text, old.parent_id), is_new=True)) as events:
            async for event in events:
                yield event

    async def _answer(self, question: Message, *, is_new: bool) -> AsyncGenerator[TurnEvent]:
        if self._turn is not None:
            raise CommandError("An answer is being written; stop it first (Esc).")
        turn = Turn(self.engine, self.conversation, question, lambda: self.settings)
        self._turn = turn
        try:
            if is_new:
                self.conversation.add(question)
            async with aclosing(turn.run()) as events:
                async for event in events:
                    yield event
        finally:
            self._turn = None

    def stop(self) -> None:
        """End the running answer, if there is one, at its next token."""
        if self._turn:
            self._turn.stop()

    def new_chat(self) -> None:
        """Begin an empty conversation."""
        self._require_idle()
        self.conversation = Conversation()

    def open(self, conversation: Conversation) -> None:
        """Go on with another conversation."""
        self._require_idle()
        self.conversation = conversation

    def undo(self) -> Message:
        """Take back the last exchange; it stays in the tree. Returns its question.

        Raises:
            CommandError: there is nothing to take back.
        """
        self._require_idle()
        question = self.conversation.last("user")
        if question is None:
            raise CommandError("There is nothing to take back.")
        self.conversation.show(question.parent_id)
        return question

    def _require_idle(self) -> None:
        if self._turn is not None:
            raise CommandError("An answer is being written; stop it first (Esc).")

    def change_setting(self, name: str, text: str) -> Any:
        """Set a setting by name, for the running answer too, and keep it for the next start.

        Model and precision are only noted: ``load_model`` brings them about.

        Returns:
            The value that ``text`` stands for.

        Raises:
            SettingError: the name is unknown or the value not allowed; nothing is changed.
            ConfigError: the value is in force but could not be written to the disk.
        """
        spec = find_spec(name)
        self.settings = with_value(self.settings, spec.name, clean(text))
        if spec.is_sampling and self._turn:
            self._turn.set_sampling(self.settings.sampling)
        self._save(self.settings, (spec.name,))
        return get_value(self.settings, spec.name)

    def change_theme(self, name: str) -> None:
        """Note another theme, and keep it for the next start."""
        self.settings = msgspec.structs.replace(self.settings, theme=name)
        self._save(self.settings, ("theme",))

    async def load_model(self) -> None:
        """Load the model and precision that are set.

        When that fails, the ones that worked before are set and loaded again, unless others
        were set meanwhile.

        Raises:
            ChatbotError: why it failed.
        """
        wanted = _model_of(self.settings)
        try:
            await self.engine.ensure_loaded(*wanted)
        except ChatbotError:
            if self._last_working not in (None, wanted) and _model_of(self.settings) == wanted:
                # Whatever else goes wrong, the first failure is what the user must hear of.
                with suppress(ChatbotError):
                    await self._load_last_working()
            raise
        self._last_working = wanted

    async def _load_last_working(self) -> None:
        if self._last_working is None:
            return
        model, precision = self._last_working
        self.settings = msgspec.structs.replace(self.settings, model=model, precision=precision)
        with suppress(ConfigError):
            self._save(self.settings, ("model", "precision"))
        await self.engine.ensure_loaded(model, precision)

    async def render_prompt(self) -> Rendered:
        """The very text that the model was last given, or would be given now."""
        info = await self.engine.ensure_loaded(self.settings.model, self.settings.precision)
        question = self.conversation.last("user")
        if question is None:
            raise CommandError("There is no prompt yet; ask a question first.")
        path = self.conversation.path(question.id)
        prompt = await build_prompt(self.engine, path, self.settings, info)
        return await self.engine.render(prompt.messages)


def _model_of(settings: Settings) -> tuple[str, Precision]:
    return settings.model, settings.precision


def _question(text: str, parent_id: str | None) -> Message:
    return Message(role="user", parts=(TextPart(clean(text)),), parent_id=parent_id)
