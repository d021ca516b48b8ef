"""A step on a cache that does not move, captured as a graph where that is possible.

A small step on a GPU is bound by launching its kernels one by one; a graph launches them all.
Nothing waits for it: the first tokens of each length come without, and then it is captured.
"""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from chatbot.engine.decode.batch import Batch
from chatbot.engine.decode.brake import Brake
from chatbot.engine.decode.decoder import Decoder
from chatbot.engine.decode.gpu.graphed_steps import GraphedSteps
from chatbot.engine.decode.gpu.graphs import Capture
from chatbot.engine.decode.gpu.static_batch import StaticBatch
from chatbot.engine.decode.gpu.static_cache import bucket
from chatbot.engine.decode.gpu.static_step import StaticStep

Draw = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Draws at the end of a step, on the device: of the logits [vocab], the token that was read, int64
[1], and its position, int64 [1], it makes the next token, int64 [1]. It may be captured."""

MAX_ROWS: Final = 16
"""A step of few tokens, as guesses are checked by, is captured as one of so many."""


class StaticDecoder(Decoder):
    """Reads tokens by a ``StaticStep``, one at a time by graphs."""

    can_go_back = True

    def __init__(self, step: StaticStep, brake: Brake, capture: Capture | None) -> None:
        """Begin with nothing read.

        Args:
            step: computes.
            brake: breaks off what is not captured.
            capture: turns a step into a faster one; None: steps stay as they are.
        """
        self._brake = brake
        self._step = step
        self.row_cost = step.row_cost
        self._graphs = GraphedSteps(capture)
        # What captured steps read, by how many tokens they read: their memory never changes.
        self._inputs = {
            rows: torch.zeros(2, rows, dtype=torch.int64, device=self._step.device)
            for rows in (1, MAX_ROWS)
        }
        self._cache = step.make_cache()

    @property
    def name(self) -> str:  # type: ignore[override]
        """The step's, and whether steps are captured by now."""
        return f"{self._step.name} graph" if self._graphs.has_captured else self._step.name

    @property
    def num_cache_bytes(self) -> int:
        """See ``Decoder``."""
        return self._cache.num_bytes

    def crop(self, length: int) -> int:
        """See ``Decoder``; whatever follows is masked until it is written over."""
        return length

    @torch.inference_mode()
    def read(
        self,
        tokens: Sequence[int],
        start: int,
        is_cancelled: Callable[[], bool],
        *,
        wants_each: bool = False,
    ) -> Tensor:
        """See ``Decoder``; a captured step is not broken off."""
        is_few = wants_each and len(tokens) <= MAX_ROWS
        is_small = len(tokens) == 1 or (is_few and start + MAX_ROWS <= self._step.num_positions)
        rows = len(tokens) if not is_small else 1 if len(tokens) == 1 else MAX_ROWS
        length = bucket(start + rows)
        if self._cache.reserve(length, start):
            self._graphs.forget()
        if is_small:
            logits = self._read_small(tokens, start, length, rows, is_cancelled)
            return logits if wants_each else logits[-1]
        device = self._step.device
        ids = torch.tensor([list(tokens)], dtype=torch.int64, device=device)
        positions = torch.arange(start, start + rows, device=device)
        with self._brake.pulled_by(is_cancelled):
            logits = self._step(self._cache, ids, positions, length, wants_last=not wants_each)[0]
        return logits if wants_each else logits[-1]

    def _read_small(
        self,
        tokens: Sequence[int],
        start: int,
        length: int,
        rows: int,
        is_cancelled: Callable[[], bool],
    ) -> Tensor:
        """Logits [tokens, vocab]. What follows the tokens up to ``rows`` is never looked at."""
        inputs = self._inputs[rows]
        if rows == 1:  # a copy from the CPU would wait for the device
            inputs[0].fill_(tokens[0])
            inputs[1].fill_(start)
        else:
            ids = [*tokens, *[tokens[-1]] * (rows - len(tokens))]
            inputs.copy_(torch.tensor([ids, list(range(start, start + rows))]))
        step = self._graphs.captured((length, rows), lambda: self._logits(length, rows))
        if step is not None:
            # Cloned, because the next step writes over it.
            return step().clone()[: len(tokens)]
        with self._brake.pulled_by(is_cancelled):
            return self._logits(length, rows)[: len(tokens)]

    def _logits(self, length: int, rows: int) -> Tensor:
        """Logits [rows, vocab] after the tokens that are in their fixed memory."""
        ids, positions = self._inputs[rows][:1], self._inputs[rows][1]
        return self._step(self._cache, ids, positions, length)[0]

    def has_room(self, num_tokens: int) -> bool:
        """Whether so many tokens are read without anything being moved."""
        return bucket(num_tokens) <= self._cache.place.capacity

    @torch.inference_mode()
    def read_and_draw(self, draw: Draw, start: int, token: int | None) -> None:
        """Read a token and draw the next one, as one graph; nothing is waited for.

        Args:
            draw: the same one again and again, since its steps are captured with it.
            start: how many tokens were read before; there is room for one more.
            token: to read; None for what the step before has drawn.
        """
        inputs = self._inputs[1]
        if token is not None:
            inputs[0].fill_(token)
        inputs[1].fill_(start)
        length = bucket(start + 1)

        def step() -> Tensor:
            return self._step_and_draw(length, draw)

        # A step that draws writes over the token that it reads.
        (self._graphs.captured((length, draw), step, inputs) or step)()

    def _step_and_draw(self, length: int, draw: Draw) -> Tensor:
        token, position = self._inputs[1].unbind()
        drawn = draw(self._logits(length, 1)[0], token, position)
        return token.copy_(drawn)

    def branch(self, num_rows: int, num_tokens: int) -> Batch:
        """See ``Decoder``."""
        return StaticBatch(
            self._step, self._brake, self._graphs.capture, self._cache, num_rows, num_tokens
        )
