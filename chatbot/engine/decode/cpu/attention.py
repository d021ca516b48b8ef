"""Attention of many new tokens to those before them and to themselves, by torch.

Knows tensors; nothing of models.
"""

import torch
from torch import Tensor
from torch.nn import functional

from chatbot.engine.decode.cpu.projections import multiplies


def work_dtype(kept_dtype: torch.dtype) -> torch.dtype:
    """What attention is computed in, for keys and values in ``kept_dtype``: in half precision it
    is quick where the processor multiplies it.
    """
    return kept_dtype if multiplies(kept_dtype) else torch.float32


def mask_for(num_new: int, start: int, kept_dtype: torch.dtype) -> Tensor | None:
    """What tokens that follow one another may not see of one another, as ``attend`` takes it.

    Args:
        num_new: how many.
        start: tokens before them.
        kept_dtype: of keys and values.

    Returns:
        [new tokens, all tokens]; None where there are none before them.
    """
    if start == 0:
        return None
    mask = torch.zeros(num_new, start + num_new, dtype=work_dtype(kept_dtype))
    mask[:, start:] = torch.full((num_new, num_new), -torch.inf).triu_(1)
    return mask


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
    dtype = work_dtype(keys.dtype)
    attended = _attend(queries.to(dtype), keys.to(dtype), values.to(dtype), mask, scale)
    return attended.to(queries.dtype)


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float
) -> Tensor:
    num_new, num_heads, size = queries.shape
    num_rows, num_kv_heads = keys.shape[:2]
    if num_rows > 1:
        grouped = queries.view(num_new, num_kv_heads, -1, size)
        attended = functional.scaled_dot_product_attention(grouped, keys, values, scale=scale)
        return attended.reshape(num_new, -1)
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
