"""The step that transformers computes: for every model, and on every device."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from chatbot.engine.decode.brake import Brake
from chatbot.engine.decode.decoder import CPU_ROW_COST, GPU_ROW_COST, Decoder
from chatbot.engine.decode.lookup import MAX_LENGTH
from chatbot.engine.decode.plain_batch import TransformersBatch


class TransformersDecoder(Decoder):
    """Reads tokens by the model's own ``forward``."""

    name = "transformers"

    def __init__(self, model: Any, brake: Brake) -> None:
        self._model = model
        self._brake = brake
        parameters = inspect.signature(model.forward).parameters
        self.row_cost = CPU_ROW_COST if model.device.type == "cpu" else GPU_ROW_COST
        self._can_keep_last = "logits_to_keep" in parameters
        self._past = DynamicCache(config=model.config)

    @property
    def can_go_back(self) -> bool:  # type: ignore[override]
        """Whether all layers still have every token, and will after a few more."""
        return self._has_all(MAX_LENGTH + 1)

    def _has_all(self, num_more: int = 0) -> bool:
        """Whether every layer has all tokens, and would have after ``num_more``.

        One that looks back over a window keeps no more than that.
        """
        return all(
            type(layer) is DynamicLayer
            or (
                type(layer) is DynamicSlidingWindowLayer
                and layer.get_seq_length() + num_more < layer.sliding_window
            )
            for layer in self._past.layers
        )

    @property
    def num_cache_bytes(self) -> int:
        """See ``Decoder``."""
        tensors = [getattr(layer, name, None) for layer in self._past.layers for name in _NAMES]
        return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))

    def crop(self, length: int) -> bool:
        """See ``Decoder``."""
        if length == 0 or not self._has_all():
            self._past = DynamicCache(config=self._model.config)
            return False
        for layer in self._past.layers:
            # After a broken-off step some layers hold more than others.
            if (excess := layer.get_seq_length() - length) > 0:
                layer.crop(-excess)
        return True

    def read(
        self,
        tokens: Sequence[int],
        start: int,
        is_cancelled: Callable[[], bool],
        *,
        wants_each: bool = False,
    ) -> Tensor:
        """See ``Decoder``."""
        ids = torch.tensor([list(tokens)], dtype=torch.int64, device=self._model.device)
        options = {"logits_to_keep": 1} if self._can_keep_last and not wants_each else {}
        with self._brake.pulled_by(is_cancelled), torch.inference_mode():
            output = self._model(
                input_ids=ids, past_key_values=self._past, use_cache=True, **options
            )
        logits: Tensor = output.logits[0] if wants_each else output.logits[0, -1]
        return logits

    def branch(self, num_rows: int, num_tokens: int) -> TransformersBatch:
        """See ``Decoder``."""
        return TransformersBatch(self._model, self._brake, self._past, num_rows)


_NAMES: Final = ("keys", "values")
