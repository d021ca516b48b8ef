"""The step that transformers computes, for several sequences at once."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from chatbot.engine.decode.batch import Batch
from chatbot.engine.decode.brake import Brake
from chatbot.engine.decode.forward import Forward


class TransformersBatch(Batch):
    """Reads rows by the model's own ``forward``."""

    def __init__(
        self, forward: Forward, brake: Brake, past: DynamicCache, num_rows: int, num_tokens: int
    ) -> None:
        """Go on behind the ``num_tokens`` that ``past``, of one row, has read."""
        self.num_rows = num_rows
        self._forward = forward
        self._brake = brake
        self._num_tokens = num_tokens
        self._past = copy.copy(past)
        self._past.layers = [_twin(layer) for layer in past.layers]
        self._reorder([0] * num_rows)

    def read(self, tokens: Sequence[int], is_cancelled: Callable[[], bool]) -> Tensor:
        """See ``Batch``."""
        ids = torch.tensor(tokens, dtype=torch.int64)[:, None]
        before, self._brake.is_pulled = self._brake.is_pulled, is_cancelled
        try:
            logits = self._forward(ids, self._past, self._num_tokens)
        finally:
            self._brake.is_pulled = before
        self._num_tokens += 1
        return logits

    def select(self, rows: Sequence[int]) -> None:
        """See ``Batch``."""
        if list(rows) != list(range(self.num_rows)):
            self._reorder(rows)
            self.num_rows = len(rows)

    def _reorder(self, rows: Sequence[int]) -> None:
        with torch.inference_mode():
            self._past.reorder_cache(torch.tensor(rows, dtype=torch.int64))


def _twin(layer: Any) -> Any:
    """A layer of a cache whose tensors can be replaced without the other one's being."""
    twin = copy.copy(layer)
    for name, value in vars(twin).items():
        if isinstance(value, dict | list):
            setattr(twin, name, copy.copy(value))
    return twin
