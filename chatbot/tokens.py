"""What was read and drawn, token by token, and what else might have been.

Values only: nothing here is computed, stored or shown by this module. A long answer makes tens of
thousands of them, and none can refer to itself: the garbage collector is not to go through them.
"""

from typing import Final, Literal

import msgspec

Region = Literal["text", "thinking", "call"]
"""What a token is part of: what is shown as the answer, what is thought, a call of a tool."""

NO_TOKEN = -1
"""Stands for text that the user typed in place of a token; how it was cut is not known."""


NUM_ALTERNATIVES: Final = 8
"""Likeliest tokens to record with each token, before the settings and after them: what a screen
shows of them."""


class Alternative(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A token that might have come, whether it did or not."""

    token: int
    """Its id."""
    text: str
    """The token alone, or its name where it has no text; half a character is U+FFFD."""
    before: float
    """Its probability by the model alone, 0 to 1."""
    after: float
    """Its probability after the sampling settings, as it was drawn; 0: they cut it."""
    is_special: bool = False
    """It stands for no text: it ends the answer, or means something to the model alone."""


class TokenRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A token of an answer, and what it was drawn from."""

    token: int
    """Its id, or ``NO_TOKEN``."""
    text: str
    """What became complete with it, raw as the model wrote it; empty for a token that ends
    nothing, as the first half of a character."""
    region: Region
    before: float
    """Its probability by the model alone, 0 to 1."""
    after: float
    """Its probability after the sampling settings."""
    rank_before: int
    """1: by the model alone nothing was likelier; 0: it is not known, as of one that the user put
    there and that is none of ``NUM_ALTERNATIVES``."""
    rank_after: int
    """The same after the sampling settings."""
    entropy_before: float
    """How uncertain the model was, in bits, over the whole vocabulary."""
    entropy_after: float
    """The same after the sampling settings; 0: they left one token."""
    alternatives: tuple[Alternative, ...] = ()
    """The likeliest tokens before and after the settings, and this one; likeliest first."""
    is_users: bool = False
    """The user put it there in place of what was drawn."""


class Beam(msgspec.Struct, frozen=True, array_like=True):
    """A way to go on that a beam search holds."""

    text: str
    """All of it so far."""
    log_probability: float
    """Natural logarithm of its probability by the model; under the rules against repetition the sum
    of what these make of the logarithms, which are not normalised again."""
    score: float
    """What beams are ranked by: ``log_probability`` over the length, to the length penalty."""
    num_tokens: int
    parent: int
    """Index among the live beams of the step before that it goes on from."""


class ReadingProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a prompt is read."""

    num_tokens: int
    """Of the prompt."""
    num_cached_tokens: int
    """Those of them that were read for an earlier answer."""
    num_read_tokens: int
    """Those of them that are read by now, the cached ones included."""
    seconds: float
    """Since reading began."""

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None while nothing is read."""
        num_new = self.num_read_tokens - self.num_cached_tokens
        num_left = self.num_tokens - self.num_read_tokens
        return self.seconds * num_left / num_new if num_new > 0 else None
