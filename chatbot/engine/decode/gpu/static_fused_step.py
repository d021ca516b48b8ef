"""One step of our own for models of Llama's build, on a cache that does not move.

A small step on a GPU costs what its kernels cost to launch, even as a graph: some two
microseconds each, and transformers' own takes over forty a layer. This one takes twelve, all of
them torch's. Knows an ``Architecture``; nothing of graphs.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from chatbot.engine.decode.architecture import (
    Layer,
    Rotation,
    added,
    mixtures,
    read_architecture,
    refusal,
)
from chatbot.engine.decode.brake import Brake
from chatbot.engine.decode.gpu.device_projections import device_projection
from chatbot.engine.decode.gpu.split_attention import FEWEST, attend_in_parts, can_split
from chatbot.engine.decode.gpu.static_cache import StaticCache
from chatbot.engine.decode.gpu.static_step import StaticStep, place_refusal

JOINED_SHARE: Final = 4
"""Weights are joined where they take at most one part in so many of the device's memory, and would
fit once more. What they took before cannot always be used again, and for larger ones a launch less
matters little."""

MASKED: Final = -30_000.0
"""Is added where nothing is to be seen: e to the power of it is 0. Infinity would make a sum of
such numbers alone no number."""

ACTIVATIONS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "silu": functional.silu,
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
}


def static_fused_refusal(model: Any) -> str:
    """Why this step cannot compute ``model``, in a few words; empty when it can."""
    if reason := place_refusal(model) or refusal(model):
        return reason
    # Which experts a token has would have to come from the device before they can be launched.
    return "it chooses among experts" if any(mixtures(model)) else ""


class StaticFusedStep(StaticStep):
    """Computes by an ``Architecture``."""

    name = "fused"

    def __init__(self, model: Any, brake: Brake) -> None:
        """Use ``model``, for which there is no refusal.

        Args:
            model: of transformers, in eval mode, on one device; some of its weights may be joined,
                as parts of which it goes on having them.
            brake: is asked before each layer.
        """
        super().__init__(model)
        projection_of = partial(device_projection, is_joined=_can_be_joined(model))
        self._parts = read_architecture(model, projection_of)
        self._brake = brake
        self._num_shared = self._parts.num_heads // self._parts.num_kv_heads
        self._windows = {layer.window for layer in self._parts.layers}
        dtype = self._parts.dtype
        self._rotations = [_Rotations(each, dtype) for each in self._parts.rotations]
        bound = self._parts.score_bound
        self._attend = (
            functional.scaled_dot_product_attention
            if bound is None
            else partial(_bounded_attention, bound=bound)
        )
        self._can_split = bound is None and can_split(self.device, dtype, self._parts.head_size)
        self._activation = ACTIVATIONS[self._parts.activation]

    def __call__(
        self,
        cache: StaticCache,
        ids: Tensor,
        positions: Tensor,
        length: int,
        *,
        wants_last: bool = False,
    ) -> Tensor:
        """See ``StaticStep``."""
        parts = self._parts
        cache.place.positions, cache.place.length = positions, length
        masks = {window: self._mask(positions, length, window) for window in self._windows}
        rotations = [each.at(positions) for each in self._rotations]
        embedded = parts.embedded(ids)
        shape = embedded.shape
        hidden = embedded.view(-1, shape[-1])
        for index, layer in enumerate(parts.layers):
            self._brake.check()
            heads = layer.qkv(layer.input_norm(hidden)).view(*shape[:2], -1)
            queries, keys, values = self._turned_heads(layer, heads, rotations)
            keys, values = cache.update(keys.transpose(1, 2), values.transpose(1, 2), index)
            attended = self._attended(queries, keys, values, masks[layer.window])
            hidden = added(hidden, layer.output, attended, layer.output_norm)
            gate, up = layer.mlp.gate_up(layer.mlp_norm(hidden)).chunk(2, dim=-1)
            gated = self._activation(gate).mul_(up)
            hidden = added(hidden, layer.mlp.down, gated, layer.mlp_output_norm)
        rows = hidden.view(shape)[:, -1:] if wants_last else hidden.view(shape)
        return parts.logits(parts.final_norm(rows))

    def _mask(self, positions: Tensor, length: int, window: int | None) -> Tensor:
        """What is added to the products of queries and keys: [n, length]."""
        size = (positions.shape[0], length)
        mask = torch.zeros(size, dtype=self._parts.dtype, device=self.device)
        places = torch.arange(length, device=self.device)
        is_unseen = places > positions[:, None]
        if window is not None:
            is_unseen |= places <= positions[:, None] - window
        return mask.masked_fill_(is_unseen, MASKED)

    def _turned_heads(
        self, layer: Layer, projected: Tensor, rotations: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [rows, n, its heads, head size]."""
        parts = self._parts
        heads = projected.view(*projected.shape[:2], -1, parts.head_size)
        asked, values = heads.tensor_split((parts.num_heads + parts.num_kv_heads,), dim=2)
        if layer.query_norm and layer.key_norm:
            queries, keys = asked.tensor_split((parts.num_heads,), dim=2)
            queries = layer.query_norm(queries)
            keys = layer.key_norm(keys)
            asked = torch.cat((queries, keys), dim=2)
        if layer.rotation is not None:
            asked = asked @ rotations[layer.rotation]
        queries, keys = asked.tensor_split((parts.num_heads,), dim=2)
        return queries, keys, values

    def _attended(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """[rows * n, heads * head size].

        Key heads are attended as if they were rows, each by the heads that share it: so keys and
        values are read as they are, and for one new token the answer is in its place.

        Args:
            queries: [rows, n, heads, head size].
            keys: [rows, kv heads, length, head size].
            values: as ``keys``.
            mask: see ``_mask``.
        """
        num_rows, num_new, _, size = queries.shape
        num_kv_heads, num_shared = self._parts.num_kv_heads, self._num_shared
        if num_rows * num_new == 1 and self._can_split and keys.shape[2] >= FEWEST:
            asked = queries.view(num_kv_heads, num_shared, size)
            scale = self._parts.score_scale
            return attend_in_parts(asked, keys[0], values[0], mask, scale).reshape(1, -1)
        apart = queries.view(num_rows, num_new, num_kv_heads, num_shared, size)
        attended = self._attend(
            apart.permute(0, 2, 3, 1, 4).reshape(-1, num_shared, num_new, size),
            keys.flatten(0, 1)[:, None].expand(-1, num_shared, -1, -1),
            values.flatten(0, 1)[:, None].expand(-1, num_shared, -1, -1),
            attn_mask=mask,
            scale=self._parts.score_scale,
        )
        heads = attended.view(num_rows, num_kv_heads, num_shared, num_new, size)
        return heads.permute(0, 3, 1, 2, 4).reshape(num_rows * num_new, -1)


class _Rotations:
    """Rotary positions (Su et al. 2021) as matrices, so that all heads are turned by one product.

    Each has two numbers a column that are not 0, so nothing is rounded but the sum of two.
    """

    def __init__(self, rotation: Rotation, dtype: torch.dtype) -> None:
        half = rotation.frequencies.shape[0]
        self._scale = rotation.scale
        self._dtype = dtype
        self._frequencies = rotation.frequencies.repeat(2)
        self._straight = torch.eye(2 * half, dtype=dtype, device=rotation.frequencies.device)
        # The first half of a head goes into the second one, and this with the other sign back.
        self._across = self._straight.roll(half, 1)
        self._across[half:].neg_()

    def at(self, positions: Tensor) -> Tensor:
        """For int64 [n]: [n, head size, head size]."""
        angles = positions[:, None, None] * self._frequencies
        cosines = (angles.cos() * self._scale).to(self._dtype)
        sines = (angles.sin() * self._scale).to(self._dtype)
        return torch.addcmul(self._straight * cosines, self._across, sines)


def _bounded_attention(
    queries: Tensor, keys: Tensor, values: Tensor, attn_mask: Tensor, scale: float, bound: float
) -> Tensor:
    """Attention as torch has it, of scores that are bent towards ``bound``; heads that share keys
    and values are given the same."""
    asked = queries.flatten(1, 2)
    scores = (asked @ keys[:, 0].transpose(1, 2)).mul_(scale / bound).tanh_()
    weights = torch.add(attn_mask, scores.view(*queries.shape[:3], -1), alpha=bound).softmax(-1)
    return (weights.flatten(1, 2) @ values[:, 0]).view_as(queries)


def _can_be_joined(model: Any) -> bool:
    if model.device.type != "cuda":
        return True
    free, total = torch.cuda.mem_get_info(model.device)
    size = model.get_memory_footprint()
    return bool(JOINED_SHARE * size <= total and size <= free)
