"""The sampling rules as one run of tensor operations that never waits for a GPU.

Settings are values on the device, so that the same captured run serves any of them. The rules
themselves are those of ``chatbot.engine.sampling``, which the tests hold these to. Knows no model.
"""

import sys
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from chatbot.engine.decode.graphs import Capture, Step
from chatbot.engine.failures import overflow_error
from chatbot.engine.history import TokenHistory
from chatbot.engine.sampling import Drawn, Sampler
from chatbot.settings import Sampling

NUM_EAGER: Final = 2
"""Draws before the run is captured."""


class DrawingRun:
    """Fixed memory for one draw, and the operations on it. Serves one answer after another."""

    def __init__(self, vocab_size: int, device: torch.device, capture: Capture | None) -> None:
        self.logits = torch.zeros(vocab_size, device=device)
        self.seen = torch.zeros(vocab_size, dtype=torch.bool, device=device)
        """Tokens that occurred before."""
        self.noise = torch.ones(vocab_size, device=device)
        """Exponential random numbers, of which a draw is made."""
        self._temperature = torch.ones((), device=device)
        self._is_greedy = torch.zeros((), dtype=torch.bool, device=device)
        self._top_k = torch.ones(1, dtype=torch.int64, device=device)
        self._top_p = torch.ones((), device=device)
        self._min_p = torch.zeros((), device=device)
        self._penalty = torch.ones((), device=device)
        self._capture = capture
        self._captured: Step | None = None
        self._num_run = 0
        self._sampling: Sampling | None = None
        self.ids = torch.arange(vocab_size, device=device)
        """After a run: all tokens, the likeliest first."""
        self.shares = torch.zeros(vocab_size, device=device)
        """After a run: the probability that each of ``ids`` had; 0 where it was left out."""

    def use(self, sampling: Sampling) -> None:
        """Have the settings on the device."""
        if sampling is self._sampling:
            return
        self._sampling = sampling
        size = self.logits.shape[0]
        self._is_greedy.fill_(sampling.temperature == 0)
        self._temperature.fill_(sampling.temperature or 1.0)
        self._top_k.fill_(min(sampling.top_k, size) if sampling.top_k > 0 else size)
        self._top_p.fill_(sampling.top_p)
        self._min_p.fill_(sampling.min_p)
        self._penalty.fill_(sampling.repetition_penalty)

    def run(self) -> Tensor:
        """The token, and whether the logits are numbers: int64 [2], on the device."""
        self._num_run += 1
        if self._captured is None and self._capture and self._num_run > NUM_EAGER:
            try:
                self._captured = self._capture(self._draw)
            except Exception as error:
                print(f"sampling is not captured: {error}", file=sys.stderr, flush=True)
                self._capture = None
        return self._captured() if self._captured else self._draw()

    def _draw(self) -> Tensor:
        scores = self.logits
        penalised = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
        scores = torch.where(self.seen, penalised, scores)
        best, choice = scores.max(0)
        values, ids = (scores / self._temperature).sort(descending=True)
        values = values.masked_fill(values < values.gather(0, self._top_k - 1), -torch.inf)
        shares = values.softmax(0)
        # In the nucleus is what has less than top-p before it; rounding must not leave out any
        # where all are wanted.
        is_kept = (shares.cumsum(0) - shares < self._top_p) | (self._top_p >= 1)
        is_kept &= shares >= self._min_p * shares[0]
        is_kept[0] = True
        shares = values.masked_fill(~is_kept, -torch.inf).softmax(0)
        self.ids.copy_(ids)
        self.shares.copy_(shares)
        # The least of exponential numbers over the shares is each one's as often as its share.
        drawn = torch.where(shares > 0, shares / self.noise, -1.0).argmax()
        token = torch.where(self._is_greedy, choice, ids[drawn])
        return torch.stack((token, best.isfinite().long()))


class DeviceSampler(Sampler):
    """Draws by a ``DrawingRun``, and waits for the device once for each token."""

    def __init__(
        self, history: TokenHistory, device: torch.device, run_for: Callable[[int], DrawingRun]
    ) -> None:
        """Draw for one answer.

        Args:
            history: the prompt, and each token as it is written.
            device: where the logits are.
            run_for: gives the run for so many tokens of a vocabulary, by which no other answer
                draws at the same time.
        """
        super().__init__(history, device)
        self._run_for = run_for
        self._run: DrawingRun | None = None
        self._num_noted = 0

    def draw(self, logits: Tensor, sampling: Sampling, allowed: Tensor | None = None) -> int:
        """See ``Sampler``; its own rules are used where tokens are allowed or banned by name."""
        if allowed is not None or sampling.no_repeat_ngram_size > 0:
            return super().draw(logits, sampling, allowed)
        if self._run is None:
            self._run = self._run_for(logits.shape[0])
            self._run.seen.zero_()
        run = self._run
        self._note_seen(run)
        run.use(sampling)
        run.logits.copy_(logits)
        if sampling.temperature > 0:
            self._reseed(sampling.seed)
            # Never 0, by which nothing can be divided.
            run.noise.exponential_(generator=self._generator).clamp_min_(1e-30)
        token, is_number = run.run().tolist()
        if not is_number:
            raise overflow_error()
        self.drawn_from = Drawn(run.ids, run.shares) if sampling.temperature > 0 else None
        return int(token)

    def _note_seen(self, run: DrawingRun) -> None:
        """Mark what came since the last draw; one token is no copy from the CPU."""
        new = self._history.since(self._num_noted)
        self._num_noted = len(self._history)
        if len(new) == 1 and new[0] < run.seen.shape[0]:
            run.seen.narrow(0, new[0], 1).fill_(True)
        elif new:
            run.seen[self._history.seen(run.logits)] = True
