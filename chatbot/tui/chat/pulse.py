"""How unsure the model was at the latest tokens of an answer, as heights.

A pure function of records to text. Knows no widget, and not where the records come from.
"""

from collections.abc import Sequence
from typing import Final

from chatbot.tokens import NO_TOKEN, TokenRecord
from chatbot.tui.lens.drawing import height_mark

LABEL: Final = " · unsure "

FEWEST: Final = 8
"""Tokens that there has to be room for: fewer have no form."""

MOST: Final = 32
"""Tokens that are drawn; before them, nobody remembers what stood there."""


def pulse_of(records: Sequence[TokenRecord], width: int) -> str:
    """The entropy of the latest tokens, a column as high as it has bits for each, the last on the
    right; empty where nothing is known, or ``width`` cells are too few."""
    room = min(width - len(LABEL), MOST)
    if room < FEWEST:
        return ""
    marks = [height_mark(r.entropy_before) for r in records[-room:] if r.token != NO_TOKEN]
    return LABEL + "".join(marks) if marks else ""
