"""Which of the passages found say the same as a better one. Pure arrays and texts."""

import functools
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chatbot.retrieval.words import prepare

MIN_COSINE: Final = 0.9
"""Below this, two passages do not mean the same; NaN and 0 stand for not known."""
MIN_OVERLAP: Final = 0.75
"""Of the words of two passages, what they must share: meaning the like is not saying the same."""


def find_duplicates(texts: Sequence[str], vectors: NDArray[np.float32]) -> list[int | None]:
    """For each passage, the first one before it that says the same and is itself no duplicate.

    Args:
        texts: of n passages, the best first.
        vectors: float32 [n, d], of length 1; 0 where there is none.
    """
    cosines = vectors @ vectors.T
    is_known = np.linalg.norm(vectors, axis=1) > 0

    @functools.cache
    def words_of(index: int) -> frozenset[str]:
        return frozenset(prepare(texts[index]).lower().split())

    found: list[int | None] = []
    for index in range(len(texts)):
        found.append(None)
        for better in range(index):
            if found[better] is not None:
                continue
            is_near = cosines[index, better] >= MIN_COSINE
            if (is_near or not (is_known[index] and is_known[better])) and (
                overlap(words_of(index), words_of(better)) >= MIN_OVERLAP
            ):
                found[index] = better
                break
    return found


def overlap(first: frozenset[str], second: frozenset[str]) -> float:
    """Words that both have, as a share of all that either has (Jaccard)."""
    either = len(first | second)
    return len(first & second) / either if either else 1.0
