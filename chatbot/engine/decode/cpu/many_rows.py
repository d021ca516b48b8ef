"""Many tokens on their way through all layers, in fp32 but for what is kept of them.

Each operation is long enough to be asked for by itself. Knows an ``Architecture`` and where its
keys and values are; nothing of tokens.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from chatbot.engine.decode.architecture import Architecture, Experts, Layer, added
from chatbot.engine.decode.cpu.attention import attend
from chatbot.engine.decode.cpu.heads import place_heads
from chatbot.engine.decode.cpu.kernels.instructions import GATES, Instructions, instruction
from chatbot.engine.decode.cpu.kernels.team import TEAM
from chatbot.engine.decode.cpu.key_values import KeyValues
from chatbot.engine.decode.cpu.perceptrons import through_experts
from chatbot.engine.decode.cpu.workspace import Workspace
from chatbot.engine.decode.decoder import Interrupted


class ManyRows:
    """The layers and the last norm of a model whose activations are in fp32."""

    def __init__(self, parts: Architecture) -> None:
        self._parts = parts
        self._placing = [place_heads(parts, layer) for layer in parts.layers]
        self._gating = instruction(GATES[parts.activation])
        self.is_exact = not any(
            product.rounds
            for layer in parts.layers
            for product in (layer.qkv, layer.output, layer.mlp.gate_up, layer.mlp.down)
        )
        """Whether a token comes to the same, to the last bit, however many are read with it: not
        where a library multiplies, which goes by their number."""

    def __call__(
        self,
        embedded: Tensor,
        cache: KeyValues,
        start: int,
        rotations: Sequence[Tensor],
        is_cancelled: Callable[[], bool],
    ) -> Tensor:
        """See ``FewRows``, which is for fewer; here all of them follow one another."""
        parts = self._parts
        hidden = embedded
        num_new = hidden.shape[0]
        end = start + num_new
        space = Workspace(num_new)  # memory is slow where it is new: all layers have the same
        for index, layer in enumerate(parts.layers):
            if is_cancelled():
                raise Interrupted
            projected = layer.qkv(layer.input_norm(hidden))
            keys, values = cache.keys[index], cache.values[index]
            turns = rotations[layer.rotation or 0]
            queries = self._placed(self._placing[index], projected, keys, values, start, turns)
            keys, values = keys.narrow(2, 0, end), values.narrow(2, 0, end)
            scale, bound, window = parts.score_scale, parts.score_bound, layer.window
            attended = attend(queries, keys, values, scale, window=window, bound=bound)
            hidden = added(hidden, layer.output, attended, layer.output_norm)
            hidden = self._perceived(layer, hidden, space)
        return parts.final_norm(hidden)

    def _perceived(self, layer: Layer, hidden: Tensor, space: Workspace) -> Tensor:
        """``hidden``, and what the perceptron makes of it."""
        rows, mlp = layer.mlp_norm(hidden), layer.mlp
        if isinstance(mlp, Experts):
            return hidden + through_experts(mlp, self._parts.activation, space, rows)
        gated = self._gated(mlp.gate_up(rows))
        return added(hidden, mlp.down, gated, layer.mlp_output_norm)

    def _placed(
        self,
        placing: Instructions,
        projected: Tensor,
        keys: Tensor,
        values: Tensor,
        start: int,
        turns: Tensor,
    ) -> Tensor:
        """Queries [n, heads, size]; keys and values are put into the cache."""
        parts = self._parts
        num_new = projected.shape[0]
        shape = num_new, parts.num_heads, parts.head_size
        queries = torch.empty(shape, dtype=torch.float32, device="cpu")
        placing["source"] = placing["target"] = projected.data_ptr()
        placing["target"][-1] = queries.data_ptr()
        placing["keys"], placing["values"] = keys.data_ptr(), values.data_ptr()
        placing["num_texts"], placing["capacity"] = keys.shape[0], keys.shape[2]
        placing["turns"] = turns.data_ptr()
        TEAM.run(placing, num_new, start, 0, torch.get_num_threads())
        return queries

    def _gated(self, both: Tensor) -> Tensor:
        """The halves of ``both`` [n, 2 * size], of which the first one is the gate, as one."""
        num_new, size = both.shape[0], both.shape[1] // 2
        gated = torch.empty(num_new, size, dtype=torch.float32, device="cpu")
        gating = self._gating
        gating["source"], gating["target"] = both.data_ptr(), gated.data_ptr()
        gating["num_inputs"] = gating["target_size"] = size
        TEAM.run(gating, num_new, 0, 0, torch.get_num_threads())
        return gated
