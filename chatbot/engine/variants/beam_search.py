"""Beam search on token ids: which beginnings of an answer to go on with.

Finds what ``generate(num_beams=…)`` of transformers finds with its defaults, and the tests hold
it to that. Knows no model and no text.
"""

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor

from chatbot.engine.failures import overflow_error
from chatbot.messages import FinishReason


class Hypothesis(msgspec.Struct, frozen=True, kw_only=True):
    """A beginning of an answer, or a whole one."""

    tokens: tuple[int, ...] = ()
    log_probability: float = 0.0
    parent: int = 0
    """Index among the live hypotheses of the step before."""
    reason: FinishReason | None = None
    """How it ended; None while it can be gone on with."""

    def score(self, length_penalty: float) -> float:
        """What it is ranked by."""
        return self.log_probability / float(max(len(self.tokens), 1) ** length_penalty)


class BeamSearch:
    """Chooses, step by step, which beginnings to go on with. Knows tokens, no text."""

    def __init__(
        self, num_beams: int, length_penalty: float, most_tokens: int, num_ends: int
    ) -> None:
        """Begin with the empty answer.

        Args:
            num_beams: beginnings that are gone on with.
            length_penalty: see ``SearchBeams``.
            most_tokens: longest answer.
            num_ends: how many tokens end an answer.
        """
        self._num_beams = num_beams
        self._length_penalty = length_penalty
        self.most_tokens = most_tokens
        """May change from step to step."""
        self._num_candidates = max(2, 1 + num_ends) * num_beams
        self.live = [Hypothesis()]
        self.finished: list[Hypothesis] = []
        """The best so far, the best first."""

    def candidates(self, log_probabilities: Tensor) -> list[Hypothesis]:
        """The likeliest ways to go on, the likeliest first.

        More than the beams, so that enough are left of them when the best ones end.

        Args:
            log_probabilities: of each next token of each live hypothesis, fp32 [live, vocab].

        Raises:
            ModelError: they are not numbers.
        """
        size = log_probabilities.shape[1]
        before = [hypothesis.log_probability for hypothesis in self.live]
        totals = log_probabilities + log_probabilities.new_tensor(before)[:, None]
        best, places = totals.flatten().topk(min(self._num_candidates, totals.numel()))
        values: list[float] = best.tolist()
        if not values or values[0] != values[0] or values[0] == -torch.inf:
            raise overflow_error()
        return [
            Hypothesis(
                tokens=(*self.live[place // size].tokens, place % size),
                log_probability=value,
                parent=place // size,
            )
            for value, place in zip(values, places.tolist(), strict=True)
            if value > -torch.inf
        ]

    def step(self, candidates: Sequence[Hypothesis], ends: Sequence[bool]) -> bool:
        """Go on with the best of the candidates that are not at their end.

        Args:
            candidates: as ``candidates`` gave them.
            ends: for each, whether its last token ends it.

        Returns:
            Whether something better than what is finished may still be found.
        """
        live: list[Hypothesis] = []
        for rank, (hypothesis, is_end) in enumerate(zip(candidates, ends, strict=True)):
            is_longest = len(hypothesis.tokens) >= self.most_tokens
            if not (is_end or is_longest):
                live.append(hypothesis)
            elif rank < self._num_beams:  # the others are only there to go on with
                reason: FinishReason = "stop" if is_end else "length"
                self.finished.append(msgspec.structs.replace(hypothesis, reason=reason))
        self.finished.sort(key=self.score, reverse=True)
        del self.finished[self._num_beams :]
        self.live = live[: self._num_beams]
        if not self.live:
            return False
        if len(self.finished) < self._num_beams:
            return True
        return self.score(self.live[0]) > self.score(self.finished[-1])

    def score(self, hypothesis: Hypothesis) -> float:
        """What ``hypothesis`` is ranked by."""
        return hypothesis.score(self._length_penalty)

    def results(self) -> list[Hypothesis]:
        """What was found, the best first; what is not finished was cut off."""
        cut = [msgspec.structs.replace(hypothesis, reason="cancelled") for hypothesis in self.live]
        missing = self._num_beams - len(self.finished)
        found = [*self.finished, *sorted(cut, key=self.score, reverse=True)[:missing]]
        return [hypothesis for hypothesis in found if hypothesis.tokens]
