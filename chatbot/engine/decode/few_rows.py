"""A few tokens on their way through all layers, in fp32 but for the products of the weights.

Knows an ``Architecture`` and where its keys and values are; nothing of tokens.
"""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from chatbot.engine.compiled import Floats
from chatbot.engine.decode import kernels
from chatbot.engine.decode.architecture import Architecture, Layer, Norm
from chatbot.engine.decode.attention import attend, mask_for
from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.decode.key_values import KeyValues

MAX_ALONE: Final = 2**17
"""Numbers in a token's queries times all tokens, up to which one thread has attended before torch
has given the work out to several (measured, two threads)."""

FEW_THREADS: Final = 4
"""With so many, one of them is about as soon done with a token as torch with all, which has to
widen keys and values first: with two threads torch takes twice as long (measured up to 4,000
others). Thirteen tokens take one thread up to 2.7 times as long as torch takes two."""


class FewRows:
    """The layers and the last norm of a model whose activations are in fp32."""

    def __init__(self, parts: Architecture) -> None:
        self._parts = parts
        self._scale = parts.head_size**-0.5
        self._norms = [_arrays(layer.input_norm) for layer in parts.layers]
        self._norms.append(_arrays(parts.final_norm))
        self._middle_norms = [_arrays(layer.mlp_norm) for layer in parts.layers]
        self._head_norms = [_head_arrays(layer) for layer in parts.layers]

    def __call__(
        self,
        embedded: Tensor,
        cache: KeyValues,
        start: int,
        rotations: Tensor,
        is_cancelled: Callable[[], bool],
    ) -> Tensor:
        """What the head is to be given.

        Args:
            embedded: the new tokens, fp32 [n, hidden size]; written over.
            cache: has room for them. They follow one another in its only row, or each of them is
                in a row of its own.
            start: tokens that are in each row already.
            rotations: complex [at least all positions, head size / 2].
            is_cancelled: asked before each layer.

        Returns:
            fp32 [n, hidden size].

        Raises:
            Interrupted: it was cancelled.
        """
        parts = self._parts
        num_new = embedded.shape[0]
        rows = torch.empty_like(embedded)
        queries = torch.empty(num_new, parts.num_heads, parts.head_size)
        gated = torch.empty(num_new, parts.layers[0].down.num_inputs)
        # The same memory, as the kernels see it.
        residual, normalised, asked = embedded.numpy(), rows.numpy(), queries.numpy()
        gated_rows, turns = gated.numpy(), torch.view_as_real(rotations).numpy()
        kept = [
            (_kept(keys), _kept(values))
            for keys, values in zip(cache.keys, cache.values, strict=True)
        ]
        attention = self._attention(queries, cache, kept, start)

        kernels.normalise(residual, *self._norms[0], normalised)
        for index, layer in enumerate(parts.layers):
            if is_cancelled():
                raise Interrupted
            heads = layer.qkv(rows).numpy()
            self._normalise_heads(index, heads)
            kernels.place_heads(heads, turns, start, layer.is_rotated, asked, *kept[index])
            product = layer.output(attention(index)).numpy()
            kernels.add_and_normalise(product, *self._middle_norms[index], residual, normalised)
            kernels.gate(layer.gate_up(rows).numpy(), gated_rows)
            product = layer.down(gated).numpy()
            kernels.add_and_normalise(product, *self._norms[index + 1], residual, normalised)
        return rows

    def _normalise_heads(self, index: int, heads: Floats) -> None:
        if norms := self._head_norms[index]:
            num_heads, num_kv_heads = self._parts.num_heads, self._parts.num_kv_heads
            kernels.normalise_heads(heads, 0, num_heads, *norms[0])
            kernels.normalise_heads(heads, num_heads, num_kv_heads, *norms[1])

    def _attention(
        self,
        queries: Tensor,
        cache: KeyValues,
        kept: Sequence[tuple[kernels.Kept, kernels.Kept]],
        start: int,
    ) -> Callable[[int], Tensor]:
        """What gives, for a layer's number, [n, heads * head size], from ``queries`` [n, heads,
        head size], which are changed from layer to layer; ``kept`` is what is in ``cache``.
        """
        parts, scale = self._parts, self._scale
        num_new = queries.shape[0]
        num_shared = parts.num_heads // parts.num_kv_heads
        is_one_text = cache.num_rows == 1
        end = start + (num_new if is_one_text else 1)
        # Not a matter of how many tokens are new: several have to come to what each of them does
        # alone, to the last bit, or a guess could be taken that the model would not write. Torch
        # would widen all rows of a batch, which takes six times as long.
        is_alone = queries[0].numel() * end <= MAX_ALONE or not is_one_text
        if is_alone or torch.get_num_threads() <= FEW_THREADS:
            attended = torch.empty(num_new, parts.num_heads * parts.head_size)
            room, asked, answer = torch.empty(num_shared, end), queries.numpy(), attended.numpy()
            shares = room.numpy()

            def alone(index: int) -> Tensor:
                kernels.attend(asked, *kept[index], start, scale, shares, answer)
                return attended

            return alone
        mask = mask_for(num_new, start, num_shared, parts.kept_dtype)

        def shared(index: int) -> Tensor:
            keys, values = cache.keys[index], cache.values[index]
            return attend(queries, keys.narrow(2, 0, end), values.narrow(2, 0, end), mask, scale)

        return shared


def _kept(numbers: Tensor) -> kernels.Kept:
    """Keys or values of a layer, as the kernels see them."""
    is_wide = numbers.dtype == torch.float32
    array: kernels.Kept = (numbers if is_wide else numbers.view(torch.uint16)).numpy()
    return array


def _arrays(norm: Norm) -> tuple[Floats, float]:
    return norm.weight.numpy(), norm.epsilon


def _head_arrays(layer: Layer) -> tuple[tuple[Floats, float], tuple[Floats, float]] | None:
    """The norms of queries and keys, where a layer has them."""
    if layer.query_norm is None or layer.key_norm is None:
        return None
    return _arrays(layer.query_norm), _arrays(layer.key_norm)
