"""What each token was drawn from: probabilities, ranks and alternatives, at little cost.

Everything is computed on the model's device, and comes from there in one piece. Knows tensors
and token ids; nothing of what a token becomes in the answer but what it is told.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

import torch
from torch import Tensor

from chatbot.tokens import Alternative, Region, TokenRecord

BITS: Final = 1 / torch.log(torch.tensor(2.0)).item()
"""Bits in a nat."""

BATCH_SECONDS: Final = 0.1
"""Records are handed on this often at most: one message for each token would cost more."""

SERIAL_SIZE: Final = 32_768
"""Most elements that torch works through on one thread on a CPU, its own grain size."""

_BLOCK: Final = 256
"""Tokens of which the likeliest is found first, so that few are left to be sorted."""

_ANCHOR: Final = "a"
"""Put before a token that is decoded alone, because some decoders drop a space at the start."""


class TokenTexts:
    """What each token says by itself; asked again and again for the same few."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        encode: Callable[[str], list[int]],
        special: Collection[int] = (),
    ) -> None:
        """Prepare.

        Args:
            decode: the text of token ids, without cleaning up of spaces.
            encode: the token ids of a text, without special ones.
            special: tokens that have no text of their own.
        """
        self.special = special
        self._decode = decode
        self._anchor = encode(_ANCHOR)[-1:]
        self._before = decode(self._anchor)
        self._known: dict[int, str] = {}

    def __call__(self, token: int) -> str:
        """The text of one token."""
        text = self._known.get(token)
        if text is None:
            both = self._decode([*self._anchor, token])
            alone = both[len(self._before) :] if both.startswith(self._before) else ""
            text = self._known[token] = alone or self._decode([token])
        return text


class Recorder:
    """Records the tokens of one answer."""

    def __init__(self, num_alternatives: int, texts: TokenTexts) -> None:
        """Begin with nothing.

        Args:
            num_alternatives: likeliest tokens to record, at least 1.
            texts: what each token says by itself.
        """
        self._num_alternatives = num_alternatives
        self._texts = texts
        self._waiting: list[TokenRecord] = []
        self._noted: TokenRecord | None = None
        self._handed_on_at = time.perf_counter()

    def note(
        self,
        logits: Tensor,
        token: int,
        drawn_from: tuple[Tensor, Tensor] | None,
        *,
        is_users: bool = False,
    ) -> None:
        """Take note of a token that was just drawn.

        Args:
            logits: float [vocab], as the model gave them.
            token: its id.
            drawn_from: see ``Sampler.drawn_from``.
            is_users: it was not drawn, but put there for the user.
        """
        scores = logits.float()
        k = min(self._num_alternatives, scores.shape[0])
        likeliest = _likeliest(scores, k)
        # Whatever is higher than one of the likeliest is among them; few are counted sooner. On a
        # GPU asking would cost a wait.
        is_among = scores.device.type == "cpu" and token in likeliest.tolist()
        rivals = scores[likeliest] if is_among else scores
        total, entropy = _measure(scores, scores[likeliest[0]])
        rank = _rank(rivals, scores[token])
        chosen = likeliest.new_tensor([token])
        if drawn_from is None:
            ids = torch.cat((likeliest, chosen))
            after = (ids == chosen).float()
            rank_after, entropy_after = torch.ones_like(rank), torch.zeros_like(entropy)
        else:
            kept, shares = drawn_from
            ids = torch.cat((likeliest, kept[_likeliest(shares, min(k, len(shares)))], chosen))
            everywhere = torch.zeros_like(scores).scatter_(0, kept, shares)
            after = everywhere[ids]
            rank_after = _rank(shares, everywhere[token])
            entropy_after = torch.stack(
                [torch.special.entr(part).sum() for part in _parts(shares)]
            ).sum()
        before = (scores[ids] - total).exp()
        facts = torch.stack([rank, rank_after, entropy * BITS, entropy_after * BITS])
        # Doubles hold every id exactly, so that all of it comes off the device at once.
        everything = (facts.double(), ids.double(), before.double(), after.double())
        numbers: list[float] = torch.cat(everything).tolist()
        self._noted = record_of(
            token, numbers, self._num_alternatives, self._texts, is_users=is_users
        )

    def complete(self, text: str, region: Region) -> None:
        """Say what became of the token that was noted last."""
        if noted := self._noted:
            self._noted = None
            self._waiting.append(completed(noted, text, region))

    @property
    def is_due(self) -> bool:
        """Whether what waits is to be handed on."""
        return time.perf_counter() - self._handed_on_at >= BATCH_SECONDS

    def take(self) -> tuple[TokenRecord, ...]:
        """Hand on what waits, perhaps nothing."""
        waiting, self._waiting = tuple(self._waiting), []
        self._handed_on_at = time.perf_counter()
        return waiting


