"""A question that may go on with those before it: "And when was it built?", "Why?".

By itself such a question finds nothing, or something else; together with the one before it finds
what is meant. A question about something else must not get the sources of the one before. What
tells the two apart is whether the question fits what the earlier one finds: one that does not makes
the best passage less relevant. One with hardly a word of its own, as "Summarise that in one
sentence.", fits nothing: it is about the last answer, and needs what that was found by.

``tests/measure_following_up.py`` measures it; its figures stand in the changelog.

Pure: knows hits, and neither a process nor a chat.
"""

import re
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Final

from chatbot.function_words import FUNCTION_WORDS
from chatbot.retrieval.values import Hit

FAR_APART: Final = 0.3
"""From this difference on, the relevance of what is found says that it is about something else."""
MAX_OWN_WORDS: Final = 3
"""Of a question that points back to what was said; with more it says what it is about."""
_POINTING_WORDS: Final = """
he her hers him his it its she that their theirs them then there these they this those
"""
_POINTING: Final = frozenset(_POINTING_WORDS.split())


def go_on(
    question: str,
    alone: Sequence[Hit],
    together: Sequence[Hit],
    earlier: Sequence[Hit],
    threshold: float,
) -> tuple[Hit, ...] | None:
    """What a question gets that goes on with those before it; None where it does not.

    Args:
        question: what is asked.
        alone: what it finds by itself.
        together: what it finds with those before it, as one query.
        earlier: what those before it find.
        threshold: least relevance of what is used.
    """
    own, both = _best_relevance(alone), _best_relevance(together)
    is_pointing = points_back(question)
    if is_pointing and own < threshold:
        return _take_turns(together, earlier, alone)
    if both < _best_relevance(earlier) - FAR_APART:
        return None
    # What it finds by itself knows best what comes first, unless it hardly says anything.
    is_led = is_pointing and both > own + FAR_APART
    return _take_turns(together, alone) if is_led else _take_turns(alone, together)


def points_back(question: str) -> bool:
    """Whether a question says nothing of what it is about, or little more than "that" or "it"."""
    words = re.findall(r"[^\W_]+", question.lower())
    num_own = sum(word not in FUNCTION_WORDS for word in words)
    return not num_own or (num_own <= MAX_OWN_WORDS and not _POINTING.isdisjoint(words))


def _take_turns(*searches: Sequence[Hit]) -> tuple[Hit, ...]:
    """The hits of several searches as those of one: the best of each by turns, each passage once,
    with the scores of the search that it is more relevant in."""
    hits: dict[tuple[str, str, int, int], Hit] = {}
    for hit in chain.from_iterable(zip_longest(*searches)):
        if hit is None:
            continue
        passage = hit.passage
        key = (passage.folder, passage.file, passage.start, passage.end)
        if key not in hits or hits[key].scores.relevance < hit.scores.relevance:
            hits[key] = hit  # one that is there keeps its place
    return tuple(hits.values())


def _best_relevance(hits: Sequence[Hit]) -> float:
    return max((hit.scores.relevance for hit in hits), default=0.0)
