"""Attention of many new tokens to those before them and to themselves: by tiles of our own in fp32,
by torch where it is computed in half precision.

Knows tensors; nothing of models.
"""

import torch
from torch import Tensor
from torch.nn import functional

from chatbot.engine.decode.cpu.kernels.forms import Form
from chatbot.engine.decode.cpu.kernels.instructions import Kind, instruction
from chatbot.engine.decode.cpu.kernels.team import TEAM
from chatbot.engine.decode.cpu.kernels.tiled_attention import room_for_tile
from chatbot.engine.decode.cpu.projections import multiplies


def work_dtype(kept_dtype: torch.dtype) -> torch.dtype:
    """What attention is computed in, for keys and values in ``kept_dtype``: in half precision it
    is quick where the processor multiplies it.
    """
    return kept_dtype if multiplies(kept_dtype) else torch.float32


def goes_by_tiles(kept_dtype: torch.dtype) -> bool:
    """Whether attention goes by tiles of our own."""
    return work_dtype(kept_dtype) == torch.float32


def mask_for(num_new: int, start: int, kept_dtype: torch.dtype) -> Tensor | None:
    """What tokens that follow one another may not see of one another, as ``attend`` takes it; tiles
    need none.

    Args:
        num_new: how many.
        start: tokens before them.
        kept_dtype: of keys and values.

    Returns:
        [new tokens, all tokens]; None where there are none before them, and for tiles.
    """
    if start == 0 or goes_by_tiles(kept_dtype):
        return None
    dtype = work_dtype(kept_dtype)
    mask = torch.zeros(num_new, start + num_new, dtype=dtype)
    mask[:, start:] = torch.full((num_new, num_new), -torch.inf).triu_(1)
    return mask


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float
) -> Tensor:
    """Attention, [n, heads * head size] in the dtype of the queries.

    Args:
        queries: [n, heads, head size].
        keys: [1, kv heads, all tokens, head size], in bf16 or fp32, a token behind the other.
        values: as ``keys``, with the same strides.
        mask: of ``mask_for``.
        scale: of the products of queries and keys.
    """
    if goes_by_tiles(keys.dtype):
        return _by_tiles(queries.float(), keys, values, scale).to(queries.dtype)
    dtype = work_dtype(keys.dtype)
    attended = _attend(queries.to(dtype), keys.to(dtype), values.to(dtype), mask, scale)
    return attended.to(queries.dtype)


def _by_tiles(queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    num_new, num_heads, size = queries.shape
    num_kv_heads, num_tokens = keys.shape[1:3]
    source = queries.contiguous()
    target = torch.empty(num_new, num_heads * size, dtype=torch.float32, device="cpu")
    tiles = instruction(
        Kind.TILED_ATTENTION,
        source=source.data_ptr(),
        target=target.data_ptr(),
        target_size=target.shape[1],
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_size=size,
        keys=keys.data_ptr(),
        values=values.data_ptr(),
        kept_form=Form.BF16 if keys.dtype == torch.bfloat16 else Form.FP32,
        num_texts=1,
        capacity=keys.stride(1) // size,
        scale=scale,
    )
    room = room_for_tile(num_heads, num_kv_heads, size)
    TEAM.run(tiles, num_new, num_tokens - num_new, room, torch.get_num_threads())
    return target


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float
) -> Tensor:
    num_new, num_heads = queries.shape[:2]
    attended = functional.scaled_dot_product_attention(
        queries.transpose(0, 1)[None],
        keys,
        values,
        attn_mask=mask,
        is_causal=mask is None,
        scale=scale,
        enable_gqa=num_heads != keys.shape[1],
    )
    return attended[0].transpose(0, 1).reshape(num_new, -1)
