"""What reaches running answers between two tokens: the only requests that overtake others."""

from typing import Annotated

import msgspec

from chatbot.settings import Sampling
from chatbot.worker.protocol import Request


class Cancel(Request, frozen=True, kw_only=True):
    """Stop the request with this id, which makes answers. Has no answer of its own."""

    target: int


class SetSampling(Request, frozen=True, kw_only=True):
    """Change how the Generate request with this id goes on. Answered there."""

    target: int
    sampling: Sampling


class SetSamplings(Request, frozen=True, kw_only=True):
    """Change how the answers of the request with this id go on. Answered there.

    Of a beam search the longest answer and the rules against repetition change.
    """

    target: int
    samplings: tuple[Sampling, ...]
    """One for each answer; for a beam search, one alone."""


class Hold(Request, frozen=True, kw_only=True):
    """Hold the request with this id between two tokens. Answered there by Held or VariantsHeld.

    What is held can be cancelled, and given other settings.
    """

    target: int
    num_steps: Annotated[int, msgspec.Meta(ge=0)] | None = 0
    """Tokens to draw, of each answer, before it is held again; None lets it go on."""


class AnswerNow(Request, frozen=True, kw_only=True):
    """Have the request with this id think no longer, and answer. Answered there by ThinkingCut,
    or by VariantThinkingCut of each answer that thinks; what is not begun to be thought is cut as
    soon as it is. A beam search goes on as it would.
    """

    target: int
