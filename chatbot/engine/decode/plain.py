"""The step that transformers computes: for every model, and on every device."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicSlidingWindowLayer

from chatbot.engine.decode.brake import Brake
from chatbot.engine.decode.decoder import Decoder
from chatbot.engine.decode.forward import Forward
from chatbot.engine.decode.lookup import MAX_LENGTH
from chatbot.engine.decode.plain_batch import TransformersBatch
from chatbot.engine.decode.snapshots import Snapshots, is_cut, num_bytes


def _never() -> bool:
    return False


class TransformersDecoder(Decoder):
    """Reads tokens by the model's own ``forward``."""

    name = "transformers"

    def __init__(self, model: Any, brake: Brake) -> None:
        """Begin with nothing read.

        Raises:
            ModelError: the model keeps what it has read where it cannot be reached.
        """
        self._brake = brake
        self._forward = Forward(model)
        self.row_cost = self._forward.row_cost
        self.reads_portions = self._forward.reads_portions
        self._past = self._forward.new_cache()
        self._snapshots = Snapshots()
        self.needs_places = not all(map(is_cut, self._past.layers))

    @property
    def can_go_back(self) -> bool:  # type: ignore[override]
        """Whether all layers still have every token, and will after a few more."""
        return self._has_all(MAX_LENGTH + 1)

    def _has_all(self, num_more: int = 0) -> bool:
        """Whether every layer has all tokens, and would have after ``num_more``.

        One that looks back over a window keeps no more than that.
        """
        return all(
            is_cut(layer)
            or (
                type(layer) is DynamicSlidingWindowLayer
                and layer.get_seq_length() + num_more < layer.sliding_window
            )
            for layer in self._past.layers
        )

    @property
    def num_cache_bytes(self) -> int:
        """See ``Decoder``."""
        return num_bytes([vars(layer) for layer in self._past.layers]) + self._snapshots.num_bytes

    def crop(self, length: int) -> int:
        """See ``Decoder``."""
        if length and self._has_all():
            self._snapshots.forget_behind(length)
            for layer in self._past.layers:
                # After a broken-off step some layers hold more than others.
                if (excess := layer.get_seq_length() - length) > 0:
                    layer.crop(-excess)
            return length
        kept = self._snapshots.go_back(self._past, length)
        if not kept:
            self._past = self._forward.new_cache()
        return kept

    def note_place(self, length: int) -> None:
        """See ``Decoder``."""
        if self.needs_places:
            self._snapshots.take(self._past, length)

    def read(
        self,
        tokens: Sequence[int],
        start: int,
        is_cancelled: Callable[[], bool],
        *,
        wants_each: bool = False,
    ) -> Tensor:
        """See ``Decoder``."""
        ids = torch.tensor([list(tokens)], dtype=torch.int64)
        if len(tokens) == 1 and not self._has_all(1):
            # Half a step could not be taken back, and with it the answer would be lost.
            is_cancelled = _never
        with self._brake.pulled_by(is_cancelled):
            if self.reads_portions or start == 0 or len(tokens) == 1:
                return self._forward(ids, self._past, start, wants_each=wants_each)[0]
            rows = [
                self._forward(token[None], self._past, start + index)[0]
                for index, token in enumerate(ids.T)
            ]
        return torch.stack(rows) if wants_each else rows[-1]

    def branch(self, num_rows: int, num_tokens: int) -> TransformersBatch:
        """See ``Decoder``."""
        return TransformersBatch(self._forward, self._brake, self._past, num_rows, num_tokens)
