"""Figures about the tokens of an answer. Pure functions.

Probabilities are added by ``math.fsum``: ``sum`` rounds otherwise since Python 3.12, and a figure
that is shown would depend on it.
"""

import math
from collections.abc import Sequence
from typing import Final

from chatbot.tokens import NO_TOKEN, NUM_ALTERNATIVES, Alternative, TokenRecord

TEMPERATURES: Final = (0.3, 0.7, 1.0, 1.5)
"""Those that are compared at one token."""


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


def log_probability(records: Sequence[TokenRecord]) -> float | None:
    """Natural logarithm of the probability that the model gives all of it; None where that of a
    part is not known."""
    if any(record.token == NO_TOKEN for record in records):
        return None
    return -math.log(2) * sum(surprise(record) for record in records)


def most_uncertain(records: Sequence[TokenRecord]) -> list[int]:
    """Indices of the tokens at which the model was least certain, those first."""
    known = [i for i, record in enumerate(records) if record.entropy_before > 0]
    return sorted(known, key=lambda i: -records[i].entropy_before)


def most_surprising(records: Sequence[TokenRecord]) -> list[int]:
    """Indices of the tokens that the model gave the least probability, those first."""
    known = [i for i, record in enumerate(records) if record.before > 0]
    return sorted(known, key=lambda i: records[i].before)


def cumulative(record: TokenRecord) -> list[float | None]:
    """What the model gives each alternative and all likelier ones together.

    Returns:
        One for each alternative; None where a likelier token may not have been recorded.
    """
    num_known = NUM_ALTERNATIVES
    ids = [other.token for other in record.alternatives]
    if record.token in ids and record.rank_before == ids.index(record.token) + 1:
        num_known = max(num_known, record.rank_before)
    shares = [other.before for other in record.alternatives]
    return [
        min(math.fsum(shares[: number + 1]), 1.0) if number < num_known else None
        for number in range(len(shares))
    ]


def kept_by_settings(record: TokenRecord) -> tuple[int, float] | None:
    """How many tokens the settings left a chance, and what the model gives these together.

    Returns:
        None where there may be more than were recorded, however little these would have.
    """
    kept = [other for other in record.alternatives if other.after > 0]
    if len(kept) >= NUM_ALTERNATIVES:
        return None
    return len(kept), min(math.fsum(other.before for other in kept), 1.0)


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


def playground(record: TokenRecord) -> list[tuple[float | None, list[float]]]:
    """The alternatives of a token as they were drawn from, and at each of ``TEMPERATURES``.

    Returns:
        For each the temperature, None for what the settings made of them, and the probabilities,
        among the alternatives alone.
    """
    total = sum(other.after for other in record.alternatives)
    drawn = [other.after / total if total else 0.0 for other in record.alternatives]
    return [(None, drawn), *((t, at_temperature(record.alternatives, t)) for t in TEMPERATURES)]


def percent(share: float) -> str:
    """A probability in at most six characters; one that is nearly nothing is not rounded to it."""
    if 0 < share < 0.000_005:
        return "<.001%"
    return f"{share:.3%}" if 0 < share < 0.0005 else f"{share:.1%}"


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
