"""A few tokens on their way through all layers, in fp32 but for the products of the weights.

Knows an ``Architecture`` and where its keys and values are; nothing of tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chatbot.engine.decode.architecture import Architecture, Norm
from chatbot.engine.decode.cpu.heads import place_heads, sizes_of
from chatbot.engine.decode.cpu.kernels import attention, products
from chatbot.engine.decode.cpu.kernels.block_products import MAX_FEW
from chatbot.engine.decode.cpu.kernels.instructions import Instructions, Kind, instruction
from chatbot.engine.decode.cpu.kernels.team import TEAM
from chatbot.engine.decode.cpu.key_values import KeyValues
from chatbot.engine.decode.cpu.perceptrons import perceptron
from chatbot.engine.decode.cpu.workspace import Workspace, between, product
from chatbot.engine.decode.decoder import Interrupted


class FewRows:
    """The layers and the last norm of a model whose activations are in fp32.

    What is on its way is in memory of its own, so that there is one reading at a time.
    """

    def __init__(self, parts: Architecture) -> None:
        """Write down what is to be done.

        Raises:
            ValueError: its layers do not fit together.
        """
        self._parts = parts
        hidden_size, size = parts.embedding.shape[1], parts.num_heads * parts.head_size
        self._space = space = Workspace(MAX_FEW)
        self._hidden = space.rows("hidden", hidden_size)
        self._normalised = space.rows("normalised", hidden_size, is_filled=True)
        self._heads = space.rows("heads", size + 2 * parts.num_kv_heads * parts.head_size)
        self._queries = space.rows("queries", size)
        self._attended = space.rows("attended", size, is_filled=True)
        self._product = space.rows("product", hidden_size)
        self._partial_sums = space.rows("partial sums", 0)
        written = [
            products.of_few(np.concatenate(list(self._written(index))))
            for index in range(len(parts.layers))
        ]
        self._program = np.concatenate(written)
        ends = np.cumsum([len(layer) for layer in written])
        self._of_layers = np.split(self._program, ends[:-1])
        self._room_size = max(
            attention.room_for(parts.num_heads, parts.num_kv_heads),
            *(products.room_for(one, MAX_FEW) for one in np.split(self._program, ends[-1])),
        )
        kinds = self._program["kind"]
        self._placing = np.flatnonzero(kinds == Kind.PLACE_HEADS)
        self._attending = np.flatnonzero(kinds == Kind.ATTENTION)
        numbers = np.array([layer.rotation or 0 for layer in parts.layers])
        self._turned = [self._placing[numbers == one] for one in range(len(parts.rotations))]
        """Where in the program each of the rotations is used."""

    def __call__(
        self,
        embedded: Tensor,
        cache: KeyValues,
        start: int,
        rotations: Sequence[Tensor],
        is_cancelled: Callable[[], bool],
    ) -> Tensor:
        """What the head is to be given.

        Args:
            embedded: the new tokens, fp32 [n, hidden size], up to ``MAX_FEW`` of them.
            cache: has room for them. They follow one another in its only row, or each of them is
                in a row of its own.
            start: tokens that are in each row already.
            rotations: complex [at least all positions, head size / 2], for each of the model's.
            is_cancelled: asked before each layer.

        Returns:
            fp32 [n, hidden size], which the next call writes over.

        Raises:
            Interrupted: it was cancelled.
        """
        parts = self._parts
        num_new, hidden_size = embedded.shape
        self._hidden[:num_new].copy_(embedded)
        self._look_at(cache, rotations)
        num_seen = start + (num_new if cache.num_rows == 1 else 1)
        size = attention.num_partial_sums(num_new, parts.num_heads, parts.head_size, num_seen)
        if self._partial_sums.numel() < size:
            self._partial_sums = torch.empty(2 * size, dtype=torch.float32, device="cpu")
            self._program["partial_sums"] = self._partial_sums.data_ptr()
        num_threads = torch.get_num_threads()
        for program in self._of_layers:
            if is_cancelled():
                raise Interrupted
            TEAM.run(program, num_new, start, self._room_size, num_threads)
        return self._normalised[:num_new, :hidden_size]

    def _look_at(self, cache: KeyValues, rotations: Sequence[Tensor]) -> None:
        """Have the instructions be about these, which may lie elsewhere than the last ones."""
        keys = [numbers.data_ptr() for numbers in cache.keys]
        values = [numbers.data_ptr() for numbers in cache.values]
        for places in (self._placing, self._attending):
            self._program["keys"][places] = keys
            self._program["values"][places] = values
        self._program["capacity"] = cache.capacity
        self._program["num_texts"] = cache.num_rows
        for places, turns in zip(self._turned, rotations, strict=True):
            self._program["turns"][places] = turns.data_ptr()

    def _written(self, index: int) -> Iterator[Instructions]:
        """The instructions of a layer, and the norm behind it; before the first one, its own."""
        parts = self._parts
        layer = parts.layers[index]
        if index == 0:
            yield self._norm(Kind.NORMALISE, layer.input_norm)
        yield product(layer.qkv, self._normalised, self._heads)
        yield place_heads(parts, layer, self._heads.data_ptr(), self._queries.data_ptr())
        yield instruction(
            Kind.ATTENTION,
            **between(self._queries, self._attended),
            **sizes_of(parts),
            scale=parts.score_scale,
            bound=parts.score_bound or 0,
            window=layer.window or 0,
        )
        yield product(layer.output, self._attended, self._product)
        yield from self._norm_of_product(layer.output_norm)
        yield self._norm(Kind.ADD_AND_NORMALISE, layer.mlp_norm)
        yield from perceptron(
            layer.mlp, parts.activation, self._space, self._normalised, self._product
        )
        yield from self._norm_of_product(layer.mlp_output_norm)
        is_last = index == len(parts.layers) - 1
        following = parts.final_norm if is_last else parts.layers[index + 1].input_norm
        yield self._norm(Kind.ADD_AND_NORMALISE, following)

    def _norm(self, kind: Kind, norm: Norm) -> Instructions:
        """What normalises the hidden state, to which the last product may be added before."""
        places = between(self._product, self._normalised)
        return _normalising(kind, norm, self._hidden, places)

    def _norm_of_product(self, norm: Norm | None) -> Iterator[Instructions]:
        """What normalises the last product in place, where there is such a norm."""
        if norm is not None:
            places = between(self._product, self._product)
            yield _normalising(Kind.NORMALISE, norm, self._product, places)


def _normalising(kind: Kind, norm: Norm, rows: Tensor, places: dict[str, Any]) -> Instructions:
    return instruction(
        kind,
        **places,
        residual=rows.data_ptr(),
        num_inputs=rows.shape[1],
        weight=norm.weight.data_ptr(),
        epsilon=norm.epsilon,
    )
