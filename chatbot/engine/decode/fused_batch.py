"""Our own step, for several sequences at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from chatbot.engine.decode.architecture import Architecture, Layer
from chatbot.engine.decode.batch import Batch
from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.decode.fused import normalised, projected_heads, rotations_until
from chatbot.engine.decode.key_values import KeyValues


class FusedBatch(Batch):
    """Reads rows by an ``Architecture``."""

    def __init__(self, architecture: Architecture, cache: KeyValues, num_tokens: int) -> None:
        """Go on behind the first ``num_tokens`` of ``cache``, which are the same in all rows."""
        self.num_rows = cache.num_rows
        self._parts = architecture
        self._cache = cache
        self._num_shared = self._num_tokens = num_tokens
        self._rotations = rotations_until(num_tokens + 1, architecture)
        self._scale = architecture.head_size**-0.5

    @torch.inference_mode()
    def read(self, tokens: Sequence[int], is_cancelled: Callable[[], bool]) -> Tensor:
        """See ``Batch``."""
        parts, at = self._parts, self._num_tokens
        self._cache.reserve(at + 1, at)
        if at >= self._rotations.shape[0]:
            self._rotations = rotations_until(2 * at, parts)
        rotation = self._rotations[at : at + 1, None]
        ids = torch.tensor(tokens, dtype=torch.int64)
        hidden = functional.embedding(ids, parts.embedding).to(parts.dtype)
        for index, layer in enumerate(parts.layers):
            if is_cancelled():
                raise Interrupted
            attended = self._attend(layer, index, hidden, rotation)
            hidden = layer.output.add_to(hidden, attended)
            gated = layer.gate_up(normalised(hidden, layer.mlp_norm))
            gate, up = gated.chunk(2, dim=1)
            hidden = layer.down.add_to(hidden, functional.silu(gate).mul_(up))
        self._num_tokens += 1
        return parts.head(normalised(hidden, parts.final_norm))

    def _attend(self, layer: Layer, index: int, hidden: Tensor, rotation: Tensor) -> Tensor:
        """Attention of the new tokens ``hidden`` [rows, hidden size]: [rows, heads * size]."""
        parts, at = self._parts, self._num_tokens
        queries, new_keys, new_values = projected_heads(layer, parts, hidden, rotation)
        keys, values = self._cache.keys[index], self._cache.values[index]
        keys.select(2, at).copy_(new_keys)
        values.select(2, at).copy_(new_values)
        attended = functional.scaled_dot_product_attention(
            queries.reshape(self.num_rows, parts.num_kv_heads, -1, parts.head_size),
            keys.narrow(2, 0, at + 1),
            values.narrow(2, 0, at + 1),
            scale=self._scale,
        )
        return attended.reshape(self.num_rows, -1)

    def select(self, rows: Sequence[int]) -> None:
        """See ``Batch``."""
        self._cache.select(rows, self._num_shared, self._num_tokens)
        self.num_rows = self._cache.num_rows
