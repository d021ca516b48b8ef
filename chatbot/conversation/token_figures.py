"""Figures about the tokens of an answer, and how a token is written out. Pure functions."""

import math
from collections.abc import Sequence
from typing import Final

from chatbot.terminal_text import clean
from chatbot.tokens import NO_TOKEN, Alternative, TokenRecord

TEMPERATURES: Final = (0.3, 0.7, 1.0, 1.5)
"""Those that are compared at one token."""

_VISIBLE: Final = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "⏎"})


def visible(text: str) -> str:
    """A token's text on one line, with its spaces and line ends to be seen."""
    return clean(text).translate(_VISIBLE) or "∅"


def surprise(record: TokenRecord) -> float:
    """How unexpected a token was to the model, in bits; 0 where that is not known."""
    return -math.log2(record.before) if record.before > 0 else 0.0


def perplexity(records: Sequence[TokenRecord]) -> float:
    """As many tokens the model hesitated between, on average; 1 where nothing is known."""
    known = [surprise(record) for record in records if record.before > 0]
    return float(2 ** (sum(known) / len(known))) if known else 1.0


def mean_entropy(records: Sequence[TokenRecord]) -> float:
    """In bits a token, of the model before the settings."""
    known = [record.entropy_before for record in records if record.token != NO_TOKEN]
    return sum(known) / len(known) if known else 0.0


def most_uncertain(records: Sequence[TokenRecord]) -> list[int]:
    """Indices of the tokens at which the model was least certain, those first."""
    known = [i for i, record in enumerate(records) if record.entropy_before > 0]
    return sorted(known, key=lambda i: -records[i].entropy_before)


def at_temperature(alternatives: Sequence[Alternative], temperature: float) -> list[float]:
    """The probabilities that a temperature makes of some alternatives, among these alone.

    Args:
        alternatives: at least one of them with a probability above 0.
        temperature: above 0.
    """
    logits = [math.log(a.before) / temperature if a.before > 0 else -math.inf for a in alternatives]
    highest = max(logits, default=0.0)
    if highest == -math.inf:
        return [0.0] * len(alternatives)
    weights = [math.exp(logit - highest) for logit in logits]
    total = sum(weights)
    return [weight / total for weight in weights]


def percent(share: float) -> str:
    """A probability in at most six characters."""
    if 0 < share < 0.0005:
        return f"{share:.0e}"
    return f"{share:.1%}"


def effect(alternative: Alternative) -> str:
    """What the settings did to an alternative: lifted, lowered or cut; nothing is empty."""
    if alternative.after == 0:
        return "✂ cut"
    if alternative.before == 0:
        return "▲ lifted"
    ratio = alternative.after / alternative.before
    if abs(ratio - 1) < 0.005:
        return ""
    factor = f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"
    return f"{'▲' if ratio > 1 else '▼'} ×{factor}"
