"""The weights of layers that read the same activations as one, so that they are one product.

The layers stay in their model, and share the memory of what was joined. Knows transformers'
modules; nothing of what multiplies.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


def weight_of(layer: Any) -> Tensor:
    """[outputs, inputs]; GPT-2 has its matrices the other way round."""
    weight: Tensor = layer.weight.detach()
    return weight.t() if isinstance(layer, Conv1D) else weight


def joined_weight(layers: Sequence[Any]) -> Tensor:
    """The weights below one another: each becomes a part of one tensor."""
    if len(layers) == 1:
        return weight_of(layers[0])
    first = layers[0].weight
    num_rows = sum(layer.weight.shape[0] for layer in layers)
    if _are_adjacent([layer.weight for layer in layers]):
        shared: Tensor = first.detach().as_strided((num_rows, first.shape[1]), first.stride())
        return shared
    joined = torch.cat([layer.weight.detach() for layer in layers])
    start = 0
    for layer in layers:
        end = start + layer.weight.shape[0]
        layer.weight = nn.Parameter(joined[start:end], requires_grad=False)
        start = end
    return joined


def _are_adjacent(weights: Sequence[Tensor]) -> bool:
    address = weights[0].data_ptr()
    storage = weights[0].untyped_storage().data_ptr()
    for weight in weights:
        is_next = weight.data_ptr() == address and weight.is_contiguous()
        if not is_next or weight.untyped_storage().data_ptr() != storage:
            return False
        address += weight.nbytes
    return True


def joined_bias(layers: Sequence[Any]) -> Tensor | None:
    """The biases one after the other; zeros for a layer that has none beside those that do."""
    if all(layer.bias is None for layer in layers):
        return None
    return torch.cat(
        [
            weight_of(layer).new_zeros(weight_of(layer).shape[0])
            if layer.bias is None
            else layer.bias.detach()
            for layer in layers
        ]
    )