def record_of(
    token: int,
    numbers: Sequence[float],
    num_alternatives: int,
    texts: TokenTexts,
    *,
    is_users: bool = False,
) -> TokenRecord:
    """The record of a token, without its text.

    Args:
        token: its id.
        numbers: its rank and the entropy in bits, each before and after the settings; then the ids
            of the alternatives and of the token itself; then as many probabilities before, and
            after.
        num_alternatives: likeliest tokens to record.
        texts: what each token says by itself.
        is_users: it was not drawn, but put there for the user.
    """
    num_ids = (len(numbers) - 4) // 3
    ids = [int(number) for number in numbers[4 : 4 + num_ids]]
    before = numbers[4 + num_ids : 4 + 2 * num_ids]
    after = numbers[4 + 2 * num_ids :]
    by_id = dict(zip(ids, zip(before, after, strict=True), strict=True))
    # Where fewer could be drawn than are recorded, others with no chance fill the places.
    for key in ids[num_alternatives:-1]:
        if key != token and key not in ids[:num_alternatives] and not by_id[key][1]:
            del by_id[key]
    return TokenRecord(
        token=token,
        text="",
        region="text",
        before=_rounded(by_id[token][0]),
        after=_rounded(by_id[token][1]),
        rank_before=int(numbers[0]),
        rank_after=int(numbers[1]),
        entropy_before=_rounded(max(numbers[2], 0.0)),
        entropy_after=_rounded(max(numbers[3], 0.0)),
        alternatives=tuple(
            Alternative(key, texts(key), _rounded(b), _rounded(a), key in texts.special)
            for key, (b, a) in sorted(by_id.items(), key=lambda item: item[1], reverse=True)
        ),
        is_users=is_users,
    )


def completed(noted: TokenRecord, text: str, region: Region) -> TokenRecord:
    """The record of a token of which it is known by now what became of it."""
    # Made anew by hand: ``msgspec.structs.replace`` takes several times as long.
    return TokenRecord(
        noted.token,
        text,
        region,
        noted.before,
        noted.after,
        noted.rank_before,
        noted.rank_after,
        noted.entropy_before,
        noted.entropy_after,
        noted.alternatives,
        noted.is_users,
    )


def _measure(scores: Tensor, highest: Tensor) -> tuple[Tensor, Tensor]:
    """What logits are normalised by, and their entropy in nats.

    Args:
        scores: logits, float32 [vocab]; those of impossible tokens are minus infinity.
        highest: the highest of them, float32 [].
    """
    lowest = torch.finfo(torch.float32).min
    sums, products = [], []
    for part in _parts(scores):
        distances = part - highest
        weights = distances.exp()
        sums.append(weights.sum())
        # What is impossible has no weight, but must not be multiplied by infinity.
        products.append(weights.dot(distances.clamp_min_(lowest)))
    weight = torch.stack(sums).sum()
    entropy = weight.log() - torch.stack(products).sum() / weight
    return highest + weight.log(), entropy


def _rank(scores: Tensor, chosen: Tensor) -> Tensor:
    """The rank of one of ``scores`` [n] among them, from 1 on: float32 []."""
    # 1 for each that is higher; comparing and counting truths takes three times as long.
    higher = [(part - chosen).sign_().clamp_min_(0).sum() for part in _parts(scores)]
    return torch.stack(higher).sum() + 1


def _likeliest(scores: Tensor, k: int) -> Tensor:
    """Indices of the ``k`` highest of ``scores`` [n], the highest first: int64 [k]."""
    num_blocks = scores.shape[0] // _BLOCK
    if scores.device.type != "cpu" or num_blocks <= 2 * k:
        return scores.topk(k).indices
    # On a CPU it is the selecting that takes long. None of the k highest is outside the k blocks
    # with the highest maxima.
    blocks = scores[: num_blocks * _BLOCK].view(num_blocks, _BLOCK)
    chosen = blocks.amax(1).topk(k).indices
    inside = (chosen[:, None] * _BLOCK + torch.arange(_BLOCK)).view(-1)
    few = torch.cat((inside, torch.arange(num_blocks * _BLOCK, scores.shape[0])))
    return few[scores[few].topk(k).indices]


def _parts(values: Tensor) -> Sequence[Tensor]:
    """A vector in parts so small that torch does not wake its threads for them.

    Waking them takes longer than the work, many times so where other programs keep them busy.
    """
    if values.device.type != "cpu":
        return (values,)
    starts = range(0, values.shape[0], SERIAL_SIZE)
    return [values[start : start + SERIAL_SIZE] for start in starts]


def _rounded(value: float) -> float:
    """Six digits that count: more would be noise, and as long again to write."""
    return float(f"{value:.6g}")
