"""One of several answers to a question, while it is being made."""

from collections.abc import Iterator

import msgspec

from chatbot.conversation.draft import AnswerDraft
from chatbot.events import VariantFinished, VariantTextDelta, VariantThoughtDelta
from chatbot.messages import FinishReason, Message, Statistics, TextPart
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
        )
        return msgspec.structs.replace(made, making=making)

    @property
    def has_begun(self) -> bool:
        """Whether it says something, or came to its end with nothing to say."""
        has_words = any(not isinstance(p, TextPart) or p.text for p in self.draft.parts)
        return has_words or self.reason not in (None, "cancelled", "error")

    def feed(
        self, raw: str, num_tokens: int, *, is_thinking: bool
    ) -> VariantTextDelta | VariantThoughtDelta | None:
        """Add what the model wrote; returns what can be shown of it now."""
        if is_thinking:
            text = self.draft.feed_thinking(raw)
            return VariantThoughtDelta(self.index, text, num_tokens) if text else None
        text = self.draft.feed(raw)
        return VariantTextDelta(self.index, text, num_tokens) if text else None

    def end(
        self, reason: FinishReason, statistics: Statistics | None, error: str = ""
    ) -> Iterator[VariantTextDelta | VariantFinished]:
        """It is over; yields what is still to be shown of it."""
        num_tokens = statistics.num_new_tokens if statistics else 0
        if rest := self.draft.finish():
            yield VariantTextDelta(self.index, rest, num_tokens)
        self.reason, self.statistics, self.error = reason, statistics, error
        yield VariantFinished(self.index, self.message)
