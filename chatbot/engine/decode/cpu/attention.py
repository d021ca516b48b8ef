"""Attention of new tokens to those before them and to themselves, by torch.

Knows tensors; nothing of models.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from chatbot.engine.decode.cpu.projections import multiplies

MAX_GROUPED: Final = 16
"""Up to so many new tokens, the query heads that share a key head are computed as one."""


def work_dtype(num_new: int, kept_dtype: torch.dtype) -> torch.dtype:
    """What attention of so many new tokens is computed in, for keys and values in ``kept_dtype``:
    in half precision a block is quick where the processor multiplies it, and a token nowhere.
    """
    return kept_dtype if num_new > MAX_GROUPED and multiplies(kept_dtype) else torch.float32


def mask_for(num_new: int, start: int, num_shared: int, kept_dtype: torch.dtype) -> Tensor | None:
    """What tokens that follow one another may not see of one another, as ``attend`` takes it.

    Args:
        num_new: how many.
        start: tokens before them.
        num_shared: query heads that share a key head.
        kept_dtype: of keys and values.

    Returns:
        [new tokens, all tokens], or so for each of the heads that are grouped; None where that
        needs no mask.
    """
    if num_new == 1 or (start == 0 and num_new > MAX_GROUPED):
        return None
    mask = torch.zeros(num_new, start + num_new, dtype=work_dtype(num_new, kept_dtype))
    mask[:, start:] = torch.full((num_new, num_new), -torch.inf).triu_(1)
    return mask if num_new > MAX_GROUPED else mask.repeat(num_shared, 1)


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float
) -> Tensor:
    """Attention, [n, heads * head size] in the dtype of the queries.

    Args:
        queries: [n, heads, head size].
        keys: [rows, kv heads, all tokens, head size], with one row for all new tokens, or one
            for each.
        values: as ``keys``.
        mask: of ``mask_for``, where there is one row.
        scale: of the products of queries and keys.
    """
    dtype = work_dtype(queries.shape[0], keys.dtype)
    attended = _attend(queries.to(dtype), keys.to(dtype), values.to(dtype), mask, scale)
    return attended.to(queries.dtype)


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float
) -> Tensor:
    num_new, num_heads, size = queries.shape
    num_rows, num_kv_heads = keys.shape[:2]
    if num_rows == num_new:
        grouped = queries.view(num_new, num_kv_heads, -1, size)
        attended = functional.scaled_dot_product_attention(grouped, keys, values, scale=scale)
        return attended.reshape(num_new, -1)
    if num_new > MAX_GROUPED:
        attended = functional.scaled_dot_product_attention(
            queries.transpose(0, 1)[None],
            keys,
            values,
            attn_mask=mask,
            is_causal=mask is None,
            scale=scale,
            enable_gqa=num_heads != num_kv_heads,
        )
        return attended[0].transpose(0, 1).reshape(num_new, -1)
    # As if the queries of a group were tokens, so that each key and value is read once:
    # [n, kv heads, group, size] to [1, kv heads, group * n, size].
    split = queries.view(num_new, num_kv_heads, -1, size)
    grouped = split.permute(1, 2, 0, 3).reshape(1, num_kv_heads, -1, size)
    attended = functional.scaled_dot_product_attention(
        grouped, keys, values, attn_mask=mask, scale=scale
    )
    split = attended.view(num_kv_heads, -1, num_new, size)
    return split.permute(2, 0, 1, 3).reshape(num_new, -1)
