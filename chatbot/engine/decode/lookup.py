"""Prompt lookup: guesses the next tokens from where the last ones stood before.

An answer that quotes its sources repeats them word for word. A guess is checked by reading
it in the same step as the token before it, which costs little more than that token alone,
and every token is still drawn from the model's own distribution: a guess that the draw does
not confirm is thrown away. Knows token ids, nothing of the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MATCH: Final = 2
"""Tokens that must have occurred in the same order: a single one matches by chance too often."""

MAX_CANDIDATES: Final = 8
"""Places that are compared, the latest first."""

MAX_COMPARED: Final = 16
"""Tokens before a place that are compared with the last ones."""

FIRST_LENGTH: Final = 3
MAX_LENGTH: Final = 12
"""Tokens that are guessed at once: at first, and after guesses that were right throughout."""

MAX_LOSS: Final = 2.0
MAX_LOSS_SHARE: Final = 0.015
"""So many steps, and so many more for each token, may be lost by guessing wrong; then there is
no guess until the answer has grown."""

MAX_GAIN: Final = 8.0
"""Steps gained that are remembered; a quotation must not pay for a page of wrong guesses."""


@dataclass(slots=True)
class Guesses:
    """How many tokens of an answer were guessed, and how many of them it has."""

    num_made: int = 0
    num_right: int = 0


class PromptLookup:
    """Guesses for one answer. What it does depends on the tokens alone, never on time."""

    def __init__(
        self, prompt: Sequence[int], row_cost: float, guesses: Guesses | None = None
    ) -> None:
        """Start behind ``prompt``.

        Args:
            prompt: the context so far.
            row_cost: what checking one token costs, as a share of a step.
            guesses: where they are counted.
        """
        self._guesses = guesses or Guesses()
        self._tokens = list(prompt)
        self._row_cost = row_cost
        self._length = FIRST_LENGTH
        self._num_new = 0
        self._gain = 0.0
        self._ends: dict[tuple[int, ...], list[int]] = {}
        for end in range(MATCH, len(self._tokens)):
            self._note(end)

    def append(self, token: int) -> None:
        """Take the next token of the answer."""
        self._tokens.append(token)
        self._num_new += 1
        self._note(len(self._tokens) - 1)

    def settle(self, num_guessed: int, num_right: int) -> None:
        """Learn how a guess turned out."""
        self._guesses.num_made += num_guessed
        self._guesses.num_right += num_right
        gain = self._gain + num_right - self._row_cost * num_guessed
        self._gain = min(gain, MAX_GAIN)
        if num_right == num_guessed:
            self._length = min(2 * self._length, MAX_LENGTH)
        else:
            self._length = max(2, min(self._length, num_right + 1))

    def guess(self, most: int) -> list[int]:
        """What may come next: up to ``most`` tokens, none where it would not pay."""
        if self._row_cost >= 1:
            return []
        if self._gain < -MAX_LOSS - MAX_LOSS_SHARE * self._num_new:
            return []
        end = self._best_end()
        if end is None:
            return []
        return self._tokens[end : end + min(most, self._length)]

    def _best_end(self) -> int | None:
        """Where the longest run that equals the last tokens ended before."""
        candidates = self._ends.get(tuple(self._tokens[-MATCH:]), ())
        best, best_length = None, 0
        for end in reversed(candidates[-MAX_CANDIDATES:]):
            length = MATCH
            while length < min(MAX_COMPARED, end) and (
                self._tokens[end - 1 - length] == self._tokens[-1 - length]
            ):
                length += 1
            if length > best_length:
                best, best_length = end, length
        return best

    def _note(self, end: int) -> None:
        """Note the run before position ``end``, at which there is a token to guess."""
        if end >= MATCH:
            self._ends.setdefault(tuple(self._tokens[end - MATCH : end]), []).append(end)
