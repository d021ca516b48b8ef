"""What the tokens of beams were chosen from: as ``Recorder`` says it, for all beams of a step.

Beams go on from few rows of logits, and each row is measured once. Knows tensors and token ids.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from chatbot.engine.recording import TokenTexts, record_of
from chatbot.engine.token_facts import chances_in
from chatbot.tokens import TokenRecord

_BLOCK: Final = 256
"""Tokens of which the likeliest is found first, so that few are left to be sorted."""


class BeamRecorder:
    """Records the tokens that a beam search chooses."""

    def __init__(self, num_alternatives: int, texts: TokenTexts) -> None:
        """Prepare.

        Args:
            num_alternatives: likeliest tokens to record, at least 1.
            texts: what each token says by itself.
        """
        self._num_alternatives = num_alternatives
        self._texts = texts

    def measure(
        self, before: Tensor, after: Tensor | None, chosen: Sequence[tuple[int, int]]
    ) -> list[TokenRecord]:
        """Records of the tokens that a step chose, without their texts, which nobody knows yet.

        Args:
            before: log-probabilities by the model, float32 [live, vocab].
            after: the same after the rules against repetition, normalised; None where there are
                no rules, and they are those of the model.
            chosen: for each token the row that it was chosen from, and its id.
        """
        if not chosen:
            return []
        device = before.device
        used = sorted({row for row, _ in chosen})  # the others are gone on from by none
        if len(used) < before.shape[0]:
            before, after = before[used], None if after is None else after[used]
        rows = torch.tensor([used.index(row) for row, _ in chosen], device=device)
        tokens = torch.tensor([token for _, token in chosen], device=device)
        k = min(self._num_alternatives, before.shape[1])
        sides = [before] if after is None else [before, after]
        likeliest = [_likeliest(side, k) for side in sides]
        ids = torch.cat([*(each[rows] for each in likeliest), tokens[:, None]], 1)
        shares = [side[rows[:, None], ids].exp() for side in sides]
        ranks = [
            _ranks(side, each, rows, tokens) for side, each in zip(sides, likeliest, strict=True)
        ]
        entropies = [_entropies(side)[rows] for side in sides]
        facts = torch.stack([ranks[0], ranks[-1], entropies[0], entropies[-1]], 1)
        # Float32 holds every id exactly, so that all of it comes off the device at once.
        parts = (facts, ids.float(), shares[0], shares[-1])
        table: list[list[float]] = torch.cat(parts, 1).tolist()
        return [
            record_of(token, chances_in(numbers, self._num_alternatives), self._texts)
            for (_, token), numbers in zip(chosen, table, strict=True)
        ]


def _likeliest(rows: Tensor, k: int) -> Tensor:
    """Ids of the ``k`` highest of each of ``rows`` [n, vocab], the highest first: int64 [n, k]."""
    num_blocks = rows.shape[1] // _BLOCK
    if rows.device.type != "cpu" or num_blocks <= 2 * k:
        return rows.topk(k, 1).indices
    # None of the k highest is outside the k blocks with the highest maxima.
    whole = num_blocks * _BLOCK
    blocks = rows[:, :whole].reshape(-1, num_blocks, _BLOCK)
    chosen = blocks.amax(2).topk(k, 1).indices
    inside = blocks.gather(1, chosen[:, :, None].expand(-1, -1, _BLOCK)).flatten(1)
    places = torch.cat((inside, rows[:, whole:]), 1).topk(k, 1).indices
    within = chosen.gather(1, (places // _BLOCK).clamp_max(k - 1)) * _BLOCK + places % _BLOCK
    return torch.where(places < k * _BLOCK, within, places - k * _BLOCK + whole)


def _ranks(rows: Tensor, likeliest: Tensor, places: Tensor, tokens: Tensor) -> Tensor:
    """The rank of each of ``tokens`` [n] in its row, from 1 on: float32 [n]."""
    own = rows[places, tokens]
    higher = (rows.gather(1, likeliest)[places] > own[:, None]).sum(1)
    # Of a token below all the likeliest it has to be counted in the whole row; few are.
    for index in (higher == likeliest.shape[1]).nonzero().flatten().tolist():
        higher[index] = (rows[places[index]] > own[index]).sum()
    return (higher + 1).float()


def _entropies(rows: Tensor) -> Tensor:
    """The entropy of each of ``rows`` of log-probabilities [n, vocab], in nats: float32 [n]."""
    # What is impossible has no weight, but must not be multiplied by infinity.
    known = rows.clamp_min(torch.finfo(torch.float32).min)
    expected: Tensor = torch.linalg.vecdot(rows.softmax(1), known)
    return -expected
