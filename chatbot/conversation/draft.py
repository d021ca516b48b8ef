"""An answer while it is being made: its parts so far, and how it comes about.

Turns into a message at any moment, because what there is of an answer must survive whatever
happens. Knows neither the engine's process nor the tree.
"""

from collections.abc import Callable, Mapping

import msgspec

from chatbot.conversation.answer_messages import PARAGRAPH
from chatbot.conversation.turn_sources import TurnSources
from chatbot.engine.protocol.model_info import ModelInfo
from chatbot.events import SettingChanged
from chatbot.messages import (
    FinishReason,
    Making,
    Message,
    Part,
    SettingChange,
    SourcesPart,
    Statistics,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from chatbot.settings import SPECS, Sampling, Settings
from chatbot.terminal_text import Cleaner


class AnswerDraft:
    """One answer that is being written."""

    def __init__(
        self,
        question: Message,
        settings: Callable[[], Settings],
        sources: TurnSources,
        begun: Message | None = None,
    ) -> None:
        """Begin with an empty answer.

        Args:
            question: what it answers.
            settings: gives the settings as they are at the moment of asking.
            sources: what it may rest on.
            begun: an answer that is there already, to go on with.
        """
        self.info: ModelInfo | None = None
        """The model that writes it, once it is loaded."""
        self.is_by_program = False
        """No model writes it."""
        self._blank = begun or Message(role="assistant", parts=(), parent_id=question.id)
        self._begun = begun
        self._settings = settings
        self._sources = sources
        self._cleaner = Cleaner()
        self._num_removed = 0
        """By the cleaners of the parts that are closed."""
        self._parts: list[Part] = list(begun.parts) if begun else []
        self._is_thinking = False
        self._thought = ThinkingPart("")
        """The size of the thought that is being written; its text is open."""
        self._open: list[str] = []
        """The pieces of the part that is being written, which is text or thinking."""
        self._length = len(begun.text) if begun else 0
        """Of the answer's text, in characters."""
        self._has_words = bool(begun and begun.text.strip())
        self._changes: list[SettingChange] = []
        self._started_with = self._sampling = settings().sampling
        self._thinking = settings().thinking
        self._begin_with_last()

    def _begin_with_last(self) -> None:
        """Go on in the last part, where that is text."""
        if self._parts and isinstance(last := self._parts[-1], TextPart):
            self._parts.pop()
            self._open.append(last.text)

    @property
    def id(self) -> str:
        """Of the message that it will be."""
        return self._blank.id

    @property
    def says_something(self) -> bool:
        """Whether there is a word, a thought or a call in it."""
        return any(not isinstance(p, TextPart) or p.text for p in self.parts)

    @property
    def has_calls(self) -> bool:
        """Whether a tool was called in it."""
        return any(isinstance(part, ToolCallPart) for part in self._parts)

    def start(self, sampling: Sampling, num_tokens: int = 0) -> list[SettingChanged]:
        """Note the settings that the first token is drawn with.

        An answer that is gone on with may have been begun with others; that is a change then.

        Args:
            sampling: the settings.
            num_tokens: of what there is of the answer.
        """
        self._started_with = self._sampling = sampling
        self._thinking = self._settings().thinking
        before = self._begun.making if self._begun else None
        if before is None or before.is_by_program:
            return []
        latest = {change.name: change.new for change in before.changes}
        return self._note(_written(before.sampling) | latest, sampling, num_tokens)

    def feed(self, raw: str) -> str:
        """Add what the model wrote; returns the part of it that can be shown now."""
        self._turn_to(is_thinking=False)
        text = self._cleaner.feed(raw)
        if text and not self._open and self._has_words:
            text = PARAGRAPH + text
        self.add(text)
        return text

    def feed_thinking(self, raw: str, num_tokens: int = 0, seconds: float = 0.0) -> str:
        """Add what the model thinks; returns the part of it that can be shown now.

        Args:
            raw: the next piece.
            num_tokens: of this thought, with the piece.
            seconds: what they took.
        """
        self._turn_to(is_thinking=True)
        self._thought = msgspec.structs.replace(
            self._thought, num_tokens=num_tokens, seconds=seconds
        )
        text = self._cleaner.feed(raw)
        if text:
            self._open.append(text)
        return text

    def cut_thought(self) -> None:
        """Note that the user has the thought end here."""
        self._turn_to(is_thinking=True)
        self._thought = msgspec.structs.replace(self._thought, is_cut=True)

    def add(self, text: str) -> None:
        """Add text of the answer that is clean already."""
        if text:
            self._open.append(text)
            self._length += len(text)
            self._has_words = self._has_words or not text.isspace()

    def put(self, part: ToolCallPart | ToolResultPart) -> None:
        """Add a call, or what became of one; both are clean already."""
        self.finish()
        self._close()
        self._parts.append(part)

    def finish(self) -> str:
        """Add what was held back of the open part, now that nothing follows; returns what of it
        is text of the answer.
        """
        rest = self._cleaner.flush()
        if self._is_thinking:
            self._open += [rest] if rest else []
            return ""
        self.add(rest)
        return rest

    def _turn_to(self, *, is_thinking: bool) -> None:
        if self._is_thinking != is_thinking:
            self.finish()
            self._close()
            self._is_thinking = is_thinking

    def _close(self) -> None:
        self._parts += self._open_part()
        self._open.clear()
        self._num_removed += self._cleaner.num_removed
        self._cleaner = Cleaner()
        self._is_thinking = False
        self._thought = ThinkingPart("")

    def _open_part(self) -> list[Part]:
        text = "".join(self._open)
        if not text:
            return []
        if self._is_thinking:
            return [msgspec.structs.replace(self._thought, text=text)]
        return [TextPart(text)]

    @property
    def parts(self) -> tuple[Part, ...]:
        """What there is of it, its sources aside."""
        return (*self._parts, *self._open_part())

    def note_changes(self, sampling: Sampling, num_tokens: int) -> list[SettingChanged]:
        """Where the settings differ from those in use so far.

        Args:
            sampling: what the next token is drawn with.
            num_tokens: of the answer before it.
        """
        before, self._sampling = self._sampling, sampling
        return self._note(_written(before), sampling, num_tokens)

    def _note(
        self, before: Mapping[str, str], sampling: Sampling, num_tokens: int
    ) -> list[SettingChanged]:
        """Note that the answer goes on with these settings after those."""
        changes = [
            SettingChange(
                offset=self._length, name=name, old=before[name], new=new, num_tokens=num_tokens
            )
            for name, new in _written(sampling).items()
            if before[name] != new
        ]
        self._changes += changes
        return [SettingChanged(change) for change in changes]

    def as_message(
        self, reason: FinishReason, error: str, statistics: Statistics | None
    ) -> Message:
        """The answer as far as it is written, and how it came about."""
        info = self.info
        settings = self._settings()
        before = self._begun.making if self._begun else None
        by_model = not self.is_by_program
        making = Making(
            model=(info.name if info else settings.model) if by_model else "",
            precision=(info.precision if info else settings.precision) if by_model else "",
            device=info.device if info and by_model else "",
            sampling=before.sampling if before else self._started_with,
            changes=(*(before.changes if before else ()), *self._changes),
            finish_reason=reason,
            error=error,
            statistics=sum_of_rounds(before.statistics if before else None, statistics),
            num_controls_removed=self._num_removed
            + self._cleaner.num_removed
            + (before.num_controls_removed if before else 0),
            adapters=tuple(a.label for a in info.adapters) if info and by_model else (),
            thinking=self._thinking if info and info.thinking_switch != "none" else "auto",
            is_by_program=self.is_by_program,
        )
        parts = self.parts or (TextPart(""),)
        if self._sources.part:
            parts = with_found(parts, self._sources.part)
        return msgspec.structs.replace(self._blank, parts=parts, making=making)


def _written(sampling: Sampling) -> dict[str, str]:
    """The settings by name, as the user would type them."""
    return {s.name: s.format(getattr(sampling, s.name)) for s in SPECS if s.is_sampling}


def with_found(parts: tuple[Part, ...], found: SourcesPart) -> tuple[Part, ...]:
    """The parts of an answer with these sources, ahead of what rests on them."""
    return (found, *(part for part in parts if not isinstance(part, SourcesPart)))


def sum_of_rounds(before: Statistics | None, now: Statistics | None) -> Statistics | None:
    """What an answer cost that was gone on with, after calls or because the user wanted more.

    The later prompt holds what was written before: that is counted once, as written, so that the
    prompt and the new tokens together are what is in the window.
    """
    if before is None or now is None:
        return now or before
    num_new = before.num_new_tokens + now.num_new_tokens
    num_in_window = now.num_prompt_tokens + now.num_new_tokens
    begun, other = (before, now) if before.num_new_tokens else (now, before)
    return msgspec.structs.replace(
        now,
        # Where thoughts are taken out of the later prompt, more was written than is in it.
        num_prompt_tokens=max(num_in_window - num_new, before.num_prompt_tokens),
        num_cached_tokens=before.num_cached_tokens,
        num_new_tokens=num_new,
        first_token_seconds=begun.first_token_seconds,
        other_first_seconds=before.other_first_seconds
        + now.other_first_seconds
        + other.first_token_seconds,
        decode_seconds=before.decode_seconds + now.decode_seconds,
        num_guessed=before.num_guessed + now.num_guessed,
        num_guessed_right=before.num_guessed_right + now.num_guessed_right,
        num_rounds=sum(each.num_rounds for each in (before, now) if each.num_new_tokens),
    )
