"""What is to be known of numbers for a whole vocabulary, each in one pass by a compiled function.

Knows arrays; nothing of what the numbers stand for.
"""

import numpy as np
from numpy import float32
from numpy.typing import NDArray

from chatbot.engine.compiled import Floats, compiled, exp, log

Ids = NDArray[np.int64]
Doubles = NDArray[np.float64]

_IMPOSSIBLE = float32(-87.0)
"""The logarithm of a share that counts for nothing; it can be multiplied by zero."""


@compiled("f4[::1], f4, f4[::1], i8[::1]")
def find_highest(values: Floats, least: float, highest: Floats, ids: Ids) -> None:
    """The ``k`` highest of ``values`` [n], the highest first, of equal ones the first.

    Args:
        values: float32 [n].
        least: only what is above it counts.
        highest: [k], written; where there are no more, ``least``.
        ids: [k], written: where they are in ``values``; -1 where there are no more.
    """
    k = highest.shape[0]
    highest[:] = least
    ids[:] = -1
    lowest = float32(least)
    for i in range(values.shape[0]):
        value = values[i]
        if value > lowest:
            place = k - 1
            while place > 0 and highest[place - 1] < value:
                highest[place] = highest[place - 1]
                ids[place] = ids[place - 1]
                place -= 1
            highest[place] = value
            ids[place] = i
            lowest = highest[k - 1]


@compiled("f4[::1], f4, f8[::1]")
def weigh(scores: Floats, highest: float, sums: Doubles) -> None:
    """What softmax needs.

    Args:
        scores: float32 [n].
        highest: the highest of them.
        sums: [2], written: of e to the power of each one's distance to the highest, and of that
            times the distance; NaN where a score is.
    """
    total = weighted = float32(0)
    for i in range(scores.shape[0]):
        distance = scores[i] - highest
        distance = _IMPOSSIBLE if distance < _IMPOSSIBLE else distance  # so that NaN stays
        weight = exp(distance)
        total += weight
        weighted += weight * distance
    sums[0] = total
    sums[1] = weighted


@compiled("f4[::1], f8[::1]")
def find_entropy(shares: Floats, entropy: Doubles) -> None:
    """The entropy of probabilities [n], some of which may be 0, in nats: [1]."""
    total = float32(0)
    for i in range(shares.shape[0]):
        total += shares[i] * log(shares[i] + float32(1.2e-38))
    entropy[0] = -total
