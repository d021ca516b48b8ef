"""How likely the token that was drawn was, and what else might have come, before and after the
sampling settings.

The same figures are computed in two ways. Between two tokens of a CPU everything is cold: each
operation costs more for being there than for its work, and one that wakes torch's other threads
may wait for a time slice. So there they are few compiled passes over the vocabulary. On any other
device they are torch's operations, and come from there in one piece. Knows no model and no text.
"""

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatbot.engine.failures import overflow_error
from chatbot.engine.sampling import Drawn
from chatbot.engine.token_facts import Chances, chances_in, token_facts

Vector = NDArray[np.float32]

_LEAST: Final = float(np.finfo(np.float32).tiny)
"""Smaller than any probability that matters, and of a finite logarithm."""


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
    chosen = torch.full((1,), token, device=scores.device)
    if drawn_from is None:
        shares = torch.zeros_like(scores).index_fill_(0, chosen, 1)
    elif drawn_from.ids is None:
        shares = drawn_from.shares
    else:
        shares = torch.zeros_like(scores).scatter_(0, drawn_from.ids, drawn_from.shares)
    found = chances_in(token_facts(scores, chosen, shares, k).tolist(), k)
    if math.isnan(found.entropy_before):
        raise overflow_error()
    return found
