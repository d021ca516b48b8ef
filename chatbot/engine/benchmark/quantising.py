"""Random weights as bitsandbytes keeps them, for shapes that there is no folder of to load.

The forms are those that ``chatbot.engine.precisions`` has transformers make.
"""

from typing import Any

from torch import nn

from chatbot.engine.precisions import INT8_THRESHOLD
from chatbot.engine.quantised_experts import round_experts_of
from chatbot.settings import Precision


def quantise(model: Any, precision: Precision) -> None:
    """Have linear layers of ``model``, except its head, and experts in 8 or 4 bits, in place.

    Args:
        model: of transformers, in half precision.
        precision: ``8-bit`` is LLM.int8, ``4-bit`` is NF4 with its scales quantised once more.
    """
    round_experts_of(model, in_4_bits=precision == "4-bit")
    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and layer is not head:
                setattr(parent, name, _quantised(layer, precision))


def _quantised(layer: nn.Linear, precision: Precision) -> nn.Module:
    import bitsandbytes

    sizes = layer.in_features, layer.out_features
    weight = layer.weight.data
    made: nn.Module
    if precision == "4-bit":
        made = bitsandbytes.nn.Linear4bit(
            *sizes, bias=False, compute_dtype=weight.dtype, quant_type="nf4", device="meta"
        )
        kept = bitsandbytes.nn.Params4bit(weight, requires_grad=False, quant_type="nf4")
    else:
        made = bitsandbytes.nn.Linear8bitLt(
            *sizes, bias=False, has_fp16_weights=False, threshold=INT8_THRESHOLD, device="meta"
        )
        # It is rounded on its way from the CPU alone.
        kept = bitsandbytes.nn.Int8Params(weight.cpu(), requires_grad=False, has_fp16_weights=False)
    made.weight = kept.to(weight.device)
    made.bias = layer.bias
    return made
