"""Our own step, for several sequences at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from chatbot.engine.decode.batch import Batch
from chatbot.engine.decode.cpu.fused_step import FusedStep
from chatbot.engine.decode.cpu.key_values import KeyValues


class FusedBatch(Batch):
    """Reads rows by a ``FusedStep``."""

    def __init__(self, step: FusedStep, cache: KeyValues, num_tokens: int) -> None:
        """Go on behind the first ``num_tokens`` of ``cache``, which are the same in all rows."""
        self.num_rows = cache.num_rows
        self._step = step
        self._cache = cache
        self._num_shared = self._num_tokens = num_tokens

    @torch.inference_mode()
    def read(self, tokens: Sequence[int], is_cancelled: Callable[[], bool]) -> Tensor:
        """See ``Batch``."""
        self._cache.reserve(self._num_tokens + 1, self._num_tokens)
        logits = self._step(tokens, self._cache, self._num_tokens, is_cancelled, wants_each=True)
        self._num_tokens += 1
        return logits

    def select(self, rows: Sequence[int]) -> None:
        """See ``Batch``."""
        self._cache.select(rows, self._num_shared, self._num_tokens)
        self.num_rows = self._cache.num_rows
