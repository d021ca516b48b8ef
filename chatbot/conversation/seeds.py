"""The seed of an answer, which is drawn where the settings leave it to chance.

It is drawn here and not by the engine, so that it is known and recorded: whoever likes an answer
can have it made again. The setting itself stays ``random``. Knows no engine and no tree.
"""

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

from chatbot.messages import Message
from chatbot.settings import Sampling, find_spec
from chatbot.tokens import TokenRecord

NUM_SEEDS: Final = 1_000_000
"""Seeds that are drawn are below it: short enough to be typed."""


def draw_seed() -> int:
    """Any seed."""
    return secrets.randbelow(NUM_SEEDS)


class AnswerSeed:
    """The seed of one answer, through all changes of its settings."""

    def __init__(self, drawn: int | None = None) -> None:
        """Begin; ``drawn`` is the seed that the answer was begun with, if it was."""
        self._drawn = drawn

    def given_to(self, sampling: Sampling) -> Sampling:
        """The settings with a seed, where tokens are drawn. The same one each time, but another
        one where the user had set one in between."""
        if sampling.seed is not None:
            self._drawn = None
            return sampling
        if self._drawn is None and not sampling.is_greedy:
            self._drawn = draw_seed()
        return msgspec.structs.replace(sampling, seed=self._drawn)


def seed_of(begun: Message | None, records: Sequence[TokenRecord]) -> int | None:
    """The seed that an answer is to go on with; None where another one is to be drawn.

    Args:
        begun: the answer so far.
        records: of its tokens. Where the user put the last one there, it is another answer than
            the one that it was taken from.
    """
    made = begun.making if begun else None
    if made is None or made.is_by_program or (records and records[-1].is_users):
        return None
    changed = [change.new for change in made.changes if change.name == "seed"]
    value = find_spec("seed").parse(changed[-1]) if changed else made.sampling.seed
    return value if isinstance(value, int) else None
