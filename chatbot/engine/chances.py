"""How likely the token that was drawn was, and what else might have come, before and after the
sampling settings.

The same figures are computed in two ways. Between two tokens of a CPU everything is cold: each
operation costs more for being there than for its work, and one that wakes torch's other threads
may wait for a time slice. So they are few there, and numpy's, which stays on its thread. On any
other device they are torch's, and come from there in one piece. Knows no model and no text.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatbot.engine.failures import overflow_error
from chatbot.engine.sampling import Drawn

Vector = NDArray[np.float32]

_STRIDE: Final = 16
"""Of so many values one is looked at first, so that few are left to be sorted."""

_LEAST: Final = float(np.finfo(np.float32).tiny)
"""Smaller than any probability that matters, and of a finite logarithm."""

_LOWEST: Final = float(np.finfo(np.float32).min)
"""Stands for minus infinity, and can be multiplied by zero."""


class Chances(NamedTuple):
    """The figures of one token that was drawn."""

    rank_before: int
    """1: by the model alone nothing was likelier."""
    rank_after: int
    entropy_before: float
    """In nats."""
    entropy_after: float
    by_token: dict[int, tuple[float, float]]
    """Probabilities before and after of the token, and of the likeliest before and after."""


def chances(logits: Tensor, token: int, drawn_from: Drawn | None, k: int) -> Chances:
    """Work out the figures of ``token``.

    Args:
        logits: float32 [vocab], as the model gave them.
        token: its id.
        drawn_from: None where nothing was drawn, and ``token`` was certain.
        k: how many of the likeliest tokens are wanted, at least 1.

    Raises:
        ModelError: the logits are not numbers.
    """
    if logits.is_cpu:
        return _on_cpu(logits, token, drawn_from, k)
    return _on_device(logits, token, drawn_from, min(k, logits.shape[0]))


def _on_cpu(logits: Tensor, token: int, drawn_from: Drawn | None, k: int) -> Chances:
    scores: Vector = logits.numpy()
    ids, highest = _likeliest(scores, k, _floor(scores, k))
    rank = _rank(scores, float(scores[token]), highest)
    before, entropy = _softmax(scores, highest[0] if highest else math.nan)
    if drawn_from is None:
        ids.append(token)
        certain = [float(key == token) for key in ids]
        return Chances(rank, 1, entropy, 0.0, _pairs(ids, before[ids].tolist(), certain))
    after: Vector = drawn_from.shares.numpy()
    shares = after
    if drawn_from.ids is None:
        # No k of them are all above the k-th highest, and these were the likeliest just now.
        likeliest, highest = _likeliest(shares, k, max(_LEAST, float(shares[ids].min())))
    else:
        kept = drawn_from.ids.numpy()
        after = np.zeros(len(scores), np.float32)
        after[kept] = shares
        places, highest = _likeliest(shares, k, max(_LEAST, _floor(shares, k)))
        likeliest = kept[places].tolist()
    ids += [*likeliest, token]
    rank_after = _rank(shares, float(after[token]), highest)
    pairs = _pairs(ids, before[ids].tolist(), after[ids].tolist())
    return Chances(rank, rank_after, entropy, _entropy(shares), pairs)


def _pairs(
    ids: list[int], before: list[float], after: list[float]
) -> dict[int, tuple[float, float]]:
    return dict(zip(ids, zip(before, after, strict=True), strict=True))


def _softmax(scores: Vector, highest: float) -> tuple[Vector, float]:
    """Probabilities [n] by ``scores`` [n], the ``highest`` of which is known, and their entropy.

    Raises:
        ModelError: the scores are not numbers.
    """
    distances = scores - highest
    weights = np.exp(distances)
    total = float(np.add.reduce(weights))
    if not total > 0:
        raise overflow_error()
    # What is impossible has no weight, but must not be multiplied by infinity.
    np.maximum(distances, _LOWEST, out=distances)
    distances *= weights
    entropy = math.log(total) - float(np.add.reduce(distances)) / total
    weights /= total
    return weights, entropy


def _entropy(shares: Vector) -> float:
    """The entropy of probabilities [n], some of which may be 0."""
    logarithms = shares + _LEAST
    np.log(logarithms, out=logarithms)
    logarithms *= shares
    return -float(np.add.reduce(logarithms))


def _floor(values: Vector, k: int) -> float:
    """What none of the ``k`` highest of ``values`` [n] is below, and few others are not."""
    sample = values[::_STRIDE].copy()
    if len(sample) <= k:
        return -math.inf
    # Of a part of the values the k-th highest is no higher than it is of all.
    sample.partition(len(sample) - k)
    return float(sample[-k])


def _likeliest(values: Vector, k: int, floor: float) -> tuple[list[int], list[float]]:
    """The ``k`` highest of ``values`` [n] that are not below ``floor``, the highest first:
    their indices, and what they are."""
    few = (values >= floor).nonzero()[0]
    among = values[few]
    order = (-among).argsort(kind="stable")[:k]
    return few[order].tolist(), among[order].tolist()


def _rank(values: Vector, chosen: float, highest: list[float]) -> int:
    """The rank of ``chosen`` among ``values`` [n], of which the ``highest`` are known, from 1."""
    if highest and chosen >= highest[-1]:
        return sum(value > chosen for value in highest) + 1
    return int(np.count_nonzero(values > chosen)) + 1


def _on_device(scores: Tensor, token: int, drawn_from: Drawn | None, k: int) -> Chances:
    ids = scores.topk(k).indices
    if drawn_from is not None:
        shares = drawn_from.shares
        if drawn_from.ids is not None:
            shares = torch.zeros_like(scores).scatter_(0, drawn_from.ids, shares)
        ids = torch.cat((ids, shares.topk(k).indices))
    ids = torch.cat((ids, ids.new_tensor([token])))
    # Float32 holds every id exactly, so that all of it comes off the device at once.
    rows = [torch.cat((ids.new_zeros(2), ids)).float(), _row(scores, scores.softmax(0), token, ids)]
    if drawn_from is not None:
        rows.append(_row(shares, shares, token, ids))
    (_, _, *keys), (rank, entropy, *before), *rest = torch.stack(rows).tolist()
    certain = [1.0, 0.0, *(float(key == token) for key in keys)]
    rank_after, entropy_after, *after = rest[0] if rest else certain
    if math.isnan(entropy):
        raise overflow_error()
    # Where fewer could be drawn than are wanted, others with no chance fill the places.
    by_token = {
        int(key): pair
        for index, (key, pair) in enumerate(zip(keys, zip(before, after, strict=True), strict=True))
        if not k <= index < 2 * k or pair[1] > 0
    }
    return Chances(int(rank), int(rank_after), entropy, entropy_after, by_token)


def _row(order: Tensor, shares: Tensor, token: int, ids: Tensor) -> Tensor:
    """The rank of ``token``, the entropy, and the probabilities of ``ids`` [n]: float32 [2 + n].

    Args:
        order: what tokens are ranked by, float32 [vocab]; probabilities may all come to 0.
        shares: their probabilities, float32 [vocab].
        token: an id.
        ids: int64 [n].
    """
    rank = (order > order[token]).sum(dtype=torch.float32) + 1
    entropy = torch.special.entr(shares).sum()
    return torch.cat((torch.stack((rank, entropy)), shares[ids]))
