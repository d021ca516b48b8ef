"""An answer while it is being made: its text so far, and how it comes about.

Turns into a message at any moment, because what there is of an answer must survive whatever
happens. Knows neither the engine's process nor the tree.
"""

from collections.abc import Callable

import msgspec

from chatbot.conversation.turn_sources import TurnSources
from chatbot.engine.protocol import ModelInfo
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
        self._text: list[str] = []
        self._changes: list[SettingChange] = []
        self._started_with = self._sampling = settings().sampling

    @property
    def id(self) -> str:
        """Of the message that it will be."""
        return self._blank.id

    def start(self, sampling: Sampling) -> None:
        """Note the settings that the first token is drawn with."""
        self._started_with = self._sampling = sampling

    def feed(self, raw: str) -> str:
        """Add what the model wrote; returns the part of it that can be shown now."""
        text = self._cleaner.feed(raw)
        self.add(text)
        return text

    def add(self, text: str) -> None:
        """Add text that is clean already."""
        if text:
            self._text.append(text)

    def finish(self) -> str:
        """Add what was held back, now that nothing follows; returns it."""
        rest = self._cleaner.flush()
        self.add(rest)
        return rest

    def note_changes(self, sampling: Sampling) -> list[SettingChanged]:
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
            statistics=_sum(before.statistics if before else None, statistics),
            num_controls_removed=self._cleaner.num_removed
            + (before.num_controls_removed if before else 0),
            adapters=tuple(a.label for a in info.adapters) if info and by_model else (),
            is_by_program=self.is_by_program,
        )
        parts: tuple[Part, ...] = self._begun.parts if self._begun else ()
        if self._sources.part:
            parts = with_found(parts, self._sources.part)
        text = "".join(self._text)
        if parts and isinstance(parts[-1], TextPart):
            parts = (*parts[:-1], TextPart(parts[-1].text + text))
        elif text or not self._begun:
            parts = (*parts, TextPart(text))
        return msgspec.structs.replace(self._blank, parts=parts, making=making)


def with_found(parts: tuple[Part, ...], found: SourcesPart) -> tuple[Part, ...]:
    """The parts of an answer with these sources, ahead of what rests on them."""
    return (found, *(part for part in parts if not isinstance(part, SourcesPart)))


def _sum(before: Statistics | None, now: Statistics | None) -> Statistics | None:
    """What an answer cost that was gone on with."""
    if before is None or now is None:
        return now or before
    return msgspec.structs.replace(
        now,
        num_new_tokens=before.num_new_tokens + now.num_new_tokens,
        decode_seconds=before.decode_seconds + now.decode_seconds,
    )
