"""The sampling rules as one run of tensor operations that never waits for a GPU.

Settings are values on the device, so that the same captured run serves any of them. The rules
themselves are those of ``chatbot.engine.sampling``, which the tests hold these to. Knows no model.
"""

from typing import Final

import torch
from torch import Tensor

from chatbot.engine.decode.gpu.graphed_steps import GraphedSteps
from chatbot.engine.decode.gpu.graphs import Capture
from chatbot.engine.token_facts import facts_size, token_facts
from chatbot.settings import Sampling

NUM_RANDOM: Final = 131_072
"""Random numbers of one answer: one for each place in the text, from the first again after so
many."""

MOST_RANDOM: Final = 1 - 2**-24
"""No random number is above it, so that none times a sum is rounded to the sum."""

LEAST_NUCLEUS: Final = 2.0**-99
"""As top-p it leaves the likeliest token alone."""


class DrawingRun:
    """Fixed memory for one draw, and the operations on it. Serves one answer after another.

    The random number of a token is the one at its place in the text. So a draw that is thrown
    away leaves no trace in those that follow.
    """

    def __init__(self, vocab_size: int, device: torch.device, capture: Capture | None) -> None:
        self.logits = torch.zeros(vocab_size, device=device)
        self.seen = torch.zeros(vocab_size, dtype=torch.bool, device=device)
        """Tokens that occurred before."""
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        """How many tokens stand before the one that is drawn."""
        self.random = torch.zeros(NUM_RANDOM, dtype=torch.float64, device=device)
        """From 0 to ``MOST_RANDOM``."""
        self._temperature = torch.ones((), device=device)
        self._last_of_top_k = torch.zeros(1, dtype=torch.int64, device=device)
        self._top_p = torch.ones((), dtype=torch.float64, device=device)
        self._min_p = torch.zeros((), device=device)
        self._penalty = torch.ones((), device=device)
        self._graphs = GraphedSteps(capture, "draws")
        self._sampling: Sampling | None = None
        self._step_draws: dict[int, StepDraw] = {}
        self.shares = torch.zeros(vocab_size, device=device)
        """After a run: the probability that each token had; 0 where it was left out."""

    def use(self, sampling: Sampling) -> None:
        """Have the settings on the device."""
        if sampling is self._sampling:
            return
        self._sampling = sampling
        size = self.logits.shape[0]
        self._temperature.fill_(1.0 if sampling.is_greedy else sampling.temperature)
        self._last_of_top_k.fill_((min(sampling.top_k, size) if sampling.top_k > 0 else size) - 1)
        top_p = 0.0 if sampling.is_greedy else sampling.top_p
        # Rounding must not leave out any token where all are wanted.
        self._top_p.fill_(max(top_p, LEAST_NUCLEUS) if top_p < 1 else torch.inf)
        self._min_p.fill_(sampling.min_p)
        self._penalty.fill_(sampling.repetition_penalty)

    def run(self) -> Tensor:
        """The token, and the share of the likeliest one, which is no number where any of the logits
        is none: float32 [2]."""
        return (self._graphs.captured("draw", self._told) or self._told)()

    def _told(self) -> Tensor:
        token, share = self.draw()
        return torch.cat((token.float(), share))  # which holds every id exactly

    def draw(self) -> tuple[Tensor, Tensor]:
        """As ``run``, one operation after the other: int64 [1] and float32 [1].

        Nothing in here may be indexed by a tensor without dimensions: torch would fetch it and
        wait.
        """
        scores = self.logits
        penalised = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
        scores = torch.where(self.seen, penalised, scores)
        # Of tokens that are equally likely the first one comes first.
        values, ids = (scores / self._temperature).sort(descending=True, stable=True)
        values.masked_fill_(values < values.gather(0, self._last_of_top_k), -torch.inf)
        shares = values.softmax(0)
        # In the nucleus is what has less than top-p before it.
        is_dropped = shares.double().cumsum(0) - shares >= self._top_p
        is_dropped |= shares < self._min_p * shares[:1]
        shares = values.masked_fill_(is_dropped, -torch.inf).softmax(0)
        self.shares.scatter_(0, ids, shares)
        # In doubles, because a running sum of floats comes out another each time on a GPU.
        reached = shares.double().cumsum(0)
        point = self.random.gather(0, self.place.remainder(NUM_RANDOM)) * reached[-1:]
        return ids.gather(0, (reached <= point).sum(0, keepdim=True)), shares[:1]

    def step_draw(self, num_alternatives: int) -> "StepDraw":
        """The draw at the end of a step; the same one as long as the number is the same."""
        if num_alternatives not in self._step_draws:
            self._step_draws[num_alternatives] = StepDraw(self, num_alternatives)
        return self._step_draws[num_alternatives]


class StepDraw:
    """What follows the model's step in the same graph: the draw, and what is told of it."""

    def __init__(self, run: DrawingRun, num_alternatives: int) -> None:
        """Draw by ``run``.

        Args:
            run: keeps the logits, and what was drawn from them, until the next step.
            num_alternatives: likeliest tokens to tell of; 0: nothing is recorded.
        """
        self._num_alternatives = min(num_alternatives, run.logits.shape[0])
        self._run = run
        size = 2 + (facts_size(self._num_alternatives) if num_alternatives else 0)
        self.results = torch.zeros(size, device=run.logits.device)
        """Of the last draw: its token, the share of the likeliest one, and the facts of it."""

    @property
    def logits(self) -> Tensor:
        """That were drawn from, float32 [vocab]; the next step writes over them."""
        return self._run.logits

    def __call__(self, logits: Tensor, token: Tensor, position: Tensor) -> Tensor:
        """The next token, int64 [1].

        Args:
            logits: float [vocab].
            token: which was read, int64 [1].
            position: of that token, int64 [1].
        """
        run = self._run
        run.logits.copy_(logits)
        run.seen.index_fill_(0, token, True)
        torch.add(position, 1, out=run.place)
        drawn, share = run.draw()
        parts = [drawn.float(), share]
        if self._num_alternatives:
            parts.append(token_facts(run.logits, drawn, run.shares, self._num_alternatives))
        torch.cat(parts, out=self.results)
        return drawn
