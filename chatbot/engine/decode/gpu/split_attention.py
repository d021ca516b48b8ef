"""Attention of one token to many before it, in parts that are computed at the same time.

A kernel gives each head to one of a GPU's processors, of which a step of one token uses few then;
with the keys in parts it uses many, and what the parts come to is weighed by the sums of their
exponentials (flash-decoding: Dao et al. 2023). Knows tensors; nothing of models and caches.
"""

from typing import Final

import torch
from torch import Tensor

PART: Final = 256
"""Keys in a part."""

FEWEST: Final = 6 * PART
"""Keys from which on it pays, by reckoning: weighing takes three launches of some two microseconds
each, and one processor some ten for a thousand keys of 128 numbers. Not measured."""


def can_split(device: torch.device, dtype: torch.dtype, head_size: int) -> bool:
    """Whether the kernel that tells its sums computes such heads on ``device``."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    rows = torch.zeros(1, 1, PART, head_size, dtype=dtype, device=device)
    mask = torch.zeros(1, 1, PART, PART, dtype=dtype, device=device)
    wanted = torch.backends.cuda.SDPAParams(rows, rows, rows, mask, 0.0, False, False)
    return torch.backends.cuda.can_use_efficient_attention(wanted)


def attend_in_parts(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float
) -> Tensor:
    """Attention of one token, [key heads, heads that share one, head size].

    Args:
        queries: [key heads, heads that share one, head size].
        keys: [key heads, a multiple of ``PART``, head size].
        values: as ``keys``.
        mask: is added to the products of queries and keys, [1, keys]; finite, since a part may be
            masked as a whole.
        scale: of these products.
    """
    num_parts = keys.shape[1] // PART
    in_parts = (len(queries), num_parts, *queries.shape[1:])
    kept_in_parts = (*in_parts[:2], PART, keys.shape[2])
    attended, sums = _attention_and_sums(
        queries[:, None].expand(in_parts),
        keys.view(kept_in_parts),
        values.view(kept_in_parts),
        mask.view(1, num_parts, 1, PART).expand(*in_parts[:3], PART),
        scale,
    )
    weights = sums.softmax(dim=1).transpose(1, 2)
    # The parts of a head stand behind one another, as one product of all heads wants them.
    weights = weights.to(attended.dtype, memory_format=torch.contiguous_format)
    return (weights[:, :, None] @ attended.transpose(1, 2))[:, :, 0]


def _attention_and_sums(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Attention, and the logarithm of the sum of each row's exponentials in fp32, which torch's
    public attention keeps to itself."""
    if queries.is_cuda:
        attended, sums, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
            queries, keys, values, mask, compute_log_sumexp=True, scale=scale
        )
        return attended, sums[:, :, : queries.shape[2]]  # it rounds their number up
    attended, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        queries, keys, values, attn_mask=mask, scale=scale
    )
    return attended, sums
