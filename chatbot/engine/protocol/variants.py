"""Several answers to one prompt as they are made: drawn side by side, or found by beam search.

Knows no calls of tools: of several answers none makes any.
"""

from typing import ClassVar, Final

from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.prompt import PromptProgress
from chatbot.messages import FinishReason, Statistics
from chatbot.settings import Sampling
from chatbot.tokens import Beam, TokenRecord
from chatbot.worker.protocol import Event, Request

MAX_VARIANTS: Final = 16
"""Most answers, and most beams, that are computed in one batch."""


class GenerateVariants(Request, frozen=True, kw_only=True):
    """Answer one prompt several times, in one batch: the prompt is read once.

    Answered by VariantDelta, VariantThinkingCut, VariantSamplingApplied, VariantTokens and
    VariantDone of each, in any order, then by VariantsGenerated. Can be cancelled as a whole.
    """

    messages: tuple[ChatMessage, ...]
    samplings: tuple[Sampling, ...]
    """One for each answer, from 1 to ``MAX_VARIANTS``."""
    context_length: int = 0
    """See ``Generate``; and so for the others."""
    is_completion: bool = False
    stop: tuple[str, ...] = ()
    schema: str = ""
    thinking: bool | None = None
    num_alternatives: int = 0


class SearchBeams(Request, frozen=True, kw_only=True):
    """Look for the likeliest answers as wholes, by beam search.

    Answered by BeamsMoved at each step, then by VariantDelta, VariantSamplingApplied,
    VariantTokens and VariantDone of each answer that was found, the best first, and by
    VariantsGenerated. Can be cancelled.
    """

    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    """Of it, the longest answer and the rules against repetition count; nothing is drawn."""
    num_beams: int
    """From 2 to ``MAX_VARIANTS``; so many answers are found."""
    length_penalty: float = 1.0
    """Power of the length by which the sum of logarithms is divided: above 0 for longer answers,
    below 0 for shorter ones."""
    context_length: int = 0
    """See ``Generate``; and so for the others."""
    is_completion: bool = False
    stop: tuple[str, ...] = ()
    thinking: bool | None = None
    num_alternatives: int = 0


class VariantDelta(Event, frozen=True, kw_only=True):
    """The next piece of one of several answers; see ``Delta``."""

    variant: int
    """Its index."""
    text: str
    num_tokens: int
    is_thinking: bool = False
    """It is thought before the answer; see ``ThinkingDelta``, and so for the others."""
    num_thinking_tokens: int = 0
    thinking_seconds: float = 0.0


class VariantThinkingCut(Event, frozen=True, kw_only=True):
    """The user wants this one of several answers; see ``ThinkingCut``."""

    variant: int


class VariantSamplingApplied(Event, frozen=True, kw_only=True):
    """All tokens of this answer after this event are drawn, or searched for, by these settings."""

    variant: int
    sampling: Sampling
    num_tokens: int
    """Tokens of it before."""


class VariantsHeld(Event, frozen=True, kw_only=True):
    """All answers wait before their next token, and all that was drawn so far has been told."""

    num_tokens: int
    """Of the longest so far."""


class VariantTokens(Event, frozen=True, kw_only=True):
    """What the last tokens of one of several answers were drawn from."""

    variant: int
    tokens: tuple[TokenRecord, ...]


class BeamsMoved(Event, frozen=True, kw_only=True):
    """A beam search took a step."""

    num_tokens: int
    """Steps so far: what each live beam is long."""
    live: tuple[Beam, ...]
    """Those that are gone on with, the likeliest first."""
    finished: tuple[Beam, ...] = ()
    """The best that came to their end so far, the best first."""


class VariantDone(Event, frozen=True, kw_only=True):
    """One of several answers is over; the others go on."""

    variant: int
    finish_reason: FinishReason
    statistics: Statistics
    """What of the prompt was read is counted for the first answer alone: for the others all of
    it was in the cache."""
    log_probability: float | None = None
    """Of a beam; see ``Beam``."""
    score: float | None = None


class VariantsGenerated(Event, frozen=True, kw_only=True):
    """All answers are over."""

    is_last: ClassVar[bool] = True

    num_prompt_tokens: int
    num_read_tokens: int
    """Those of them that were not in the cache, and were read once for all."""
    num_new_tokens: int
    """Of all answers together."""
    seconds: float
    """From taking up the request to the last token."""


VariantEvent = (
    PromptProgress
    | VariantDelta
    | VariantThinkingCut
    | VariantSamplingApplied
    | VariantsHeld
    | VariantTokens
    | BeamsMoved
    | VariantDone
    | VariantsGenerated
)
"""What GenerateVariants and SearchBeams are answered by; ``Failed`` aside."""
