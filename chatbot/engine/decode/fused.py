"""Our own step for models of Llama's build, on a CPU: few large operations, nothing copied.

A token costs the reading of all weights, and whatever is done besides shows: transformers'
own step spends more time between its operations than in them for a model of this size.
Rounding follows transformers' in each precision.
"""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from chatbot.engine.decode.architecture import Architecture, Layer, Norm
from chatbot.engine.decode.decoder import Decoder, Interrupted
from chatbot.engine.decode.key_values import KeyValues

MAX_GROUPED: Final = 16
"""Up to so many new tokens, the query heads that share a key head are computed as one."""


class FusedDecoder(Decoder):
    """Reads tokens by an ``Architecture``."""

    name = "fused"
    can_go_back = True

    def __init__(self, architecture: Architecture) -> None:
        self._parts = architecture
        self.row_cost = architecture.layers[0].gate_up.row_cost
        self._cache = KeyValues(
            len(architecture.layers),
            architecture.num_kv_heads,
            architecture.head_size,
            architecture.dtype,
        )
        self._rotations = torch.empty(0, architecture.head_size // 2, dtype=torch.complex64)
        self._scale = architecture.head_size**-0.5
        self._root = architecture.embedding.shape[1] ** 0.5

    @property
    def architecture(self) -> Architecture:
        """What it reads by."""
        return self._parts

    @property
    def cache(self) -> KeyValues:
        """Keys and values of what was read."""
        return self._cache

    @property
    def num_cache_bytes(self) -> int:
        """See ``Decoder``."""
        return self._cache.num_bytes

    def clear(self) -> None:
        """See ``Decoder``."""
        self._cache.clear()

    def crop(self, length: int) -> bool:
        """See ``Decoder``; whatever follows is simply written over."""
        if length == 0:
            self._cache.clear()
        return True

    @torch.inference_mode()
    def read(
        self,
        tokens: Sequence[int],
        start: int,
        is_cancelled: Callable[[], bool],
        *,
        wants_each: bool = False,
    ) -> Tensor:
        """See ``Decoder``."""
        parts = self._parts
        end = start + len(tokens)
        self._cache.reserve(end, start)
        self._prepare_rotations(end)
        ids = torch.tensor(tokens, dtype=torch.int64)
        hidden = functional.embedding(ids, parts.embedding).to(parts.dtype)
        rotations = self._rotations[start:end, None]
        mask = self._mask(start, len(tokens))
        for index, layer in enumerate(parts.layers):
            if is_cancelled():
                raise Interrupted
            attended = self._attend(layer, index, hidden, start, rotations, mask)
            hidden = layer.output.add_to(hidden, attended)
            gated = layer.gate_up(normalised(hidden, layer.mlp_norm))
            gate, up = gated.chunk(2, dim=1)
            hidden = layer.down.add_to(hidden, functional.silu(gate).mul_(up))
        if not wants_each:
            hidden = hidden[-1:]
        logits = parts.head(normalised(hidden, parts.final_norm))
        return logits if wants_each else logits[0]

    def _attend(
        self,
        layer: Layer,
        index: int,
        hidden: Tensor,
        start: int,
        rotations: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """Attention of the new tokens ``hidden`` [n, hidden size]: [n, heads * head size]."""
        parts = self._parts
        num_new = hidden.shape[0]
        end = start + num_new
        queries, new_keys, new_values = projected_heads(layer, parts, hidden, rotations)
        keys, values = self._cache.keys[index], self._cache.values[index]
        keys.narrow(2, start, num_new).copy_(new_keys.transpose(0, 1))
        values.narrow(2, start, num_new).copy_(new_values.transpose(0, 1))
        keys, values = keys.narrow(2, 0, end), values.narrow(2, 0, end)
        if num_new <= MAX_GROUPED:
            return self._grouped(queries, keys, values, mask)
        attended = functional.scaled_dot_product_attention(
            queries.transpose(0, 1)[None],
            keys,
            values,
            attn_mask=mask,
            is_causal=mask is None,
            scale=self._scale,
            enable_gqa=parts.num_heads != parts.num_kv_heads,
        )
        return attended[0].transpose(0, 1).reshape(num_new, -1)

    def _grouped(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None
    ) -> Tensor:
        """As if the queries of a group were tokens: each key and value is read once.

        Args:
            queries: [n, heads, head size].
            keys: [1, kv heads, all tokens, head size].
            values: as ``keys``.
            mask: [group * n, all tokens] or None.
        """
        num_new, num_heads, size = queries.shape
        num_kv_heads = keys.shape[1]
        if num_new == 1:
            grouped = queries.view(1, num_kv_heads, num_heads // num_kv_heads, size)
        else:
            # [n, kv heads, group, size] to [1, kv heads, group * n, size]
            split = queries.view(num_new, num_kv_heads, -1, size)
            grouped = split.permute(1, 2, 0, 3).reshape(1, num_kv_heads, -1, size)
        attended = functional.scaled_dot_product_attention(
            grouped, keys, values, attn_mask=mask, scale=self._scale
        )
        if num_new == 1:
            return attended.reshape(1, -1)
        split = attended.view(num_kv_heads, num_heads // num_kv_heads, num_new, size)
        return split.permute(2, 0, 1, 3).reshape(num_new, -1)

    def _mask(self, start: int, num_new: int) -> Tensor | None:
        """What the new tokens may not see of one another; None where that needs no mask."""
        if num_new == 1 or (start == 0 and num_new > MAX_GROUPED):
            return None
        mask = torch.zeros(num_new, start + num_new, dtype=self._parts.dtype)
        mask[:, start:] = torch.full((num_new, num_new), -torch.inf).triu_(1)
        if num_new > MAX_GROUPED:
            return mask
        return mask.repeat(self._parts.num_heads // self._parts.num_kv_heads, 1)

    def _prepare_rotations(self, num_tokens: int) -> None:
        """Have the rotation of each position, rounded as transformers rounds it."""
        if num_tokens <= self._rotations.shape[0]:
            return
        length = max(2 * self._rotations.shape[0], num_tokens)
        self._rotations = rotations_until(length, self._parts)


def projected_heads(
    layer: Layer, parts: Architecture, hidden: Tensor, rotations: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of new tokens, at their positions.

    Args:
        layer: of ``parts``.
        parts: the model.
        hidden: [n, hidden size].
        rotations: complex [n or 1, 1, head size / 2].

    Returns:
        Queries [n, heads, size] in the dtype of the cache, keys and values [n, kv heads, size].
    """
    projected = layer.qkv(normalised(hidden, layer.input_norm))
    heads = projected.view(hidden.shape[0], -1, parts.head_size)
    num_rotated = parts.num_heads + parts.num_kv_heads
    asked, values = heads.tensor_split((num_rotated,), dim=1)
    if layer.query_norm and layer.key_norm:
        asked = torch.cat(
            (
                normalised(asked[:, : parts.num_heads], layer.query_norm),
                normalised(asked[:, parts.num_heads :], layer.key_norm),
            ),
            dim=1,
        )
    if layer.is_rotated:
        asked = _rotated(asked, rotations)
    queries, keys = asked.tensor_split((parts.num_heads,), dim=1)
    if queries.dtype != parts.dtype:
        queries = queries.to(parts.dtype)
    return queries, keys, values


def rotations_until(num_tokens: int, parts: Architecture) -> Tensor:
    """The rotation of each position, rounded as transformers rounds it: complex [n, size / 2]."""
    positions = torch.arange(max(num_tokens, 1024))
    angles = positions[:, None].float() * parts.frequencies
    real = (angles.cos() * parts.rotation_scale).to(parts.dtype).float()
    imaginary = (angles.sin() * parts.rotation_scale).to(parts.dtype).float()
    return torch.complex(real, imaginary)


def normalised(rows: Tensor, norm: Norm) -> Tensor:
    """``rows`` [..., size], each divided by its root mean square."""
    if rows.dim() == 2 and rows.shape[0] == 1:
        wide = rows[0] if rows.dtype == torch.float32 else rows[0].float()
        mean = torch.dot(wide, wide).item() / wide.shape[0]
        return rows.mul((mean + norm.epsilon) ** -0.5).mul_(norm.weight)
    if rows.dtype == torch.float32:
        return functional.rms_norm(rows, rows.shape[-1:], norm.weight, norm.epsilon)
    wide = rows.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + norm.epsilon)
    return wide.to(rows.dtype).mul_(norm.weight)


def _rotated(heads: Tensor, rotations: Tensor) -> Tensor:
    """``heads`` [n, heads, size] turned by ``rotations``, complex [n, 1, size / 2]: fp32.

    The two halves of a head are the real and the imaginary parts. They come out alternating,
    in queries and keys alike, which leaves their products as they are.
    """
    wide = heads if heads.dtype == torch.float32 else heads.float()
    turned = torch.complex(*wide.tensor_split(2, dim=-1)).mul_(rotations)
    return torch.view_as_real(turned).view(heads.shape)
