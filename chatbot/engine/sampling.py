"""How the next token is drawn from the model's logits: our own rules, on one vector.

Every rule equals the logits processor of transformers with the same name, in the order in
which ``generate`` applies them, and the tests hold them to that. Unlike those, the rules
never sort the whole vocabulary when a few hundred candidates decide. On a CPU whatever goes through
the whole of it is done by one thread: torch would wake its others, which may have to wait for a
time slice, for less than they could save.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from chatbot.engine.failures import overflow_error
from chatbot.engine.history import TokenHistory
from chatbot.settings import Sampling

NUCLEUS_CANDIDATES: Final = 1024
"""So many of the likeliest tokens are sorted for top-p first; they nearly always suffice."""

NUCLEUS_DEPTH: Final = 10.0
"""The same on a CPU, where it is quicker to look for all that are no further below the likeliest:
with less than e to the power of minus that of its probability."""

MOST_INSERTED: Final = 128
"""So many of the likeliest tokens are found in one pass; more are found by torch."""

_SEEDS: Final = 2**32
"""A generator on a CPU heeds no more of a seed than this many tell apart."""

_STRIDE: Final = 0x9E3779B1
"""From the random numbers of one place to those of the next, in seeds. Any odd number parts all
places of a text; by this one they are far from the next seeds, which other answers are drawn by."""


def penalise_repetition(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make tokens that occurred before less likely (Keskar et al. 2019, CTRL).

    Positive logits are divided by ``penalty`` and negative ones multiplied, once for each
    token however often it occurred.

    Args:
        scores: logits, float32 [vocab].
        seen: ids of the tokens that occurred, int64 [n], each once.
        penalty: above 0; 1 changes nothing.

    Returns:
        New logits, float32 [vocab].
    """
    chosen = scores[seen]
    changed = torch.where(chosen < 0, chosen * penalty, chosen / penalty)
    return scores.scatter(0, seen, changed)


def forbid(scores: Tensor, banned: list[int]) -> Tensor:
    """``scores``, float32 [vocab], with the tokens ``banned`` made impossible."""
    if not banned:
        return scores
    return scores.index_fill(0, torch.tensor(banned, device=scores.device), -torch.inf)


def keep_top_k(scores: Tensor, k: int) -> Tensor:
    """Which tokens are among the ``k`` likeliest (Fan et al. 2018).

    All that tie with the k-th are kept, so it may be more.

    Args:
        scores: logits, float32 [vocab].
        k: at least 1; more than there are keeps all.

    Returns:
        Ids in ascending order, int64 [at least k].
    """
    k = min(k, scores.shape[0])
    if scores.is_cpu and k <= MOST_INSERTED:
        return _top_k_in_one_pass(scores, k)
    kth = scores.topk(k, sorted=False).values.min()
    return (scores >= kth).nonzero().squeeze(1)


def _top_k_in_one_pass(scores: Tensor, k: int) -> Tensor:
    from chatbot.engine import vocabulary  # a compiler comes with it

    values = scores.numpy()
    highest, ids = np.empty(k, np.float32), np.empty(k, np.int64)
    vocabulary.find_highest(values, -math.inf, highest, ids)
    return torch.from_numpy(np.flatnonzero(values >= highest[-1]))


def keep_top_p(scores: Tensor, p: float) -> Tensor:
    """Which tokens are in the nucleus (Holtzman et al. 2020).

    The nucleus is the smallest set of likeliest tokens whose probabilities reach ``p``.

    Args:
        scores: logits, float32 [n].
        p: from 0 to 1; at least one token is kept.

    Returns:
        Indices into ``scores``, int64 [at least 1], in no particular order.
    """
    if scores.shape[0] > 2 * NUCLEUS_CANDIDATES:
        values, ids, total = _nucleus_candidates(scores)
        probabilities = (values - total).exp()
        before = probabilities.cumsum(0) - probabilities
        if before[-1] >= p:  # the nucleus ends among these
            return ids[: _count_kept(before, p)]
    # Ascending, as in transformers, so that tied tokens fall on the same side of the cut.
    values, ids = scores.sort()
    is_dropped = values.softmax(0).cumsum(0) <= 1 - p
    is_dropped[-1] = False
    return ids[~is_dropped]


