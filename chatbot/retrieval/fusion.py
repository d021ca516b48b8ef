"""The formulas that make one ranking of words and meaning. Pure arrays, no index.

Each was chosen on six collections at once, with room on either side of every constant: what
helped one alone was left out.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEXICAL_SHARE: Final = 0.5
"""What the best BM25 score adds to a cosine, which is between -1 and 1."""
LEXICAL_POWER: Final = 1.5
"""Of a BM25 score as a share of the best one: what has half of it shares the commoner half of the
words, and is worth less than half."""
NUM_FEEDBACK: Final = 3
"""Passages that the query's vector is drawn to."""
FEEDBACK_SHARE: Final = 0.8
"""How far: 0 not at all, 1 as much as the query itself counts."""
NUM_NEIGHBOURS: Final = 10
NEIGHBOUR_SHARE: Final = 0.4
"""Of a passage's score, what comes from the passages that mean the like."""
NEIGHBOUR_SHARPNESS: Final = 2
"""Power of the cosine that a neighbour counts by."""


def fuse(cosines: Floats, lexical: Floats) -> Floats:
    """One score of both: the cosine, and BM25 as a share of the best one, raised to a power.

    The best BM25 score of a query that hardly matches anything does not count as full.

    Args:
        cosines: float32 [n].
        lexical: float32 [n], BM25; 0 where no word is in the passage.
    """
    best = max(1.0, float(lexical.max(initial=0.0)))
    fused: Floats = cosines + LEXICAL_SHARE * (lexical / best) ** LEXICAL_POWER
    return fused


def fill_cosines(cosines: Floats, lexical: Floats) -> Floats:
    """The cosines, and for passages without a vector what one would expect from their words.

    Args:
        cosines: float32 [n]; NaN where there is no vector.
        lexical: float32 [n], BM25.
    """
    is_missing = np.isnan(cosines)
    if not is_missing.any():
        return cosines
    known, words = cosines[~is_missing], lexical[~is_missing]
    filled = cosines.copy()
    if not known.size:
        filled[:] = 0.0
        return filled
    spread = float(words.var())
    covariance = float(((words - words.mean()) * (known - known.mean())).mean())
    slope = max(0.0, covariance / spread) if spread > 0 else 0.0
    expected = known.mean() + slope * (lexical[is_missing] - words.mean())
    # Never above all that is known: a passage is not better for being new.
    filled[is_missing] = np.clip(expected, known.min(), known.max())
    return filled


def draw_to(query: Floats, best: Floats) -> Floats:
    """The query's vector, drawn to the middle of the best passages (Rocchio's feedback).

    Args:
        query: float32 [d], of length 1.
        best: float32 [k, d], of length 1; k may be 0.
    """
    if not len(best):
        return query
    drawn: Floats = query + FEEDBACK_SHARE * _unit(best.mean(axis=0))
    return _unit(drawn)


def smooth(scores: Floats, vectors: Floats) -> Floats:
    """Scores to which those of the nearest passages have been added in part.

    Passages that answer the same question lie near to each other, so one among good ones is
    likelier to be good. The range of the scores stays.

    Args:
        scores: float32 [n].
        vectors: float32 [n, d], of length 1; 0 where there is none, and that score stays.
    """
    low, high = float(scores.min(initial=np.inf)), float(scores.max(initial=-np.inf))
    if high <= low or not few(NUM_NEIGHBOURS, len(scores)):
        return scores
    shares = (scores - low) / (high - low)
    weights = np.maximum(vectors @ vectors.T, 0.0)
    np.fill_diagonal(weights, 0.0)
    num = few(NUM_NEIGHBOURS, len(scores))
    nearest = np.partition(weights, -num, axis=1)[:, -num]
    weights = np.where(weights >= nearest[:, None], weights, 0.0) ** NEIGHBOUR_SHARPNESS
    sums = weights.sum(axis=1)
    around = np.divide(weights @ shares, sums, out=shares.copy(), where=sums > 0)
    mixed = (1 - NEIGHBOUR_SHARE) * shares + NEIGHBOUR_SHARE * around
    smoothed: Floats = (low + mixed * (high - low)).astype(np.float32)
    return smoothed


def few(num: int, num_candidates: int) -> int:
    """``num``, or the tenth part of the candidates: where there are hardly any, the nearest is far
    away and the third best is wrong."""
    return min(num, num_candidates // 10)


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    unit: Floats = vector / length if length > 0 else vector
    return unit
