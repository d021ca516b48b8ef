"""Puts a model's linear layers into the form that this processor multiplies fastest.

The layers stay where they are in the model, so that transformers can still compute with it;
their weights are kept once, by whichever form is in use. Knows transformers' modules by what
they are called; nothing of caches and steps.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from chatbot.engine.cpu_precision import WidenedLinear
from chatbot.engine.decode.architecture import (
    GROUPS,
    Architecture,
    projected_layers,
    read_architecture,
)
from chatbot.engine.decode.joining import joined_bias, joined_weight, weight_of
from chatbot.engine.decode.projections import (
    HalfProjection,
    Int4Projection,
    Int8Projection,
    NarrowInt8Projection,
    PlainProjection,
    Projection,
    ReorderedProjection,
    fbgemm,
    multiplies,
)
from chatbot.settings import Precision

HEADS: Final = ("lm_head", "embed_out", "output")
"""With 4 bits, or where they give numbers of 16, the choice of the word itself would suffer."""

PACKED_AT_ONCE: Final = 2
"""Each takes the memory of a weight in fp32, and of its packed form, for a moment, and torch packs
on one thread."""

PLAIN_LAYERS: Final = (nn.Linear, WidenedLinear)


class PackedLinear(nn.Linear):
    """A layer whose weight is in a projection, together with those of its neighbours."""

    def __init__(
        self, projection: Projection, start: int, num_outputs: int, dtype: torch.dtype
    ) -> None:
        """Take part in ``projection`` with the outputs from ``start`` on."""
        nn.Module.__init__(self)
        self.in_features = projection.num_inputs
        self.out_features = num_outputs
        self.projection = projection
        self.start = start
        # For whoever asks a layer for its device and dtype.
        self.weight = nn.Parameter(torch.empty(0, dtype=dtype), requires_grad=False)
        self.register_parameter("bias", None)

    def forward(self, input: Tensor) -> Tensor:
        """``input`` [..., in_features] to [..., out_features]."""
        rows = self.projection(input.reshape(-1, self.in_features))
        own = rows[:, self.start : self.start + self.out_features]
        return own.reshape(*input.shape[:-1], self.out_features)


def pack_linears(model: Any, precision: Precision, *, is_fused: bool) -> None:
    """Have the linear layers of ``model``, which is on the CPU, in their fastest form.

    Args:
        model: of transformers.
        precision: 8-bit and 4-bit round the weights; the others leave them as they are. For
            fp32 they may still be in 16 bits, and what is not packed stays so.
        is_fused: join the layers of ``GROUPS``; for models that our own step computes, since
            any other would compute the whole group for each of its layers.
    """
    jobs = [(parent, names) for parent in model.modules() for names in _groups(parent, is_fused)]

    def pack(job: tuple[nn.Module, tuple[str, ...]]) -> None:
        _pack(*job, precision)

    with fbgemm(), ThreadPoolExecutor(PACKED_AT_ONCE) as pool:
        for _ in pool.map(pack, jobs):
            pass


def packed_bytes(model: Any) -> int:
    """Memory of the weights that are in projections, which are no parameters any more."""
    held = {id(part.projection): part.projection.num_bytes for part in _packed(model)}
    return sum(held.values())


def unpacked(model: Any) -> str:
    """The first layer of an architecture that computes more than its own weight, as adapters do,
    and is neither packed nor could be; empty when there is none.
    """
    for parent, name in projected_layers(model):
        kind = type(parent.get_submodule(name))
        if kind not in PLAIN_LAYERS and kind is not PackedLinear:
            return f"its {name} is a {kind.__name__}"
    return ""


def packed_architecture(model: Any) -> Architecture:
    """The parts of ``model``, for which there is no refusal and nothing is unpacked."""
    return read_architecture(model, _projection_of)


def _projection_of(parent: nn.Module, names: Sequence[str]) -> Projection:
    """One product for layers that pack_linears has seen. Weights of plain ones are joined in
    place."""
    layers = [parent.get_submodule(name) for name in names]
    first = layers[0]
    if isinstance(first, PackedLinear):
        return first.projection
    return PlainProjection(joined_weight(layers), joined_bias(layers))


def _groups(parent: nn.Module, is_fused: bool) -> Iterator[tuple[str, ...]]:
    """The layers of ``parent`` that are packed together."""
    left = [name for name, child in parent.named_children() if type(child) in _PACKABLE]
    for names in GROUPS if is_fused else ():
        if all(name in left for name in names):
            left = [name for name in left if name not in names]
            yield names
    for name in left:
        yield (name,)


_PACKABLE: Final = (*PLAIN_LAYERS, Conv1D)


def _pack(parent: nn.Module, names: tuple[str, ...], precision: Precision) -> None:
    layers = [parent.get_submodule(name) for name in names]
    weights = [weight_of(layer) for layer in layers]
    dtype = weights[0].dtype
    weight = weights[0] if len(weights) == 1 else torch.cat(weights)
    make = _kind(weight, names, precision)
    if make is None:
        return
    projection = make(weight, joined_bias(layers))
    start = 0
    for name, part in zip(names, weights, strict=True):
        setattr(parent, name, PackedLinear(projection, start, part.shape[0], dtype))
        start += part.shape[0]


def _kind(
    weight: Tensor, names: tuple[str, ...], precision: Precision
) -> Callable[[Tensor, Tensor | None], Projection] | None:
    """What holds ``weight`` best; None: it stays as it is."""
    match precision:
        case "8-bit":
            if Int8Projection.is_possible():
                return Int8Projection
            return NarrowInt8Projection if NarrowInt8Projection.is_possible(weight) else None
        case "4-bit":
            if names[0] not in HEADS and Int4Projection.is_possible(weight):
                return Int4Projection
            return _kind(weight, names, "8-bit")
        case "fp32":
            if exact := _in_half(weight):
                return exact
            return _reordered_fp32 if ReorderedProjection.is_better(torch.float32) else None
        case _:
            is_widened = names[0] in HEADS or not multiplies(weight.dtype)
            if is_widened and (exact := _in_half(weight)):
                return exact
            return ReorderedProjection if ReorderedProjection.is_better(weight.dtype) else None


def _in_half(weight: Tensor) -> Callable[[Tensor, Tensor | None], Projection] | None:
    """What holds ``weight`` in 16 bits, and loses nothing that fp32 would show; None where that is
    not possible.
    """
    power = HalfProjection.power_for(weight) if HalfProjection.is_possible() else None
    return None if power is None else partial(HalfProjection, power=power)


def _reordered_fp32(weight: Tensor, bias: Tensor | None) -> ReorderedProjection:
    return ReorderedProjection(weight.float(), None if bias is None else bias.float())


def _packed(model: Any) -> Iterator[PackedLinear]:
    return (module for module in model.modules() if isinstance(module, PackedLinear))
