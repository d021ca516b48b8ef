"""Puts a model's linear layers into the form that this processor multiplies fastest.

The layers stay where they are in the model, so that transformers can still compute with it;
their weights are kept once, by whichever form is in use. Knows transformers' modules by what
they are called; nothing of caches and steps.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from chatbot.engine.decode.architecture import (
    EXPERTS,
    GROUPS,
    Architecture,
    mixtures,
    projected_layers,
    read_architecture,
)
from chatbot.engine.decode.cpu.kernels.forms import BLOCK
from chatbot.engine.decode.cpu.packed_experts import PackedExperts
from chatbot.engine.decode.cpu.projections import (
    DirectProjection,
    Int4Projection,
    Int8Projection,
    shortest,
)
from chatbot.engine.decode.joining import joined_bias, joined_weight, weight_of
from chatbot.engine.decode.projection import Projection
from chatbot.settings import Precision

HEADS: Final = ("lm_head", "embed_out", "output")
"""With 4 bits, or with activations in 16, the choice of the word itself would suffer."""


class PackedLinear(nn.Linear):
    """A layer whose weight is in a projection, together with those of its neighbours."""

    def __init__(
        self, projection: DirectProjection, start: int, num_outputs: int, dtype: torch.dtype
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


def pack_linears(
    model: Any, precision: Precision, *, is_fused: bool, shared: Tensor | None = None
) -> None:
    """Have the linear layers of ``model``, which is on the CPU, in their fastest form.

    Args:
        model: of transformers.
        precision: 8-bit and 4-bit round the weights; the others leave them as they are. For
            fp32 they may still be in 16 bits, and what is not packed stays so.
        is_fused: join the layers of ``GROUPS``, and pack experts; for models that our own step
            computes, since any other would compute the whole group for each of its layers.
        shared: a weight that stays in the model too, and is not copied.
    """
    for parent in list(model.modules()):
        for names in _groups(parent, is_fused):
            _pack(parent, names, precision, shared)
    for mixture in mixtures(model) if is_fused else ():
        if not isinstance(mixture.experts, PackedExperts):
            mixture.experts = _packed_experts(mixture.experts, precision)


def _packed_experts(experts: Any, precision: Precision) -> PackedExperts:
    packed = []
    for name in EXPERTS:
        weight = getattr(experts, name).detach().flatten(0, 1).clone()
        delattr(experts, name)  # they may be most of a model
        packed.append(pack_weight(weight, EXPERTS, precision))
    return PackedExperts(experts, *packed)


def num_in_packed_experts(model: Any) -> int:
    """Parameters that are none of the model's any more, before its layers are packed as well."""
    return sum(
        part.num_outputs * part.num_inputs
        for module in model.modules()
        if isinstance(module, PackedExperts)
        for part in module.projections
    )


def packed_bytes(model: Any) -> int:
    """Memory of the weights that are in projections."""
    held = {id(part): part.num_bytes for part in _packed(model)}
    return sum(held.values())


def packed_tensors(model: Any) -> Iterator[Tensor]:
    """What the projections consist of; an embedding that is the head as well is among it."""
    for part in _packed(model):
        yield from part.held


def unpacked(model: Any) -> str:
    """The first layer of an architecture that is neither packed nor could be, such as one that
    computes more than its own weight, as adapters do; empty when there is none.
    """
    for parent, name in projected_layers(model):
        kind = type(parent.get_submodule(name))
        if kind not in (nn.Linear, PackedLinear):
            return f"its {name} is a {kind.__name__}"
    for mixture in mixtures(model):
        sizes = mixture.experts.hidden_dim, 2 * mixture.experts.intermediate_dim
        if any(size % BLOCK for size in sizes):
            return f"its experts are no multiples of {BLOCK} wide"
    return ""


def packed_architecture(model: Any) -> Architecture:
    """The parts of ``model``, for which there is no refusal and nothing is unpacked."""
    return read_architecture(model, _projection_of)


def _projection_of(parent: nn.Module, names: Sequence[str]) -> Projection:
    """One product for these layers; weights of those that pack_linears has not seen are joined in
    place."""
    own = getattr(parent, names[0])
    if isinstance(own, Projection):
        return own
    if isinstance(own, nn.Parameter):  # a router's, or those of all experts
        return DirectProjection(own.detach().flatten(0, -2), None)
    layers = [parent.get_submodule(name) for name in names]
    first = layers[0]
    if isinstance(first, PackedLinear):
        return first.projection
    return DirectProjection(joined_weight(layers), joined_bias(layers))


def _groups(parent: nn.Module, is_fused: bool) -> Iterator[tuple[str, ...]]:
    """The layers of ``parent`` that are packed together."""
    children = dict(parent.named_children())
    left = [name for name in children if type(children[name]) in _PACKABLE and name != _READ_BARE]
    for names in GROUPS if is_fused else ():
        if all(name in left for name in names):
            left = [name for name in left if name not in names]
            yield names
    for name in left:
        yield (name,)


_PACKABLE: Final = (nn.Linear, Conv1D)

_READ_BARE: Final = "dt_proj"
"""In Mamba 1, Falcon Mamba and Jamba, a layer whose weight is read without calling it."""


def _pack(
    parent: nn.Module, names: tuple[str, ...], precision: Precision, shared: Tensor | None
) -> None:
    layers = [parent.get_submodule(name) for name in names]
    weights = [weight_of(layer) for layer in layers]
    dtype = weights[0].dtype
    if shared is not None and weights[0].data_ptr() == shared.data_ptr():
        weight = weights[0]
    else:
        weight = torch.cat(weights)  # of one as well: it may lie in a map of a file
    projection = pack_weight(weight, names, precision, joined_bias(layers))
    start = 0
    for name, part in zip(names, weights, strict=True):
        setattr(parent, name, PackedLinear(projection, start, part.shape[0], dtype))
        start += part.shape[0]


def pack_weight(
    weight: Tensor, names: tuple[str, ...], precision: Precision, bias: Tensor | None = None
) -> DirectProjection:
    """What holds ``weight``, of layers with these names, best."""
    is_head = names[0] in HEADS
    match precision:
        case "8-bit":
            return Int8Projection(weight, bias, rounds=not is_head)
        case "4-bit":
            return Int8Projection(weight, bias) if is_head else Int4Projection(weight, bias)
        case "fp32":
            return DirectProjection(shortest(weight), bias)
        case _:
            return DirectProjection(weight, bias, rounds=not is_head)


def _packed(model: Any) -> Iterator[DirectProjection]:
    """The projections of all layers; one that several share comes up as often."""
    for module in model.modules():
        if isinstance(module, PackedLinear):
            yield module.projection
        elif isinstance(module, PackedExperts):
            yield from module.projections
