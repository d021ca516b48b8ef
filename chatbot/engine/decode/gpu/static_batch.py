"""Several sequences that begin alike, on a cache that does not move, with captured steps.

A row stays where it is: rows that are gone on with no more are read all the same, and a row that
is gone on with twice is copied over one of those.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from chatbot.engine.decode.batch import Batch
from chatbot.engine.decode.brake import Brake
from chatbot.engine.decode.gpu.graphed_steps import GraphedSteps
from chatbot.engine.decode.gpu.graphs import Capture
from chatbot.engine.decode.gpu.static_cache import StaticCache, bucket
from chatbot.engine.decode.gpu.static_step import StaticStep


class StaticBatch(Batch):
    """Reads rows by a ``StaticStep``, by graphs where that is possible."""

    def __init__(
        self,
        step: StaticStep,
        brake: Brake,
        capture: Capture | None,
        cache: StaticCache,
        num_rows: int,
        num_tokens: int,
    ) -> None:
        """Go on behind the first ``num_tokens`` of ``cache``, which has one row.

        Args:
            step: calls the model.
            brake: breaks off what is not captured.
            capture: see ``GraphedSteps``.
            cache: is copied.
            num_rows: sequences.
            num_tokens: at least 1.
        """
        self.num_rows = num_rows
        self._step = step
        self._brake = brake
        self._graphs = GraphedSteps(capture)
        self._num_tokens = num_tokens
        self._rows = list(range(num_rows))
        """Where in the cache each sequence is."""
        self._tokens = torch.zeros(num_rows, 1, dtype=torch.int64, device=step.device)
        self._position = torch.zeros(1, dtype=torch.int64, device=step.device)
        self._cache = cache.repeated(num_rows, num_tokens)

    @torch.inference_mode()
    def read(self, tokens: Sequence[int], is_cancelled: Callable[[], bool]) -> Tensor:
        """See ``Batch``; a captured step is not broken off."""
        length = bucket(self._num_tokens + 1)
        if self._cache.reserve(length, self._num_tokens, least=length):
            self._graphs.forget()
        # What is read in rows that nobody goes on with does not matter.
        column = [tokens[0]] * len(self._tokens)
        for row, token in zip(self._rows, tokens, strict=True):
            column[row] = token
        self._tokens.copy_(torch.tensor(column)[:, None])
        self._position.fill_(self._num_tokens)

        def step() -> Tensor:
            return self._step(self._cache, self._tokens, self._position, length)[:, -1]

        captured = self._graphs.captured(length, step)
        if captured is not None:
            logits = captured().clone()  # the next step writes over it
        else:
            # Rows may be read while a brake is held for something else.
            before, self._brake.is_pulled = self._brake.is_pulled, is_cancelled
            try:
                logits = step()
            finally:
                self._brake.is_pulled = before
        self._num_tokens += 1
        if self._rows == list(range(len(logits))):
            return logits
        return logits[torch.tensor(self._rows, device=logits.device)]

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """See ``Batch``; only what is there twice is copied."""
        places = [self._rows[row] for row in rows]
        unused = [place for place in range(len(self._tokens)) if place not in places]
        taken: set[int] = set()
        for index, place in enumerate(places):
            if place in taken:
                places[index] = unused.pop()
                self._cache.copy_row(place, places[index], self._num_tokens)
            taken.add(places[index])
        self._rows = places
        self.num_rows = len(places)
