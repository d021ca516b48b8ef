"""How much each term of a query counts.

Words that questions are made of count half: in a small folder even "does" is rare, and would
weigh like a name; so would "ist" among English documents. And where several folders are searched,
a term weighs by how rare it is in all of them together, whichever of them a passage is in: else
what is common in one and rare in another would sort the passages by folder.
"""

import functools
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from chatbot.function_words import FUNCTION_WORDS
from chatbot.retrieval.words import find_terms, prepare

if TYPE_CHECKING:
    import tantivy

FUNCTION_WORD_WEIGHT: Final = 0.5

_REQUEST: Final = re.compile(
    r"^\W*(?:please\s+)?(?:list(?=\s+(?:all|any|every|the|my|our)\b)|compare|describe|summari[sz]e)\b"
    r"|\b(?:documents?|files?|notes?|papers?)\s+(?:\w+\s+)?(?:about|on|mention\w*|contain\w*)\b",
    re.IGNORECASE,
)
"""What of a question asks to be shown something and is not its subject: "list all notes on"."""

_OTHER_LANGUAGES: Final = (
    *("german", "french", "spanish", "italian", "portuguese", "dutch"),
    *("danish", "norwegian", "swedish", "finnish", "hungarian", "russian"),
)
"""Those whose function words tantivy has. Between equals the first is taken."""
_MIN_OTHER_WORDS: Final = 2
"""From which on a query is in another language: "war" alone is English."""


def function_terms(query: str) -> frozenset[str]:
    """The terms that say nothing about a subject in this query.

    Those of English, and of the language that more of its words are function words of than are of
    English: "die" and "war" mean something in one and nothing in another.
    """
    words = prepare(query).lower().split()
    num_english = sum(word in FUNCTION_WORDS for word in words)
    others = ([w for w in words if not lets.analyze(w)] for lets in _filters())
    best = max(others, key=len)
    is_other = len(best) >= _MIN_OTHER_WORDS and len(best) > num_english
    found = _REQUEST.findall(query) + best * is_other
    return _english_terms().union(find_terms(" ".join(found)))


@functools.cache
def _english_terms() -> frozenset[str]:
    return frozenset(find_terms(" ".join(sorted(FUNCTION_WORDS))))


@functools.cache
def _filters() -> tuple["tantivy.TextAnalyzer", ...]:
    """For each other language, what lets all words through but its function words."""
    import tantivy

    return tuple(
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
        .filter(tantivy.Filter.stopword(language))
        .build()
        for language in _OTHER_LANGUAGES
    )


def inverse_frequency(num_with: int, num_passages: int) -> float:
    """BM25's weight of a term that is in ``num_with`` of ``num_passages``; above 0 whatever they
    are: one below it would turn a ranking round, and be no number as a power."""
    num_without = max(0, num_passages - num_with)
    return math.log1p((num_without + 0.5) / (num_with + 0.5))


def weigh_terms(
    terms: Sequence[str],
    idle: Collection[str],
    counts: Sequence[Mapping[str, int]],
    nums: Sequence[int],
) -> list[dict[str, float]]:
    """For each folder, what to multiply each term's score with.

    Args:
        terms: of the query.
        idle: those of them that say nothing about a subject.
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
            folder[term] = share * (FUNCTION_WORD_WEIGHT if term in idle else 1.0)
        weights.append(folder)
    return weights
