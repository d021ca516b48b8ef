"""Makes half precision quick on processors that cannot multiply it.

Without instructions for bf16 or fp16, matrix products of several rows run element by
element: reading a prompt is then six times slower than in fp32, and so is attention from a
single token. For those the factors are widened to fp32 for the moment of the product. A
single row times a weight, as in decoding, is bound by memory and stays as it is.
"""

from typing import Any, Final

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from chatbot.engine.decode.projections import MIN_WIDENED_ROWS, multiplies, widened_product

MAX_QUERIES: Final = 16
"""Up to here, widening keys and values does; for more, attention itself is quick."""

ATTENTION_NAME: Final = "widened_sdpa"


class WidenedLinear(nn.Linear):
    """A linear layer in half precision whose products of several rows are made in fp32."""

    def forward(self, input: Tensor) -> Tensor:
        """``input`` [..., in_features] to [..., out_features], both of the weight's dtype."""
        if input.numel() < MIN_WIDENED_ROWS * self.in_features:
            return super().forward(input)
        return widened_product(input, self.weight, self.bias)


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


def widen_products(model: Any) -> None:
    """Use both all over ``model`` where this processor needs it."""
    if model.device.type != "cpu" or multiplies(model.dtype):
        return
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = WidenedLinear
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(ATTENTION_NAME)
