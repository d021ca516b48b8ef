"""Many tokens on their way through all layers, by torch, in fp32 but for what is kept of them.

Knows an ``Architecture`` and where its keys and values are; nothing of tokens.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from chatbot.engine.decode.architecture import Architecture, Layer, Norm
from chatbot.engine.decode.cpu.attention import attend, mask_for
from chatbot.engine.decode.cpu.key_values import KeyValues
from chatbot.engine.decode.decoder import Interrupted


class ManyRows:
    """The layers and the last norm of a model."""

    def __init__(self, parts: Architecture) -> None:
        self._parts = parts
        self._scale = parts.head_size**-0.5

    def __call__(
        self,
        embedded: Tensor,
        cache: KeyValues,
        start: int,
        rotations: Tensor,
        is_cancelled: Callable[[], bool],
    ) -> Tensor:
        """See ``FewRows``, which is for fewer; ``embedded`` is kept."""
        parts = self._parts
        hidden = embedded
        num_new = hidden.shape[0]
        is_one_text = cache.num_rows == 1
        end = start + (num_new if is_one_text else 1)
        turns = rotations[start:end, None]
        mask = mask_for(num_new, start, parts.kept_dtype) if is_one_text else None
        for index, layer in enumerate(parts.layers):
            if is_cancelled():
                raise Interrupted
            queries, new_keys, new_values = _projected_heads(layer, parts, hidden, turns)
            keys, values = cache.keys[index], cache.values[index]
            if is_one_text:
                keys[0, :, start:end].copy_(new_keys.transpose(0, 1))
                values[0, :, start:end].copy_(new_values.transpose(0, 1))
            else:
                keys.select(2, start).copy_(new_keys)
                values.select(2, start).copy_(new_values)
            keys, values = keys.narrow(2, 0, end), values.narrow(2, 0, end)
            attended = attend(queries, keys, values, mask, self._scale)
            hidden = layer.output.add_to(hidden, attended)
            gated = layer.gate_up(_normalised(hidden, layer.mlp_norm))
            gate, up = gated.chunk(2, dim=1)
            hidden = layer.down.add_to(hidden, functional.silu(gate).mul_(up))
        return _normalised(hidden, parts.final_norm)


def _projected_heads(
    layer: Layer, parts: Architecture, hidden: Tensor, rotations: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of new tokens, at their positions.

    Args:
        layer: of ``parts``.
        parts: the model.
        hidden: [n, hidden size].
        rotations: complex [n or 1, 1, head size / 2].

    Returns:
        Queries [n, heads, size], keys and values [n, kv heads, size].
    """
    projected = layer.qkv(_normalised(hidden, layer.input_norm))
    heads = projected.view(hidden.shape[0], -1, parts.head_size)
    num_rotated = parts.num_heads + parts.num_kv_heads
    asked, values = heads.tensor_split((num_rotated,), dim=1)
    if layer.query_norm and layer.key_norm:
        asked = torch.cat(
            (
                _normalised(asked[:, : parts.num_heads], layer.query_norm),
                _normalised(asked[:, parts.num_heads :], layer.key_norm),
            ),
            dim=1,
        )
    if layer.is_rotated:
        asked = _rotated(asked, rotations)
    queries, keys = asked.tensor_split((parts.num_heads,), dim=1)
    return queries, keys, values


def _normalised(rows: Tensor, norm: Norm) -> Tensor:
    """``rows`` [..., size], each divided by its root mean square."""
    return functional.rms_norm(rows, rows.shape[-1:], norm.weight, norm.epsilon)


def _rotated(heads: Tensor, rotations: Tensor) -> Tensor:
    """``heads`` [n, heads, size] turned by ``rotations``, complex [n, 1, size / 2].

    The two halves of a head are the real and the imaginary parts. They come out alternating,
    in queries and keys alike, which leaves their products as they are.
    """
    turned = torch.complex(*heads.tensor_split(2, dim=-1)).mul_(rotations)
    return torch.view_as_real(turned).view(heads.shape)
