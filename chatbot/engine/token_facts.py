"""The figures of one token that was drawn on a device, computed there and given as one vector.

The operations can be captured. Knows tensors alone.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

_NUM_SCALARS: Final = 4
"""Figures that are one number each, at the beginning: ranks and entropies, before and after."""


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


def facts_size(num_alternatives: int) -> int:
    """Length of what ``token_facts`` gives."""
    return _NUM_SCALARS + 3 * (2 * num_alternatives + 1)


def token_facts(scores: Tensor, chosen: Tensor, shares: Tensor, num_alternatives: int) -> Tensor:
    """Ranks, entropies and probabilities around one token; nothing waits for a GPU.

    Args:
        scores: logits as the model gave them, float32 [vocab].
        chosen: the token, int64 [1].
        shares: the probability that each token was drawn with, float32 [vocab]; 0 where it was left
            out.
        num_alternatives: likeliest tokens to tell of, k: at least 1, at most all.

    Returns:
        Float32, which holds every id exactly, so that all of it comes off the device at once: see
        ``chances_in``.
    """
    before = scores.softmax(0)
    highest = [values.topk(num_alternatives).indices for values in (scores, shares)]
    told = torch.cat((*highest, chosen))
    scalars = torch.cat(
        (
            (scores > scores[chosen]).sum(0, keepdim=True) + 1.0,
            (shares > shares[chosen]).sum(0, keepdim=True) + 1.0,
            torch.special.entr(before).sum(0, keepdim=True),
            torch.special.entr(shares).sum(0, keepdim=True),
        )
    )
    facts = (scalars, told, before[told], shares[told])
    return torch.cat([part.float() for part in facts])


def chances_in(facts: Sequence[float], num_alternatives: int) -> Chances:
    """What is told of a token.

    Args:
        facts: ranks and entropies in nats, before and after the sampling rules; then ids,
            probabilities, and probabilities after the rules, of the likeliest, of the likeliest
            to be drawn if they are told of, and of the token.
        num_alternatives: likeliest tokens that were wanted.
    """
    rank_before, rank_after, entropy_before, entropy_after = facts[:_NUM_SCALARS]
    rest = facts[_NUM_SCALARS:]
    num_ids = len(rest) // 3
    ids = [int(number) for number in rest[:num_ids]]
    pairs = zip(rest[num_ids : 2 * num_ids], rest[2 * num_ids :], strict=True)
    # Where fewer could be drawn than are wanted, others with no chance fill the places.
    by_token = {
        key: pair
        for index, (key, pair) in enumerate(zip(ids, pairs, strict=True))
        if not num_alternatives <= index < num_ids - 1 or pair[1] > 0
    }
    return Chances(int(rank_before), int(rank_after), entropy_before, entropy_after, by_token)
