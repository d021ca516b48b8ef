"""Which experts tokens go to, and their rows there and back, each as one compiled function.

A token has a row for each expert that it chose. Those of one expert lie together, so that its
weight is read once for all of them; ``groups``, int64 [3, experts + 2], says where:

    the number of groups, at [0, experts]; what stands before it is room to count in
    the expert of each group, those with the lowest numbers first
    the first row of each group, and behind the last one the number of rows

Knows nothing of models and weights.
"""

from typing import Any, Final

import numba
import numpy as np
from numpy import float32
from numpy.typing import NDArray

from chatbot.engine.compiled import Floats, called, called_fast, exp, inlined, longs_at

Numbers = NDArray[np.int64]

NUM_LINES: Final = 3
NUM_BEHIND: Final = 2
"""Of ``groups``: its lines, and the numbers in one beside those for each expert."""


@inlined  # type: ignore[untyped-decorator]
def groups_at(about: Any) -> Any:
    """The ``groups`` that an instruction is about."""
    return numba.carray(longs_at(about.groups), (NUM_LINES, about.num_experts + NUM_BEHIND))


@called_fast  # type: ignore[untyped-decorator]
def choose(scores: Floats, sums_to_one: bool, chosen: Numbers, shares: Floats) -> None:
    """The likeliest experts of each token.

    Args:
        scores: [n, experts], of which the softmax is what is likely; written over.
        sums_to_one: whether the shares of those that are chosen are to, else all experts' do.
        chosen: [n, experts for each], written: the likeliest first.
        shares: as ``chosen``, written: what each counts for.
    """
    num_experts, num_chosen = scores.shape[1], chosen.shape[1]
    for row in range(scores.shape[0]):
        own = scores[row]
        largest = own[0]
        for expert in range(1, num_experts):
            largest = max(largest, own[expert])
        total = float32(0)
        for expert in range(num_experts):
            own[expert] = exp(own[expert] - largest)
            total += own[expert]
        total_chosen = float32(0)
        for rank in range(num_chosen):
            # What is no number is chosen too, or there might be none.
            best = -1
            for expert in range(num_experts):
                is_better = best < 0 or own[expert] > own[best]
                if is_better and not _is_among(chosen[row], rank, expert):
                    best = expert
            chosen[row, rank], shares[row, rank] = best, own[best]
            total_chosen += own[best]
        for rank in range(num_chosen):
            shares[row, rank] /= total_chosen if sums_to_one else total


@inlined  # type: ignore[untyped-decorator]
def _is_among(chosen: Any, number: Any, expert: Any) -> Any:
    found = False
    for rank in range(number):
        found = found or chosen[rank] == expert
    return found


@called  # type: ignore[untyped-decorator]
def group(chosen: Numbers, groups: Numbers, places: Numbers) -> None:
    """Lay rows of the same expert together, in the order of their tokens.

    Args:
        chosen: the expert of each row, as tokens have them: [rows].
        groups: written.
        places: [rows], written: where among all rows each belongs.
    """
    num_experts = groups.shape[1] - NUM_BEHIND
    following = groups[0]
    following[:num_experts] = 0
    for expert in chosen:
        following[expert] += 1
    num_groups = first = 0
    for expert in range(num_experts):
        count, following[expert] = following[expert], first
        if count:
            groups[1, num_groups], groups[2, num_groups] = expert, first
            num_groups += 1
            first += count
    following[num_experts] = num_groups
    groups[2, num_groups] = first
    for row, expert in enumerate(chosen):
        places[row] = following[expert]
        following[expert] += 1


@called_fast  # type: ignore[untyped-decorator]
def spread(rows: Floats, places: Numbers, target: Floats) -> None:
    """Copy ``rows`` [n, size] to all of their ``places`` [n, experts for each] in ``target``."""
    for row in range(rows.shape[0]):
        for rank in range(places.shape[1]):
            target[places[row, rank]] = rows[row]


@called_fast  # type: ignore[untyped-decorator]
def collect(rows: Floats, places: Numbers, shares: Floats, target: Floats) -> None:
    """The sum of a token's ``rows`` times its ``shares`` [n, experts for each], added up in the
    order of these, into ``target`` [n, size]."""
    for token in range(target.shape[0]):
        own = target[token]
        own[:] = float32(0)
        for rank in range(places.shape[1]):
            row, share = rows[places[token, rank]], shares[token, rank]
            for i in range(own.shape[0]):
                own[i] += row[i] * share
