"""Our own step, for one sequence of which every token has its place in memory."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from chatbot.engine.decode.architecture import Architecture
from chatbot.engine.decode.cpu.fused_batch import FusedBatch
from chatbot.engine.decode.cpu.fused_step import FusedStep
from chatbot.engine.decode.cpu.key_values import KeyValues
from chatbot.engine.decode.decoder import Decoder


class FusedDecoder(Decoder):
    """Reads tokens by an ``Architecture``."""

    name = "fused"
    can_go_back = True

    def __init__(self, architecture: Architecture) -> None:
        self.row_cost = architecture.layers[-1].mlp.row_cost
        self._step = FusedStep(architecture)
        self.exact_from = self._step.exact_from
        self._cache = KeyValues(
            len(architecture.layers),
            architecture.num_kv_heads,
            architecture.head_size,
            architecture.kept_dtype,
        )

    @property
    def num_cache_bytes(self) -> int:
        """See ``Decoder``."""
        return self._cache.num_bytes

    def crop(self, length: int) -> int:
        """See ``Decoder``; whatever follows is simply written over."""
        if length == 0:
            self._cache.clear()
        return length

    def branch(self, num_rows: int, num_tokens: int) -> FusedBatch:
        """See ``Decoder``."""
        return FusedBatch(self._step, self._cache.branch(num_rows, num_tokens), num_tokens)

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
        self._cache.reserve(start + len(tokens), start)
        logits = self._step(tokens, self._cache, start, is_cancelled, wants_each=wants_each)
        return logits if wants_each else logits[0]
