"""The measures of a ranking. Pure numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence


def ndcg(ranked: Sequence[str], grades: Mapping[str, int], num: int = 10) -> float:
    """Normalised discounted cumulative gain of the first ``num``, 0 to 1.

    Each document gains its grade, divided by log2(1 + place); the best possible order gains 1.
    """
    gained = sum(
        grades.get(name, 0) / math.log2(place + 2) for place, name in enumerate(ranked[:num])
    )
    best = sorted(grades.values(), reverse=True)[:num]
    possible = sum(grade / math.log2(place + 2) for place, grade in enumerate(best))
    return gained / possible if possible > 0 else 0.0


def fuse_ranks(rankings: Iterable[Sequence[str]], constant: int = 60) -> list[str]:
    """Reciprocal rank fusion: each ranking gives a document 1 / (constant + place)."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for place, name in enumerate(ranking, start=1):
            scores[name] = scores.get(name, 0.0) + 1 / (constant + place)
    return sorted(scores, key=lambda name: -scores[name])


def covered_share(spans: Sequence[tuple[int, int]], passages: Sequence[tuple[int, int]]) -> float:
    """What share of the characters in ``spans`` is in any of ``passages``."""
    wanted = {place for start, end in spans for place in range(start, end)}
    found = {place for start, end in passages for place in range(start, end)}
    return len(wanted & found) / len(wanted) if wanted else 0.0
