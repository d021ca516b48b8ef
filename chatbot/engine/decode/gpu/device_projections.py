"""Matrix products with weights on a GPU: as few launches of kernels as possible.

Knows linear layers; nothing of models.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatbot.engine.decode.decoder import GPU_ROW_COST
from chatbot.engine.decode.joining import joined_bias, joined_weight
from chatbot.engine.decode.projection import Projection


def device_projection(parent: nn.Module, names: Sequence[str], *, is_joined: bool) -> Projection:
    """One product for the layers ``names`` of ``parent``.

    Args:
        parent: their module.
        names: of layers of any kind that read the same activations.
        is_joined: several plain weights may become one tensor, of which each is a part then.
    """
    layers = [parent.get_submodule(name) for name in names]
    if len(layers) > 1 and is_joined and all(type(layer) is nn.Linear for layer in layers):
        return WeightProjection(joined_weight(layers), joined_bias(layers))
    alone = [_projection_alone(layer) for layer in layers]
    return alone[0] if len(alone) == 1 else SeveralProjections(alone)


def _projection_alone(layer: Any) -> Projection:
    if type(layer) is nn.Linear:
        return WeightProjection(layer.weight.detach(), layer.bias)
    return LayerProjection(layer)


class WeightProjection(Projection):
    """A weight as it is."""

    row_cost = GPU_ROW_COST

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.num_outputs, self.num_inputs = weight.shape
        self.num_bytes = weight.nbytes + (0 if bias is None else bias.nbytes)
        self._weight = weight
        self._turned = weight.t()
        self._bias = bias

    def __call__(self, rows: Tensor) -> Tensor:
        """See ``Projection``."""
        return functional.linear(rows, self._weight, self._bias)

    def add_to(self, residual: Tensor, rows: Tensor) -> Tensor:
        """See ``Projection``; rounded once, and written over ``residual``."""
        total = residual.addmm_(rows, self._turned)
        return total if self._bias is None else total.add_(self._bias)


class LayerProjection(Projection):
    """Whatever a layer computes by itself: bitsandbytes' weights, adapters."""

    row_cost = GPU_ROW_COST

    def __init__(self, layer: Any) -> None:
        self.num_outputs, self.num_inputs = layer.out_features, layer.in_features
        self.num_bytes = sum(parameter.nbytes for parameter in layer.parameters())
        self._layer = layer

    def __call__(self, rows: Tensor) -> Tensor:
        """See ``Projection``."""
        product: Tensor = self._layer(rows)
        return product


class SeveralProjections(Projection):
    """Products of the same activations, one after the other."""

    row_cost = GPU_ROW_COST

    def __init__(self, parts: Sequence[Projection]) -> None:
        self.num_inputs = parts[0].num_inputs
        self.num_outputs = sum(part.num_outputs for part in parts)
        self.num_bytes = sum(part.num_bytes for part in parts)
        self._parts = parts

    def __call__(self, rows: Tensor) -> Tensor:
        """See ``Projection``."""
        return torch.cat([part(rows) for part in self._parts], dim=-1)
