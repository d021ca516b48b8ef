"""How much each term of a query counts.

Words that questions are made of count half: in a small folder even "does" is rare, and would
weigh like a name. And where several folders are searched, a term weighs by how rare it is in all
of them together, whichever of them a passage is in: else what is common in one and rare in
another would sort the passages by folder.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Final

from chatbot.retrieval.words import find_terms

FUNCTION_WORD_WEIGHT: Final = 0.5

_FUNCTION_WORDS: Final = """
a about above after again all also am an and any are as at be because been before being below
between both but by can could did do does doing down during each explain few find for from
further give had has have having he her here him his how i if in into is it its itself just me
more most my no nor not now of off on once only or other our out over own please same she should
show so some such tell than that the their them then there these they this those through to too
under until up very was we were what when where which while who whom whose why will with would
you your
"""

FUNCTION_WORDS: Final = frozenset(_FUNCTION_WORDS.split())
"""Words that say nothing about a subject."""


@functools.cache
def function_terms() -> frozenset[str]:
    """The terms of words that say nothing about a subject."""
    return frozenset(find_terms(" ".join(sorted(FUNCTION_WORDS))))


def inverse_frequency(num_with: int, num_passages: int) -> float:
    """BM25's weight of a term that is in ``num_with`` of ``num_passages``; above 0 whatever they
    are: one below it would turn a ranking round, and be no number as a power."""
    num_without = max(0, num_passages - num_with)
    return math.log1p((num_without + 0.5) / (num_with + 0.5))


def weigh_terms(
    terms: Sequence[str], counts: Sequence[Mapping[str, int]], nums: Sequence[int]
) -> list[dict[str, float]]:
    """For each folder, what to multiply each term's score with.

    Args:
        terms: of the query.
        counts: for each folder, in how many passages each term is.
        nums: for each folder, how many passages it has.
    """
    total = sum(nums)
    weights: list[dict[str, float]] = []
    for count, num in zip(counts, nums, strict=True):
        folder: dict[str, float] = {}
        for term in set(terms):
            own = inverse_frequency(count.get(term, 0), num)
            everywhere = sum(c.get(term, 0) for c in counts)
            share = inverse_frequency(everywhere, total) / own
            folder[term] = share * (FUNCTION_WORD_WEIGHT if term in function_terms() else 1.0)
        weights.append(folder)
    return weights
