"""The conversation as the faces of the program drive it.

Beside the chat that is open, it holds the settings and the one running turn. Each way to answer (a
new question, an edited one, once more, on with the same sentence) is an async generator of the
events in ``chatbot.events``.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from types import MappingProxyType
from typing import Any, Final

import msgspec

from chatbot.conversation.attachments import Attachments, files_to_keep
from chatbot.conversation.branching import branch_at
from chatbot.conversation.journal import Journal
from chatbot.conversation.knowledge import Knowledge
from chatbot.conversation.open_chat import OpenChat
from chatbot.conversation.stopping import Stopped, until_stopped
from chatbot.conversation.thinking import refuse_thinking
from chatbot.conversation.titles import title_of
from chatbot.conversation.tools import Tools
from chatbot.conversation.tree import Conversation
from chatbot.conversation.turn import Turn
from chatbot.conversation.variants.batch_turn import BatchTurn
from chatbot.conversation.variants.comparison_turn import ComparisonTurn
from chatbot.conversation.variants.turn import VariantsTurn
from chatbot.conversation.variants.wishes import Wish
from chatbot.engine.client import Engine
from chatbot.errors import ChatbotError, CommandError, ConfigError, StoppedError
from chatbot.events import TurnEvent, VariantsEvent
from chatbot.messages import FilePart, Message, SourcesPart, TextPart, ToolResultPart
from chatbot.retrieval.client import Retrieval
from chatbot.settings import (
    KnowledgeFolder,
    Precision,
    Settings,
    find_spec,
    get_value,
    with_value,
    with_values,
)
from chatbot.store.chat_store import ChatStore
from chatbot.terminal_text import clean
from chatbot.tokens import Alternative, TokenRecord

SaveSettings = Callable[[Settings, Collection[str]], None]
"""Keeps the named settings for the next start."""

_NO_OVERRIDES: Final[Mapping[str, str]] = MappingProxyType({})


NOT_READ: Final = "Nothing was asked: its files were not read yet."


class ConversationManager(OpenChat):
    """The open chat, its settings and its running turn."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        save: SaveSettings,
        store: ChatStore | None = None,
        retrieval: Retrieval | None = None,
        *,
        keeps_folders: bool = True,
        tools: Tools | None = None,
    ) -> None:
        """Begin with an empty conversation.

        Args:
            engine: makes the answers.
            settings: as they are in force.
            save: keeps settings for the next start.
            store: keeps the conversations; without one they live in memory alone.
            retrieval: searches the knowledge folders; without one there is no knowledge.
            keeps_folders: changes of the folders are kept for the next start; they are not
                where the folders are those of this run alone.
            tools: what the model may call; without them it calls nothing.
        """
        self.engine = engine
        self.settings = settings
        self.knowledge: Knowledge | None = None
        if retrieval:
            self.knowledge = Knowledge(retrieval, self._settings_of_turn, self._change_folders)
        self.keeps_folders = keeps_folders
        self.tools = tools
        self._save = save
        self.attachments = Attachments(retrieval) if retrieval else None
        """Reads files for questions; None where nothing can."""
        self._reading_files: asyncio.Event | None = None
        """While files are read for a question: set to have no more of it."""
        self._turn: Turn | None = None
        self._variants: VariantsTurn | None = None
        """Several answers that are being made at once; never beside another turn."""
        self._is_idle = asyncio.Event()
        """No answer is being made."""
        self._is_idle.set()
        self._overrides: dict[str, str] = {}
        """Settings of the running turn alone, as the user would type them."""
        self._last_working: tuple[str, Precision] | None = None
        self.can_come_back = False
        """Whether the face can show an answer further that went on while another chat was open."""
        super().__init__(store)

    def _set(self, conversation: Conversation, journal: Journal | None) -> None:
        super()._set(conversation, journal)
        if self.tools:
            self.tools.forget_chat()

    @property
    def _running(self) -> Turn | VariantsTurn | None:
        """The answer that is being made in the chat that is open."""
        return None if self.left else self._turn or self._variants

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being made, in this chat or another, or files are read for it."""
        return not self._is_idle.is_set()

    @property
    def is_answering(self) -> bool:
        """Whether an answer is being made in the chat that is open."""
        return self.is_busy and self.left is None

    @property
    def may_be_left(self) -> bool:
        """Whether a single answer is being made, which is kept, and can be shown later."""
        return self.can_come_back and self.is_kept and self._turn is not None

    def require_free(self) -> None:
        """See that no answer is being made, in whatever chat.

        Raises:
            CommandError: one is.
        """
        self.require_idle()
        if self.left:
            title = self.left.conversation.title
            raise CommandError(f"An answer is being written in “{title}”; wait, or stop it there.")

    async def reply(
        self,
        text: str,
        overrides: Mapping[str, str] = _NO_OVERRIDES,
        *,
        schema: str = "",
        files: Sequence[str] = (),
        is_foreign: bool = False,
    ) -> AsyncGenerator[TurnEvent]:
        """Ask a question below the branch that is shown.

        Args:
            text: the question.
            overrides: settings by name, as the user would type them, for this answer alone.
                One that the user changes while the answer is written no longer counts.
            schema: a JSON schema to hold the whole answer to; then no tool is called.
            files: to attach, by name.
            is_foreign: see ``TextPart``.

        Raises:
            AttachmentError: a file cannot be attached; nothing is asked.
            CommandError: an answer is being written.
            SettingError: an override is unknown or not allowed; nothing is asked.
        """
        attached = await self._read_files(files)
        question = new_question(text, self.conversation.active_leaf, attached, is_foreign)
        answering = self._answer(question, is_new=True, overrides=overrides, schema=schema)
        async with aclosing(answering) as events:
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

    async def edit(
        self, text: str, question_id: str = "", *, files: Sequence[str] = ()
    ) -> AsyncGenerator[TurnEvent]:
        """Ask a question in other words, beside the old one.

        Args:
            text: the other words.
            question_id: of which question; empty for the last one.
            files: to attach, by name, as they are now; see ``files_to_keep`` for the others.

        Raises:
            AttachmentError: a file cannot be attached; nothing is asked.
            CommandError: nothing was asked yet, or there is no such question any more.
        """
        if question_id and question_id not in self.conversation:
            raise CommandError("The question that you edited is not in this chat any more.")
        old = self.question_to_edit(question_id)
        attached = (*files_to_keep(old, text, files), *await self._read_files(files))
        question = new_question(text, old.parent_id, attached, old.is_foreign)
        async with aclosing(self._answer(question, is_new=True)) as events:
            async for event in events:
                yield event

    async def answer_variously(
        self,
        wish: Wish,
        text: str = "",
        *,
        schema: str = "",
        files: Sequence[str] = (),
        is_foreign: bool = False,
    ) -> AsyncGenerator[VariantsEvent]:
        """Answer one question several times; all answers are siblings, and the first is shown.

        Args:
            wish: the answers that are wanted.
            text: a new question; empty for the last one, whose answers so far stay.
            schema: a JSON schema to hold each answer to.
            files: to attach to a new question, by name.
            is_foreign: of a new question; see ``TextPart``.

        Raises:
            AttachmentError: a file cannot be attached; nothing is asked.
            CommandError: an answer is being written, or nothing was asked yet.
        """
        self.require_free()
        conversation = self.conversation
        question = conversation.last("user")
        if text:
            attached = await self._read_files(files)
            question = new_question(text, conversation.active_leaf, attached, is_foreign)
        if question is None:
            raise CommandError("There is no question to answer yet; ask one first.")
        turn_type = ComparisonTurn if wish.kind == "comparison" else BatchTurn
        if text:
            if not conversation.title:
                conversation.rename(title_of(question.text), is_given=False)
            conversation.add(question)
        self._variants = turn = turn_type(
            self.engine,
            conversation,
            question,
            wish,
            self._journal,
            self.knowledge,
            schema,
            self.settings,
        )
        self._is_idle.clear()
        self._deleted_chat = self._undoable = None
        try:
            async with aclosing(turn.run()) as events:
                async for event in events:
                    yield event
        finally:
            self._variants = None
            if self.store:
                self._records.clear()
            self._records.update(turn.records)
            self._is_idle.set()

    async def continue_answer(self) -> AsyncGenerator[TurnEvent]:
        """Go on with the last answer in the same sentence, where it did not come to its end.

        Raises:
            CommandError: there is no such answer.
        """
        self.require_free()
        path = self.conversation.path()
        answer = path[-1] if path else None
        if answer is None or answer.role != "assistant" or answer.parent_id is None:
            raise CommandError("There is no answer to continue; ask a question first.")
        conversation, answer = self.conversation, await self._as_kept(answer)
        if answer.making and answer.making.finish_reason == "stop":
            raise CommandError("The answer came to its end; /regen answers once more.")
        question = conversation[answer.parent_id or ""]
        has_results = any(isinstance(part, ToolResultPart) for part in answer.parts)
        # An answer without a word has no sentence to go on with: it is made once more.
        begun = answer if answer.text.strip() or has_results else None
        records = await self.tokens_of(answer.id) if begun else ()
        self._require_same(conversation)
        answering = self._answer(question, is_new=False, begun=begun, records=records)
        async with aclosing(answering) as events:
            async for event in events:
                yield event

    async def _as_kept(self, answer: Message) -> Message:
        """An answer of this chat as it is on the disk, where another running chatbot may have gone
        on with it: that is not to be written over.

        Raises:
            CommandError: it is doing so now.
        """
        conversation = self.conversation
        kept = next((one for one in await self._kept() if one.id == answer.id), answer)
        self._require_same(conversation)
        if answer.id in self.written_elsewhere:
            raise CommandError("Another running chatbot is writing this answer.")
        self._take_over(kept)
        return kept

    async def branch_from_token(
        self, answer_id: str, index: int, choice: Alternative | str
    ) -> AsyncGenerator[TurnEvent]:
        """Go another way from a token of an answer: beside it, with another token there.

        A running answer is stopped where it is, and kept.

        Args:
            answer_id: the answer.
            index: the token to replace.
            choice: one of its alternatives, or a text.

        Raises:
            CommandError: there is no such answer or token, or nothing can go on from it.
            StoreError: what was recorded of the answer cannot be read.
        """
        answer: Message | None = None
        if self._turn and self._turn.answer_id == answer_id:
            answer = self._turn.so_far
            await self._end_turn()
        self.require_free()
        if answer_id in self.written_elsewhere:
            raise CommandError("Another running chatbot is writing this answer.")
        conversation = self.conversation
        if answer_id in conversation:  # with no whole character it does not come into the tree
            answer = conversation[answer_id]
        if answer is None:
            raise CommandError("This answer is not in this chat any more.")
        branch = branch_at(answer, await self.tokens_of(answer_id), index, choice)
        self._require_same(conversation)
        self.require_free()
        conversation.add(branch.begun)
        question = conversation[answer.parent_id or ""]
        answering = self._answer(question, is_new=False, begun=branch.begun, records=branch.records)
        async with aclosing(answering) as events:
            async for event in events:
                yield event

    async def _end_turn(self) -> None:
        """Stop the running answer, and wait until it is kept."""
        self.stop()
        await self._is_idle.wait()

    async def tokens_of(self, answer_id: str) -> tuple[TokenRecord, ...]:
        """What the tokens of an answer were drawn from, as far as it is written.

        Returns:
            Empty where it was not recorded.

        Raises:
            StoreError: the records cannot be read.
        """
        if self._turn and self._turn.answer_id == answer_id:
            return self._turn.records
        if answer_id in self._records:
            return self._records[answer_id]
        if self.store is None:
            return ()
        return await self.store.load_tokens(self.conversation.id, answer_id)

    def is_writing(self, answer_id: str) -> bool:
        """Whether this answer is being written now."""
        return self._turn is not None and self._turn.answer_id == answer_id

    def answer_so_far(self, answer_id: str) -> Message:
        """An answer, finished or running.

        Raises:
            KeyError: there is no such answer.
        """
        if self._turn and self._turn.answer_id == answer_id:
            return self._turn.so_far
        return self.conversation[answer_id]

    @property
    def found(self) -> SourcesPart | None:
        """The sources of the running answer, once they are found."""
        return self._turn.found if self._turn and not self.left else None

    @property
    def has_begun(self) -> bool:
        """Whether something of a running answer is there."""
        return self._running is not None and self._running.has_begun

    def hold(self, num_steps: int | None = 0) -> None:
        """Hold the running answers after so many more tokens of each; None lets them go on."""
        if self._running:
            self._running.hold(num_steps)

    def answer_now(self) -> None:
        """Have the running answers think no longer, all of them, and come.

        Raises:
            CommandError: no answer is being written, or not by a model that thinks.
        """
        if self._running is None:
            raise CommandError("There is no answer being written; ask a question first.")
        info = self.engine.status.info
        is_alone = self._variants is None or self._variants.wish.kind != "comparison"
        if info is not None and not info.thinks and is_alone:
            raise CommandError(f"{info.name} does not think before it answers.")
        self._running.answer_now()

    @property
    def is_held(self) -> bool:
        """Whether the running answers are held, or about to be, in whichever chat."""
        running = self._turn or self._variants
        return running is not None and running.is_held

    async def _read_files(self, names: Sequence[str]) -> tuple[FilePart, ...]:
        """Files for a question; nothing else is begun meanwhile.

        Raises:
            AttachmentError: one of them cannot be attached.
            CommandError: an answer is being written.
            StoppedError: the user would rather not wait.
        """
        if not names or self.attachments is None:
            return ()
        self.require_free()
        self._reading_files = stop = asyncio.Event()
        self._is_idle.clear()
        try:
            return await until_stopped(self.attachments.read(names), stop)
        except Stopped:
            raise StoppedError(NOT_READ) from None
        finally:
            self._reading_files = None
            self._is_idle.set()

    async def _answer(
        self,
        question: Message,
        *,
        is_new: bool,
        begun: Message | None = None,
        overrides: Mapping[str, str] = _NO_OVERRIDES,
        schema: str = "",
        records: Sequence[TokenRecord] = (),
    ) -> AsyncGenerator[TurnEvent]:
        self.require_free()
        wanted = {find_spec(name).name: text for name, text in overrides.items()}
        with_values(self.settings, wanted)
        conversation = self.conversation
        turn = Turn(
            self.engine,
            conversation,
            question,
            self._settings_of_turn,
            self._journal,
            begun,
            self.knowledge,
            self.tools,
            schema,
            records,
        )
        self._turn, self._overrides = turn, wanted
        self._is_idle.clear()
        self._deleted_chat = self._undoable = None
        try:
            if is_new:
                if not conversation.title:
                    conversation.rename(title_of(question.text), is_given=False)
                conversation.add(question)
            async with aclosing(turn.run()) as events:
                async for event in events:
                    yield event
        finally:
            self._turn, self._overrides = None, {}
            if self.store:
                self._records.clear()  # they are on the disk, or on their way
            self._records[turn.answer_id] = turn.records
            self._is_idle.set()
            if self.left:
                self.make_good()
                self.left = None

    def _settings_of_turn(self) -> Settings:
        return with_values(self.settings, self._overrides)

    def stop(self) -> None:
        """End the running answer, if there is one, at its next token."""
        if self._running:
            self._running.stop()
        if self._reading_files:
            self._reading_files.set()

    def change_setting(self, name: str, text: str) -> Any:
        """Set a setting by name, for the running answers too, and keep it for the next start.

        Model and precision are only noted: ``load_model`` brings them about.

        Returns:
            The value that ``text`` stands for.

        Raises:
            SettingError: the name is unknown or the value not allowed; nothing is changed.
            CommandError: several answers are being written that differ in it, or the model cannot
                be told to think or not; nothing is changed.
            ConfigError: the value is in force but could not be written to the disk.
        """
        spec = find_spec(name)
        changed = with_value(self.settings, spec.name, clean(text))
        info = self.engine.status.info
        if spec.name == "thinking" and info and info.thinking_switch == "none":
            refuse_thinking(changed, info)
        if spec.is_sampling and self._variants:
            self._variants.change_setting(spec, get_value(changed, spec.name))
        self.settings = changed
        self._overrides.pop(spec.name, None)  # what is said last counts
        if spec.is_sampling and self._turn:
            self._turn.set_sampling(self._settings_of_turn().sampling)
        if self.knowledge and spec.name in ("embedding_model", "num_sources"):
            self.knowledge.settings_changed()
        if spec.name == "context_length":
            self.engine.reserve(self.settings.context_length)
        self._save(self.settings, (spec.name,))
        return get_value(self.settings, spec.name)

    def _change_folders(self, folders: tuple[KnowledgeFolder, ...]) -> None:
        self.settings = msgspec.structs.replace(self.settings, folders=folders)
        if self.keeps_folders:
            self._save(self.settings, ("folders",))

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
        if self.knowledge:
            self.knowledge.warm()

    async def _load_last_working(self) -> None:
        if self._last_working is None:
            return
        model, precision = self._last_working
        self.settings = msgspec.structs.replace(self.settings, model=model, precision=precision)
        with suppress(ConfigError):
            self._save(self.settings, ("model", "precision"))
        await self.engine.ensure_loaded(model, precision)


def _model_of(settings: Settings) -> tuple[str, Precision]:
    return settings.model, settings.precision


def new_question(
    text: str, parent_id: str | None, files: Sequence[FilePart] = (), is_foreign: bool = False
) -> Message:
    """A question below this message, with these files; see ``TextPart`` for ``is_foreign``."""
    part = TextPart(clean(text), is_foreign)
    return Message(role="user", parts=(*files, part), parent_id=parent_id)
