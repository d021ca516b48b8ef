"""Draws tokens by operations on the device, and keeps what they look at up to date there."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from chatbot.engine.drawing import MOST_RANDOM, DrawingRun, StepDraw
from chatbot.engine.failures import overflow_error
from chatbot.engine.history import TokenHistory
from chatbot.engine.sampling import Drawn, Sampler
from chatbot.settings import Sampling


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
        self._is_filled = False
        self._filled_by: int | None = None
        """The seed that the random numbers of all places are of."""
        self._num_noted = 0
        self._drawn_at = -1
        """How many tokens there were at the last draw: another one there is drawn anew."""

    def draw(self, logits: Tensor, sampling: Sampling, allowed: Tensor | None = None) -> int:
        """See ``Sampler``; its own rules are used where tokens are allowed or banned by name."""
        run = self._ready_run(logits.shape[0])
        place, before = len(self._history), self._drawn_at
        self._drawn_at = place
        if allowed is not None or not draws_on_device(sampling) or place == before:
            return super().draw(logits, sampling, allowed)
        self._note_seen(run)
        self._prepare(run, sampling)
        run.logits.copy_(logits)
        run.place.fill_(place)
        token, share = run.run().tolist()
        if math.isnan(share):
            raise overflow_error()
        self.drawn_from = None if sampling.is_greedy else Drawn(None, run.shares)
        return int(token)

    def step_draw(
        self, vocab_size: int, sampling: Sampling, num_alternatives: int, *, is_seen: bool
    ) -> StepDraw:
        """The draw that ends a step which is launched next.

        Args:
            vocab_size: length of the logits.
            sampling: settings for the token; see ``draws_on_device``.
            num_alternatives: see ``StepDraw``.
            is_seen: all tokens so far were read by such steps, which mark them.
        """
        run = self._ready_run(vocab_size)
        if is_seen:
            self._num_noted = len(self._history)
        self._note_seen(run)
        self._prepare(run, sampling)
        return run.step_draw(num_alternatives)

    def forget_seen(self) -> None:
        """A step has marked a token that does not stand in the text: mark all of them anew."""
        self._num_noted = 0
        if self._run:
            self._run.seen.zero_()

    def _ready_run(self, vocab_size: int) -> DrawingRun:
        if self._run is None:
            self._run = self._run_for(vocab_size)
            self._run.seen.zero_()
        return self._run

    def _prepare(self, run: DrawingRun, sampling: Sampling) -> None:
        run.use(sampling)
        if not sampling.is_greedy:
            self._fill(run, sampling.seed)

    def _fill(self, run: DrawingRun, seed: int | None) -> None:
        """Have the random numbers of all places, where they are not there yet."""
        if self._is_filled and seed == self._filled_by:
            return
        self._reseed(seed)
        run.random.uniform_(generator=self._generator).clamp_max_(MOST_RANDOM)
        self._is_filled, self._filled_by = True, seed

    def _note_seen(self, run: DrawingRun) -> None:
        """Mark what came since the last draw; one token is no copy from the CPU."""
        new = self._history.since(self._num_noted)
        self._num_noted = len(self._history)
        if len(new) == 1 and new[0] < run.seen.shape[0]:
            run.seen.narrow(0, new[0], 1).fill_(True)
        elif new:
            run.seen[self._history.seen(run.logits)] = True


def draws_on_device(sampling: Sampling) -> bool:
    """Whether these settings are values on the device, and ban no token by name."""
    return sampling.no_repeat_ngram_size == 0