def _nucleus_candidates(scores: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
    """The likeliest tokens, the likeliest first: their scores and ids, and the logarithm of the sum
    of all probabilities.
    """
    if not scores.is_cpu:
        values, ids = scores.topk(NUCLEUS_CANDIDATES)
        return values, ids, scores.logsumexp(0)
    from chatbot.engine import vocabulary  # a compiler comes with it

    all_values, sums = scores.numpy(), np.empty(2)
    highest = float(all_values.max())
    vocabulary.weigh(all_values, highest, sums)
    ids = torch.from_numpy(np.flatnonzero(all_values >= highest - NUCLEUS_DEPTH))
    values, order = scores[ids].sort(descending=True, stable=True)
    return values, ids[order], highest + math.log(sums[0])


def _count_kept(before: Tensor, p: float) -> int:
    """How many tokens have less than ``p`` before them; the first always counts."""
    return max(1, int((before < p).sum()))


def keep_min_p(scores: Tensor, min_p: float) -> Tensor:
    """Which tokens have at least ``min_p`` of the likeliest one's probability.

    From Nguyen et al. 2024.

    Args:
        scores: logits, float32 [n].
        min_p: from 0 to 1; the likeliest token is always kept.

    Returns:
        Indices into ``scores`` in ascending order, int64 [at least 1].
    """
    probabilities = scores.softmax(0)
    best, index = probabilities.max(0)
    is_kept = probabilities >= min_p * best
    is_kept[index] = True
    return is_kept.nonzero().squeeze(1)


def candidates(scores: Tensor, sampling: Sampling) -> tuple[Tensor | None, Tensor]:
    """The tokens that may be drawn, after temperature, top-k, top-p and min-p.

    Args:
        scores: logits, float32 [vocab].
        sampling: not greedy.

    Returns:
        Ids, int64 [n], or None where no rule is in use that leaves any out; and their logits
        over the temperature, float32 [n].
    """
    ids: Tensor | None = None
    if scores.is_cpu:
        scores = torch.from_numpy(scores.numpy() / np.float32(sampling.temperature))
    else:
        scores = scores / sampling.temperature
    if sampling.top_k > 0:
        ids, scores = _only(keep_top_k(scores, sampling.top_k), ids, scores)
    if sampling.top_p < 1:
        ids, scores = _only(keep_top_p(scores, sampling.top_p), ids, scores)
    if sampling.min_p > 0:
        ids, scores = _only(keep_min_p(scores, sampling.min_p), ids, scores)
    return ids, scores


def _only(kept: Tensor, ids: Tensor | None, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Those of ``ids`` and ``scores`` that are kept."""
    return kept if ids is None else ids[kept], scores[kept]


def _likeliest(scores: Tensor) -> tuple[float, int]:
    """The highest of ``scores`` [vocab], and where it is, first; NaN where one of them is."""
    if scores.is_cpu:
        values = scores.numpy()
        index = int(values.argmax())
        return float(values[index]), index
    best, choice = scores.max(0)
    return float(best), int(choice)


class Drawn(NamedTuple):
    """What a token was drawn from."""

    ids: Tensor | None
    """Those that could be drawn, int64 [n]; None: the whole vocabulary in its order."""
    shares: Tensor
    """The probability of each of them, float32 [n]."""


class Sampler:
    """Draws the tokens of one answer. Settings may differ from token to token.

    The random numbers of a token are those of the seed at its place in the text. Were they those
    that come next since the answer was begun, an answer that is gone on with would be drawn by the
    very numbers of its beginning, and where much is left to chance it would say it again.
    """

    def __init__(self, history: TokenHistory, device: torch.device) -> None:
        self._history = history
        self._generator = torch.Generator(device)
        self._start: tuple[int, int] | None = None
        """Seed and place that the random numbers started from; None: from anywhere."""
        self._reseed(None)
        self.drawn_from: Drawn | None = None
        """Of the last token; None where nothing was drawn and the likeliest was taken."""

    def draw(self, logits: Tensor, sampling: Sampling, allowed: Tensor | None = None) -> int:
        """The next token's id; asked for again at the same place, another draw.

        Args:
            logits: float [vocab], as the model gave them.
            sampling: settings for this token.
            allowed: bool [vocab], the tokens that a grammar allows, at least one. Repetition is
                not held against them: a call repeats names, brackets and the words of the
                question, and what may not be repeated could be all that is allowed.

        Raises:
            ModelError: the logits are not numbers, as when half precision overflows.
        """
        if allowed is None:
            scores = self.adjusted(logits, sampling)
        else:
            scores = logits.float().masked_fill(~allowed, -torch.inf)
        best, choice = _likeliest(scores)
        if not math.isfinite(best):  # NaN anywhere makes the maximum NaN
            raise overflow_error()
        self.drawn_from = None
        if not sampling.is_greedy:
            self._start_at(sampling.seed)
            ids, kept = candidates(scores, sampling)
            probabilities = kept.softmax(0)
            drawn = torch.multinomial(probabilities, 1, generator=self._generator)[0]
            choice = int(drawn if ids is None else ids[drawn])
            self.drawn_from = Drawn(ids, probabilities)
        return choice

    def adjusted(self, logits: Tensor, sampling: Sampling) -> Tensor:
        """Logits after the rules that look at what was written: float32 [vocab]."""
        scores = logits.float()
        if sampling.repetition_penalty != 1:
            scores = penalise_repetition(
                scores, self._history.seen(scores), sampling.repetition_penalty
            )
        if sampling.no_repeat_ngram_size > 0:
            banned = self._history.would_repeat(sampling.no_repeat_ngram_size)
            scores = forbid(scores, [token for token in banned if token < scores.shape[0]])
        return scores

    def _start_at(self, seed: int | None) -> None:
        """Have the random numbers of the next token, or go on with them where they were begun."""
        start = None if seed is None else (seed, len(self._history))
        if start == self._start:
            return
        self._start = start
        self._reseed(None if start is None else (start[0] + _STRIDE * start[1]) % _SEEDS)

    def _reseed(self, seed: int | None) -> None:
        """Start the random numbers anew; None: from anywhere."""
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)
