"""What each token was drawn from: probabilities, ranks and alternatives, at little cost.

Knows logits and token ids; nothing of what a token becomes in the answer but what it is told.
"""

import math
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from torch import Tensor

from chatbot.engine.chances import chances
from chatbot.engine.sampling import Drawn
from chatbot.engine.token_facts import Chances, chances_in
from chatbot.tokens import Alternative, Region, TokenRecord

BITS: Final = 1 / math.log(2)
"""Bits in a nat."""

BATCH_SECONDS: Final = 0.1
"""Records are handed on this often at most: one message for each token would cost more."""

_ANCHOR: Final = "a"
"""Put before a token that is decoded alone, because some decoders drop a space at the start."""


class TokenTexts:
    """What each token says by itself; asked again and again for the same few."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        encode: Callable[[str], list[int]],
        special: Collection[int] = (),
    ) -> None:
        """Prepare.

        Args:
            decode: the text of token ids, without cleaning up of spaces.
            encode: the token ids of a text, without special ones.
            special: tokens that have no text of their own.
        """
        self.special = special
        self._decode = decode
        self._anchor = encode(_ANCHOR)[-1:]
        self._before = decode(self._anchor)
        self._known: dict[int, str] = {}

    def __call__(self, token: int) -> str:
        """The text of one token."""
        text = self._known.get(token)
        if text is None:
            both = self._decode([*self._anchor, token])
            alone = both[len(self._before) :] if both.startswith(self._before) else ""
            text = self._known[token] = alone or self._decode([token])
        return text


class Recorder:
    """Records the tokens of one answer."""

    def __init__(self, num_alternatives: int, texts: TokenTexts) -> None:
        """Begin with nothing.

        Args:
            num_alternatives: likeliest tokens to record, at least 1.
            texts: what each token says by itself.
        """
        self.num_alternatives = num_alternatives
        self._texts = texts
        self._waiting: list[TokenRecord] = []
        self._noted: TokenRecord | None = None
        self._handed_on_at = time.perf_counter()

    def note(
        self, logits: Tensor, token: int, drawn_from: Drawn | None, *, is_users: bool = False
    ) -> None:
        """Take note of a token that was just drawn.

        Args:
            logits: float32 [vocab], as the model gave them.
            token: its id.
            drawn_from: see ``Sampler.drawn_from``.
            is_users: it was not drawn, but put there for the user.

        Raises:
            ModelError: the logits are not numbers.
        """
        found = chances(logits, token, drawn_from, self.num_alternatives)
        self._noted = record_of(token, found, self._texts, is_users=is_users)

    def note_facts(self, token: int, facts: Sequence[float]) -> None:
        """Take note of a token that was drawn on the device, by its ``token_facts``."""
        self._noted = record_of(token, chances_in(facts, self.num_alternatives), self._texts)

    def complete(self, text: str, region: Region) -> None:
        """Say what became of the token that was noted last."""
        if noted := self._noted:
            self._noted = None
            self._waiting.append(completed(noted, text, region))

    @property
    def is_due(self) -> bool:
        """Whether what waits is to be handed on."""
        return time.perf_counter() - self._handed_on_at >= BATCH_SECONDS

    def take(self) -> tuple[TokenRecord, ...]:
        """Hand on what waits, perhaps nothing."""
        waiting, self._waiting = tuple(self._waiting), []
        self._handed_on_at = time.perf_counter()
        return waiting


def record_of(
    token: int, found: Chances, texts: TokenTexts, *, is_users: bool = False
) -> TokenRecord:
    """The record of a token, without its text.

    Args:
        token: its id.
        found: the figures of it.
        texts: what each token says by itself.
        is_users: it was not drawn, but put there for the user.
    """
    before, after = found.by_token[token]
    others = sorted(found.by_token.items(), key=lambda item: item[1], reverse=True)
    return TokenRecord(
        token=token,
        text="",
        region="text",
        before=_rounded(before),
        after=_rounded(after),
        rank_before=found.rank_before,
        rank_after=found.rank_after,
        entropy_before=_rounded(max(0.0, found.entropy_before * BITS)),
        entropy_after=_rounded(max(0.0, found.entropy_after * BITS)),
        alternatives=tuple(
            [
                Alternative(key, texts(key), _rounded(b), _rounded(a), key in texts.special)
                for key, (b, a) in others
            ]
        ),
        is_users=is_users,
    )


def completed(noted: TokenRecord, text: str, region: Region) -> TokenRecord:
    """The record of a token of which it is known by now what became of it."""
    # Made anew by hand: ``msgspec.structs.replace`` takes several times as long.
    return TokenRecord(
        noted.token,
        text,
        region,
        noted.before,
        noted.after,
        noted.rank_before,
        noted.rank_after,
        noted.entropy_before,
        noted.entropy_after,
        noted.alternatives,
        noted.is_users,
    )


def _rounded(value: float) -> float:
    """Six digits that count: more would be noise, and as long again to write."""
    return float(f"{value:.6g}")
