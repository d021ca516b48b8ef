"""How likely the token that was drawn was, and what else might have come, before and after the
sampling settings.

The same figures are computed in two ways. Between two tokens of a CPU everything is cold: each
operation costs more for being there than for its work, and one that wakes torch's other threads
may wait for a time slice. So there they are few compiled passes over the vocabulary. On any other
device they are torch's operations, and come from there in one piece. Knows no model and no text.
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

_LEAST: Final = float(np.finfo(np.float32).tiny)
"""Smaller than any probability that matters, and of a finite logarithm."""


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
    from chatbot.engine import vocabulary  # a compiler comes with it

    scores: Vector = logits.numpy()
    ids, highest = _likeliest(scores, k, -math.inf)
    sums = np.empty(2)
    top = highest[0] if highest else math.nan
    vocabulary.weigh(scores, top, sums)
    total, weighted = sums.tolist()
    if not total > 0:
        raise overflow_error()
    entropy = math.log(total) - weighted / total
    rank = _rank(scores, float(scores[token]), highest)
    if drawn_from is None:
        ids.append(token)
        after = [float(key == token) for key in ids]
        rank_after, entropy_after = 1, 0.0
    else:
        shares: Vector = drawn_from.shares.numpy()
        places, highest = _likeliest(shares, k, _LEAST)
        kept = None if drawn_from.ids is None else drawn_from.ids.numpy()
        ids += [*(places if kept is None else kept[places].tolist()), token]
        after = (shares[ids] if kept is None else _shares_of(ids, kept, shares)).tolist()
        rank_after = _rank(shares, after[-1], highest)
        vocabulary.find_entropy(shares, sums[:1])
        entropy_after = float(sums[0])
    before = [math.exp(score - top) / total for score in scores[ids].tolist()]
    by_token = dict(zip(ids, zip(before, after, strict=True), strict=True))
    return Chances(rank, rank_after, entropy, entropy_after, by_token)


def _likeliest(values: Vector, k: int, least: float) -> tuple[list[int], list[float]]:
    """The ``k`` highest of ``values`` [n] above ``least``, the highest first: their indices, and
    what they are."""
    from chatbot.engine import vocabulary

    highest, ids = np.empty(k, np.float32), np.empty(k, np.int64)
    vocabulary.find_highest(values, least, highest, ids)
    num_found = k if ids[-1] >= 0 else int(np.count_nonzero(ids >= 0))
    return ids[:num_found].tolist(), highest[:num_found].tolist()


def _shares_of(ids: list[int], kept: NDArray[np.int64], shares: Vector) -> Vector:
    """The shares of ``ids``, of which not all are among those ``kept`` [n]."""
    is_one = kept == np.array(ids)[:, None]
    found: Vector = np.where(is_one.any(1), shares[is_one.argmax(1)], np.float32(0))
    return found


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
