"""What each token was drawn from: probabilities, ranks and alternatives, at little cost.

The numbers are ``chatbot.engine.token_facts``'s. Knows token ids; nothing of what a token becomes
in the answer but what it is told.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from torch import Tensor

from chatbot.engine.token_facts import NUM_SCALARS, highest, token_facts
from chatbot.tokens import Alternative, Region, TokenRecord

BATCH_SECONDS: Final = 0.1
"""Records are handed on this often at most: one message for each token would cost more."""

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
        self.num_alternatives = num_alternatives
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
        likeliest = highest(scores, min(self.num_alternatives, scores.shape[0]))
        # Whatever is higher than one of the likeliest is among them; few are counted sooner. On a
        # GPU asking would cost a wait.
        is_among = scores.device.type == "cpu" and token in likeliest.tolist()
        facts = token_facts(
            scores,
            likeliest.new_tensor([token]),
            drawn_from,
            len(likeliest),
            likeliest=likeliest,
            rivals=scores[likeliest] if is_among else None,
        )
        self._noted = self._record(token, facts.tolist(), is_users=is_users)

    def note_facts(self, token: int, facts: Sequence[float]) -> None:
        """Take note of a token that was drawn on the device, by its ``token_facts``."""
        self._noted = self._record(token, facts, is_users=False)

    def _record(self, token: int, facts: Sequence[float], *, is_users: bool) -> TokenRecord:
        numbers, rest = facts[:NUM_SCALARS], facts[NUM_SCALARS:]
        num_ids = len(rest) // 3
        ids = [int(number) for number in rest[:num_ids]]
        before, after = rest[num_ids : 2 * num_ids], rest[2 * num_ids :]
        by_id = dict(zip(ids, zip(before, after, strict=True), strict=True))
        # Where fewer could be drawn than are recorded, others with no chance fill the places.
        for key in ids[self.num_alternatives : -1]:
            if key != token and key not in ids[: self.num_alternatives] and not by_id[key][1]:
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
                Alternative(
                    key, self._texts(key), _rounded(b), _rounded(a), key in self._texts.special
                )
                for key, (b, a) in sorted(by_id.items(), key=lambda item: item[1], reverse=True)
            ),
            is_users=is_users,
        )

    def complete(self, text: str, region: Region) -> None:
        """Say what became of the token that was noted last."""
        if noted := self._noted:
            self._noted = None
            # Made anew by hand: ``msgspec.structs.replace`` takes several times as long.
            self._waiting.append(
                TokenRecord(
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
            )

    @property
    def is_due(self) -> bool:
        """Whether what waits is to be handed on."""
        return time.perf_counter() - self._handed_on_at >= BATCH_SECONDS

    def take(self) -> tuple[TokenRecord, ...]:
        """Hand on what waits, perhaps nothing."""
        waiting, self._waiting = tuple(self._waiting), []
        self._handed_on_at = time.perf_counter()
        return waiting


def _rounded(value: float) -> float:
    """Six digits that count: more would be noise, and as long again to write."""
    return float(f"{value:.6g}")
