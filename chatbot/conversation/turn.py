"""One turn: from a question that is already kept to an answer that is kept.

Whatever goes wrong on the way, what was written so far stays and the last event says how
the turn ended. Knows nothing of who renders the events.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from chatbot.conversation.journal import Journal
from chatbot.conversation.prompt_building import build_prompt
from chatbot.conversation.tree import Conversation
from chatbot.engine.client import Engine, Generation
from chatbot.engine.protocol import Delta, Generated, ModelInfo, SamplingApplied
from chatbot.errors import ChatbotError, ContextError, ModelError
from chatbot.events import (
    PromptBuilt,
    SettingChanged,
    TextDelta,
    TurnEvent,
    TurnFinished,
    TurnStarted,
)
from chatbot.messages import FinishReason, Making, Message, SettingChange, Statistics, TextPart
from chatbot.settings import SPECS, Precision, Sampling, Settings
from chatbot.terminal_text import Cleaner

ResultT = TypeVar("ResultT")

FLUSH_SECONDS: Final = 0.25
"""After this long at most, what was shown of an answer is handed to the disk: half of what is
promised, so that the writing itself has the other half."""


class _Stopped(Exception):  # noqa: N818 - not an error: the user's wish
    """The user stopped the turn before the first token."""


class Turn:
    """The answer to one question, while it is being made."""

    def __init__(
        self,
        engine: Engine,
        conversation: Conversation,
        question: Message,
        settings: Callable[[], Settings],
        journal: Journal | None = None,
        begun: Message | None = None,
    ) -> None:
        """Prepare to answer.

        Args:
            engine: makes the answer.
            conversation: where the question is, and the answer will be.
            question: the message to answer.
            settings: gives the settings as they are at the moment of asking.
            journal: keeps the answer on the disk while it is being made.
            begun: an answer that is there already, to go on with in its last sentence.
        """
        self._engine = engine
        self._conversation = conversation
        self._question = question
        self._settings = settings
        self._journal = journal
        self._begun = begun
        self._answer = begun or Message(role="assistant", parts=(), parent_id=question.id)
        self._stop = asyncio.Event()
        self._generation: Generation | None = None
        self._cleaner = Cleaner()
        self._text: list[str] = []
        self._changes: list[SettingChange] = []
        self._sampling: Sampling | None = None
        self._started_with = settings().sampling
        self._info: ModelInfo | None = None
        self._flush_timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        """End the answer at the next token; what there is of it is kept."""
        self._stop.set()
        if self._generation:
            self._generation.cancel()

    def set_sampling(self, sampling: Sampling) -> None:
        """Let the answer go on with these settings from the next token."""
        if self._generation:
            self._generation.set_sampling(sampling)

    async def run(self) -> AsyncGenerator[TurnEvent]:
        """Make the answer; the last event carries it, and it is in the tree by then."""
        reason: FinishReason = "cancelled"  # also when whoever listens goes away
        error = ""
        statistics: Statistics | None = None
        self._flush()
        try:
            text_so_far = self._begun.text if self._begun else ""
            yield TurnStarted(self._question, self._answer.id, text_so_far)
            if self._journal:
                # The question is on the disk before anything can go wrong.
                await self._until_stopped(self._journal.settled())
            generation, built = await self._until_stopped(self._begin())
            yield built
            if self._stop.is_set():
                generation.cancel()
            async for event in generation:
                match event:
                    case Delta(text=raw, num_tokens=num_tokens):
                        if text := self._cleaner.feed(raw):
                            self._append(text)
                            yield TextDelta(text, num_tokens)
                    case SamplingApplied(sampling=sampling):
                        for changed in self._note_changes(sampling):
                            yield changed
                    case Generated(finish_reason=reason, statistics=statistics):
                        pass
        except _Stopped:
            pass
        except ChatbotError as failure:
            reason, error = "error", str(failure)
        finally:
            if self._flush_timer:
                self._flush_timer.cancel()
            if self._generation and statistics is None:
                self._generation.cancel()
            if rest := self._cleaner.flush():
                self._text.append(rest)
            answer = self._as_message(reason, error, statistics)
            if self._begun:
                self._conversation.replace(answer)
            else:
                self._conversation.add(answer)
        if rest:
            yield TextDelta(rest)
        yield TurnFinished(answer)

    def _append(self, text: str) -> None:
        """Note what is being shown, and have it on the disk soon."""
        self._text.append(text)
        if self._journal and self._flush_timer is None:
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        if self._journal:
            # What is on the disk of an answer stands for the case that this program dies.
            self._journal.flush_answer(self._as_message("interrupted", "", None))

    def _as_message(
        self, reason: FinishReason, error: str, statistics: Statistics | None
    ) -> Message:
        """The answer as far as it is written, and how it came about."""
        info = self._info
        settings = self._settings()
        before = self._begun.making if self._begun else None
        making = Making(
            model=info.name if info else settings.model,
            precision=info.precision if info else settings.precision,
            device=info.device if info else "",
            sampling=before.sampling if before else self._started_with,
            changes=(*(before.changes if before else ()), *self._changes),
            finish_reason=reason,
            error=error,
            statistics=_sum(before.statistics if before else None, statistics),
            num_controls_removed=self._cleaner.num_removed
            + (before.num_controls_removed if before else 0),
        )
        parts = self._begun.parts if self._begun else ()
        text = "".join(self._text)
        if parts and isinstance(parts[-1], TextPart):
            parts = (*parts[:-1], TextPart(parts[-1].text + text))
        elif text or not parts:
            parts = (*parts, TextPart(text))
        return msgspec.structs.replace(self._answer, parts=parts, making=making)

    async def _begin(self) -> tuple[Generation, PromptBuilt]:
        """Load the model that is set, build the prompt for it, and start the answer.

        Another model may be set while the first two are under way; then both are done anew.
        """
        while True:
            settings = self._settings()
            model, precision = settings.model, settings.precision
            try:
                self._info = await self._engine.ensure_loaded(model, precision)
                settings = self._settings()
                prompt = await build_prompt(
                    self._engine,
                    self._path(),
                    settings,
                    self._info,
                    pinned=self._conversation.pinned,
                    continues=bool(self._begun),
                )
            except (ContextError, ModelError):
                if self._is_set(model, precision):
                    raise
                continue
            settings = self._settings()
            if self._is_set(model, precision):
                break
        self._started_with = self._sampling = settings.sampling
        # With nothing awaited since the look at the settings, no other load comes in between.
        self._generation = self._engine.generate(
            prompt.messages,
            settings.sampling,
            prompt.built.context_length,
            continue_last=bool(self._begun),
        )
        return self._generation, prompt.built

    def _is_set(self, model: str, precision: Precision) -> bool:
        settings = self._settings()
        return (settings.model, settings.precision) == (model, precision)

    def _path(self) -> tuple[Message, ...]:
        return self._conversation.path((self._begun or self._question).id)

    def _note_changes(self, sampling: Sampling) -> list[SettingChanged]:
        """Where the settings differ from those in use so far."""
        noted = []
        for spec in SPECS:
            if not spec.is_sampling:
                continue
            old, new = getattr(self._sampling, spec.name), getattr(sampling, spec.name)
            if old != new:
                change = SettingChange(
                    offset=sum(map(len, self._text))
                    + (len(self._begun.text) if self._begun else 0),
                    name=spec.name,
                    old=spec.format(old),
                    new=spec.format(new),
                )
                self._changes.append(change)
                noted.append(SettingChanged(change))
        self._sampling = sampling
        return noted

    async def _until_stopped(self, work: Awaitable[ResultT]) -> ResultT:
        """Await ``work``, unless the user stops the turn first.

        Raises:
            _Stopped: the user did.
        """
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _Stopped
            return task.result()
        finally:
            stop.cancel()
            task.cancel()


def _sum(before: Statistics | None, now: Statistics | None) -> Statistics | None:
    """What an answer cost that was gone on with."""
    if before is None or now is None:
        return now or before
    return msgspec.structs.replace(
        now,
        num_new_tokens=before.num_new_tokens + now.num_new_tokens,
        decode_seconds=before.decode_seconds + now.decode_seconds,
    )
