"""The tokens of the last long texts, so that only what changed in them is cut again.

A text may be cut in two ahead of a special token, and each part into tokens by itself, without
changing a single token: tokenizers find these tokens first, from left to right, and cut what lies
between them piece by piece. Elsewhere a text must not be cut. Knows no templates or messages.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from chatbot.engine.common_start import common_length

NUM_TEXTS: Final = 2
"""A chat is counted with what was thought in it, and without."""
MIN_LENGTH: Final = 4_000
"""Characters of a text that is worth remembering."""

Cut = Callable[[str], tuple[list[int], list[int]]]
"""Cuts a text: its tokens, and where in it each of them starts."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a text, packed: a list of as many numbers takes four times the room."""

    numbers: "array[int]"
    starts: "array[int]"
    """Where in the text each of them starts, in characters."""


@dataclass(frozen=True, slots=True, eq=False)
class _Remembered:
    """A text and its tokens."""

    text: str
    tokens: Tokens


class TokenMemory:
    """Cuts texts that mostly begin as one of the last ones did."""

    def __init__(self, tokenizer: Any, cut: Cut) -> None:
        """Remember what ``cut`` makes of texts with the tokenizer."""
        self._cut = cut
        self._texts: list[_Remembered] = []
        added = tokenizer.added_tokens_decoder
        self._separators: dict[int, str] = {}
        """Tokens ahead of which a text may be cut, and how they are written."""
        # A tokenizer's own code may do anything, and so may one that is not a fast one.
        is_known = type(tokenizer).__module__.startswith("transformers.")
        if tokenizer.is_fast and is_known and not tokenizer.split_special_tokens:
            # The others are looked for only after the text was normalised, piece by piece.
            self._separators = {
                number: str(token)
                for number, token in added.items()
                if token.special and not token.normalized and str(token)
            }
        self._margin = 1 + max((len(str(token)) for token in added.values()), default=0)
        """Characters from where a special token starts that decide that it is this one."""

    def cut(self, text: str) -> Tokens:
        """The tokens of ``text``."""
        if not self._separators or len(text) < MIN_LENGTH:
            return _packed(*self._cut(text))
        best, index = self._find(text)
        if best is None:
            tokens = _packed(*self._cut(text))
        else:
            start = best.tokens.starts[index]
            more = _packed(*self._cut(text[start:]), start)
            tokens = Tokens(
                best.tokens.numbers[:index] + more.numbers,
                best.tokens.starts[:index] + more.starts,
            )
            if start > len(best.text) // 2:  # the same chat, a bit later
                self._texts.remove(best)
        self._texts = [*self._texts[-NUM_TEXTS + 1 :], _Remembered(text, tokens)]
        return tokens

    def _find(self, text: str) -> tuple[_Remembered | None, int]:
        """What to go on with, and ahead of which of its tokens."""
        num_same, best = max(
            ((common_length(known.text, text), known) for known in self._texts),
            key=lambda pair: pair[0],
            default=(0, None),
        )
        index = self._last_cut(best, num_same) if best is not None else 0
        return (best, index) if index else (None, 0)

    def _last_cut(self, known: _Remembered, num_same: int) -> int:
        """The last token ahead of which another text with the same start may be cut; 0 if none."""
        numbers, starts = known.tokens.numbers, known.tokens.starts
        last = bisect_right(starts, num_same - self._margin) - 1
        for index in range(last, 0, -1):
            start = starts[index]
            separator = self._separators.get(numbers[index])
            if start + self._margin > num_same:  # not every tokenizer tells them in order
                continue
            if separator and known.text.startswith(separator, start):
                return index
        return 0


def _packed(numbers: list[int], starts: list[int], offset: int = 0) -> Tokens:
    if offset:
        starts = [offset + start for start in starts]
    return Tokens(array("i", numbers), array("q", starts))
