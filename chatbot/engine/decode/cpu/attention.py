"""Attention of many new tokens to those before them and to themselves, by tiles.

Knows tensors; nothing of models.
"""

import torch
from torch import Tensor

from chatbot.engine.decode.cpu.kernels.forms import Form
from chatbot.engine.decode.cpu.kernels.instructions import Kind, instruction
from chatbot.engine.decode.cpu.kernels.team import TEAM
from chatbot.engine.decode.cpu.kernels.tiled_attention import room_for_tile


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    scale: float,
    *,
    window: int | None = None,
    bound: float | None = None,
) -> Tensor:
    """Attention of tokens that follow one another, fp32 [n, heads * head size].

    Where the processor adds up pairs of products in bf16, queries and weights are rounded to it if
    keys and values are, and heads fill vectors. Torch's takes two to three times as long there, by
    processor time (Zen 4, heads of 64 and 128, 512 new tokens, 0 and 3,584 before).

    Args:
        queries: fp32 [n, heads, head size].
        keys: [1, kv heads, all tokens, head size], in bf16 or fp32, a token behind the other.
        values: as ``keys``, with the same strides.
        scale: of the products of queries and keys.
        window: see ``Layer.window``.
        bound: see ``Architecture.score_bound``.
    """
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
        bound=bound or 0,
        window=window or 0,
    )
    room = room_for_tile(num_heads, num_kv_heads, size)
    TEAM.run(tiles, num_new, num_tokens - num_new, room, torch.get_num_threads())
    return target
