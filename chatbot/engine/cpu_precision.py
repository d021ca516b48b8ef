"""Makes attention in half precision quick on processors that cannot multiply it.

Without instructions for bf16 or fp16, attention from a single token runs element by element, six
times slower than in fp32: its factors are widened to fp32 for the moment of the product.
"""

from typing import Any, Final

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from chatbot.engine.decode.cpu.projections import multiplies

MAX_QUERIES: Final = 16
"""Up to here, widening keys and values does; for more, attention itself is quick."""

ATTENTION_NAME: Final = "widened_sdpa"


def widened_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention from few tokens in fp32, from many as transformers does it.

    Args:
        module: the attention layer.
        query: [1, heads, new tokens, head size].
        key: [1, key heads, all tokens, head size].
        value: as ``key``.
        attention_mask: [1, 1, new tokens, all tokens], or None when nothing is masked.
        **options: passed on.

    Returns:
        [1, new tokens, heads, head size] in the dtype of ``query``, and no weights.
    """
    dtype = query.dtype
    if query.shape[2] <= MAX_QUERIES:
        query, key, value = query.float(), key.float(), value.float()
        if attention_mask is not None and attention_mask.is_floating_point():
            attention_mask = attention_mask.float()
    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return output.to(dtype), None


AttentionInterface.register(ATTENTION_NAME, widened_attention)
AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)


def widen_attention(model: Any) -> None:
    """Have ``model`` use it where this processor needs it."""
    if model.device.type != "cpu" or multiplies(model.dtype):
        return
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(ATTENTION_NAME)
