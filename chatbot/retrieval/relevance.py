"""How relevant a passage is to a query, 0 to 1, comparable between queries."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from chatbot.retrieval.words import find_terms


def coverage(terms: Sequence[str], text: str, weights: Mapping[str, float]) -> float:
    """What share of the query's weight is in the passage: 1 where it has every word.

    Args:
        terms: of the query.
        text: of the passage, with what stands above it.
        weights: of each term: the rarer, the more.
    """
    wanted = set(terms)
    total = sum(weights.get(term, 0.0) for term in wanted)
    if total <= 0:
        return 0.0
    return sum(weights.get(term, 0.0) for term in wanted & set(find_terms(text))) / total


def relevance(cosine: float | None, covered: float) -> float:
    """One number from the cosine and from how much of the query the passage has.

    Args:
        cosine: -1 to 1; None while the passage is not embedded.
        covered: 0 to 1; see ``coverage``.
    """
    if cosine is None:
        cosine = 0.1 + 0.5 * covered
    return float(np.clip(cosine + 0.2 * covered, 0.0, 1.0))
