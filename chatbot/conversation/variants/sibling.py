"""One of several answers to a question, while it is being made."""

from collections.abc import Iterator

import msgspec

from chatbot.conversation.draft import AnswerDraft
from chatbot.events import (
    VariantFinished,
    VariantSettingChanged,
    VariantTextDelta,
    VariantThoughtCut,
    VariantThoughtDelta,
)
from chatbot.messages import FinishReason, Message, Statistics
from chatbot.settings import Sampling
from chatbot.tokens import TokenRecord


class Sibling:
    """One of the answers, while it is being made."""

    def __init__(self, index: int, draft: AnswerDraft) -> None:
        self.index = index
        self.draft = draft
        self.records: list[TokenRecord] = []
        """What its tokens were drawn from."""
        self.reason: FinishReason | None = None
        """How it ended; None while it is written."""
        self.error = ""
        self.statistics: Statistics | None = None
        self.num_beams = 0
        self.score: float | None = None
        self.weight_bytes = 0
        self.varied: tuple[str, ...] = ()
        """Names of the settings that set it apart."""

    @property
    def message(self) -> Message:
        """The answer as it stands."""
        made = self.draft.as_message(self.reason or "interrupted", self.error, self.statistics)
        if made.making is None:
            return made
        making = msgspec.structs.replace(
            made.making,
            num_beams=self.num_beams,
            score=self.score,
            weight_bytes=self.weight_bytes,
            varied=self.varied,
        )
        return msgspec.structs.replace(made, making=making)

    @property
    def has_begun(self) -> bool:
        """Whether it says something, or came to its end with nothing to say."""
        return self.draft.says_something or self.reason not in (None, "cancelled", "error")

    def feed(self, raw: str, num_tokens: int) -> VariantTextDelta | None:
        """Add what the model wrote; returns what can be shown of it now."""
        text = self.draft.feed(raw)
        return VariantTextDelta(self.index, text, num_tokens) if text else None

    def feed_thinking(
        self, raw: str, num_tokens: int, num_thinking_tokens: int, seconds: float
    ) -> VariantThoughtDelta | None:
        """Add what the model thinks; returns what can be shown of it now.

        Args:
            raw: the next piece.
            num_tokens: of the answer, with the piece.
            num_thinking_tokens: of this thought, with the piece.
            seconds: what those took.
        """
        text = self.draft.feed_thinking(raw, num_thinking_tokens, seconds)
        if not text:
            return None
        return VariantThoughtDelta(self.index, text, num_tokens, num_thinking_tokens, seconds)

    def cut_thought(self) -> VariantThoughtCut:
        """Note that the user has the thought end here."""
        self.draft.cut_thought()
        return VariantThoughtCut(self.index)

    def change(self, sampling: Sampling, num_tokens: int) -> Iterator[VariantSettingChanged]:
        """Note that it goes on with these settings behind so many tokens of it; yields what is
        other than before.
        """
        for changed in self.draft.note_changes(sampling, num_tokens):
            yield VariantSettingChanged(self.index, changed.change)

    def end(
        self, reason: FinishReason, statistics: Statistics | None, error: str = ""
    ) -> Iterator[VariantTextDelta | VariantFinished]:
        """It is over; yields what is still to be shown of it."""
        num_tokens = statistics.num_new_tokens if statistics else 0
        if rest := self.draft.finish():
            yield VariantTextDelta(self.index, rest, num_tokens)
        self.reason, self.statistics, self.error = reason, statistics, error
        yield VariantFinished(self.index, self.message)
