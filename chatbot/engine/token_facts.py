"""The numbers of one token's record, computed where the logits are and given as one vector.

Knows tensors alone; what the numbers become is ``chatbot.engine.recording``'s.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

BITS: Final = 1 / torch.log(torch.tensor(2.0)).item()
"""Bits in a nat."""

SERIAL_SIZE: Final = 32_768
"""Most elements that torch works through on one thread on a CPU, its own grain size."""

NUM_SCALARS: Final = 4
"""Facts that are one number each, at the beginning: rank and entropy, before and after."""

_BLOCK: Final = 256
"""Tokens of which the likeliest is found first, so that few are left to be sorted."""


def facts_size(num_alternatives: int) -> int:
    """Length of what ``token_facts`` gives for a token that was drawn."""
    return NUM_SCALARS + 3 * (2 * num_alternatives + 1)


def token_facts(
    scores: Tensor,
    chosen: Tensor,
    drawn_from: tuple[Tensor, Tensor] | None,
    num_alternatives: int,
    *,
    likeliest: Tensor | None = None,
    rivals: Tensor | None = None,
) -> Tensor:
    """Ranks, entropies and probabilities around one token; nothing waits for a GPU.

    Args:
        scores: logits as the model gave them, float32 [vocab].
        chosen: the token, int64 [1].
        drawn_from: see ``Sampler.drawn_from``.
        num_alternatives: likeliest tokens to tell of, k: at least 1, at most all.
        likeliest: the ``k`` highest of the scores, where they are known, int64 [k].
        rivals: scores among which all are that are higher than the token's, where fewer than all
            are known to be, float32 [n].

    Returns:
        Doubles, which hold every id exactly, so that all of it comes off the device at once: rank
        and rank after the sampling rules, entropy and entropy after them in bits; then ids,
        probabilities, and probabilities after the rules, of the ``k`` likeliest, of the ``k``
        likeliest to be drawn (none where nothing was drawn), and of the token.
    """
    if likeliest is None:
        likeliest = highest(scores, num_alternatives)
    total, entropy = _measure(scores, scores[likeliest[:1]])
    rank = _rank(scores if rivals is None else rivals, scores[chosen])
    if drawn_from is None:
        ids = torch.cat((likeliest, chosen))
        after = (ids == chosen).float()
        rank_after, entropy_after = torch.ones_like(rank), torch.zeros_like(entropy)
    else:
        kept, shares = drawn_from
        drawable = kept[highest(shares, min(num_alternatives, len(shares)))]
        ids = torch.cat((likeliest, drawable, chosen))
        everywhere = torch.zeros_like(scores).scatter_(0, kept, shares)
        after = everywhere[ids]
        rank_after = _rank(shares, everywhere[chosen])
        sums = [torch.special.entr(part).sum() for part in _parts(shares)]
        entropy_after = torch.stack(sums).sum(0, keepdim=True)
    before = (scores[ids] - total).exp()
    facts = torch.cat((rank, rank_after, entropy * BITS, entropy_after * BITS))
    return torch.cat((facts.double(), ids.double(), before.double(), after.double()))


def highest(scores: Tensor, k: int) -> Tensor:
    """Indices of the ``k`` highest of ``scores`` [n], the highest first: int64 [k]."""
    num_blocks = scores.shape[0] // _BLOCK
    if scores.device.type != "cpu" or num_blocks <= 2 * k:
        return scores.topk(k).indices
    # On a CPU it is the selecting that takes long. None of the k highest is outside the k blocks
    # with the highest maxima.
    blocks = scores[: num_blocks * _BLOCK].view(num_blocks, _BLOCK)
    chosen = blocks.amax(1).topk(k).indices
    inside = (chosen[:, None] * _BLOCK + torch.arange(_BLOCK)).view(-1)
    few = torch.cat((inside, torch.arange(num_blocks * _BLOCK, scores.shape[0])))
    return few[scores[few].topk(k).indices]


def _measure(scores: Tensor, maximum: Tensor) -> tuple[Tensor, Tensor]:
    """What logits are normalised by, and their entropy in nats: float32 [1] each.

    Args:
        scores: logits, float32 [vocab]; those of impossible tokens are minus infinity.
        maximum: the highest of them, float32 [1].
    """
    lowest = torch.finfo(torch.float32).min
    sums, products = [], []
    for part in _parts(scores):
        distances = part - maximum
        weights = distances.exp()
        sums.append(weights.sum())
        # What is impossible has no weight, but must not be multiplied by infinity.
        products.append(weights.dot(distances.clamp_min_(lowest)))
    weight = torch.stack(sums).sum(0, keepdim=True)
    entropy = weight.log() - torch.stack(products).sum(0, keepdim=True) / weight
    return maximum + weight.log(), entropy


def _rank(scores: Tensor, chosen: Tensor) -> Tensor:
    """The rank of ``chosen`` [1] of ``scores`` [n] among them, from 1 on: float32 [1]."""
    # 1 for each that is higher; comparing and counting truths takes three times as long.
    higher = [(part - chosen).sign_().clamp_min_(0).sum() for part in _parts(scores)]
    return torch.stack(higher).sum(0, keepdim=True) + 1


def _parts(values: Tensor) -> Sequence[Tensor]:
    """A vector in parts so small that torch does not wake its threads for them.

    Waking them takes longer than the work, many times so where other programs keep them busy.
    """
    if values.device.type != "cpu":
        return (values,)
    starts = range(0, values.shape[0], SERIAL_SIZE)
    return [values[start : start + SERIAL_SIZE] for start in starts]
