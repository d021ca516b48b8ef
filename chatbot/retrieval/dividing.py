"""The cheapest way to divide a stretch of text at its breaks: even passages, natural ends.

Dynamic programming over the breaks. A passage costs the square of how far it is from the wanted
length, as a share of that, and the cost of the break that ends it.
"""

from collections.abc import Sequence


def divide(counts: Sequence[int], costs: Sequence[float], limit: int, target: int) -> list[int]:
    """Which breaks to cut at.

    Args:
        counts: tokens before each of n places, the first being the start and the last the end.
        costs: of cutting at each of the n places.
        limit: most tokens of a passage. Two places further apart than that make one that is
            over it, as there is no way around it.
        target: tokens of a passage that are best.

    Returns:
        Indices of places, ascending; the last one is the end.
    """
    best = [0.0] * len(counts)
    before = [0] * len(counts)
    last = len(counts) - 1
    for j in range(1, len(counts)):
        best[j] = float("inf")
        end_cost = costs[j] if j < last else 0.0
        for i in range(j - 1, -1, -1):
            length = counts[j] - counts[i]
            if length > limit and i < j - 1:
                break
            cost = best[i] + ((length - target) / target) ** 2
            if cost < best[j]:
                best[j] = cost
                before[j] = i
        best[j] += end_cost
    ends: list[int] = []
    j = last
    while j > 0:
        ends.append(j)
        j = before[j]
    return ends[::-1]


def thin(counts: Sequence[int], costs: Sequence[float], step: int) -> list[int]:
    """Which places to keep so that few are nearer to each other than ``step`` tokens.

    Of a run of near ones, the cheapest is kept. The first and the last always are.
    """
    kept = [0]
    for index in range(1, len(counts) - 1):
        if len(kept) > 1 and counts[index] - counts[kept[-1]] < step:
            if costs[index] < costs[kept[-1]]:
                kept[-1] = index
        else:
            kept.append(index)
    kept.append(len(counts) - 1)
    return kept
