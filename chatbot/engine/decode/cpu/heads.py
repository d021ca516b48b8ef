"""Queries, keys and values of new tokens, from the product that they all come out of to where they
are looked for: as instructions for compiled code.

Knows an ``Architecture``; nothing of what is done before and after.
"""

from typing import Any

import numpy as np
import torch

from chatbot.engine.decode.architecture import Architecture, Layer
from chatbot.engine.decode.cpu.kernels.forms import Form
from chatbot.engine.decode.cpu.kernels.instructions import Instructions, Kind, instruction


def sizes_of(parts: Architecture) -> dict[str, Any]:
    """What each instruction about heads is told of them."""
    return {
        "num_heads": parts.num_heads,
        "num_kv_heads": parts.num_kv_heads,
        "head_size": parts.head_size,
        "kept_form": Form.BF16 if parts.kept_dtype == torch.bfloat16 else Form.FP32,
    }


def place_heads(
    parts: Architecture, layer: Layer, projected: int = 0, queries: int = 0
) -> Instructions:
    """Have heads normalised in place, where the layer wants it, and turned to their positions;
    queries are put together, keys and values into the cache.

    Args:
        parts: the model.
        layer: of ``parts``.
        projected: the address of the queries, keys and values of each token, fp32
            [n, all heads * head size].
        queries: where to write, fp32 [n, heads * head size].
    """
    size = parts.head_size
    wanted = (
        (layer.query_norm, 0, parts.num_heads),
        (layer.key_norm, parts.num_heads, parts.num_kv_heads),
    )
    norms = [
        instruction(
            Kind.NORMALISE_HEADS,
            source=projected,
            target=projected,
            target_size=(parts.num_heads + 2 * parts.num_kv_heads) * size,
            # Some models normalise all heads of a token as one.
            first_head=first_head * size // norm.weight.numel(),
            num_heads=number * size // norm.weight.numel(),
            head_size=norm.weight.numel(),
            weight=norm.weight.data_ptr(),
            epsilon=norm.epsilon,
        )
        for norm, first_head, number in wanted
        if norm is not None
    ]
    placing = instruction(
        Kind.PLACE_HEADS,
        source=projected,
        target=queries,
        target_size=parts.num_heads * size,
        is_rotated=layer.rotation is not None,
        **sizes_of(parts),
    )
    return np.concatenate((*norms, placing))
