"""Where answers to one question leave each other's words. Pure functions."""

from collections.abc import Sequence

from chatbot.events import Parting
from chatbot.messages import Message
from chatbot.tokens import NO_TOKEN, TokenRecord


def partings_of(
    answers: Sequence[Message], records: Sequence[Sequence[TokenRecord]]
) -> tuple[Parting, ...]:
    """Where each answer but the first leaves the words of the first.

    Args:
        answers: those that were made.
        records: of the tokens of each; none where they were not recorded.
    """
    return tuple(
        _parting(index, answers[0].text, answer.text, records[0], records[index])
        for index, answer in enumerate(answers)
        if index and answer.text and answers[0].text
    )


def _parting(
    index: int,
    first: str,
    second: str,
    first_records: Sequence[TokenRecord],
    second_records: Sequence[TokenRecord],
) -> Parting:
    if first == second:
        return Parting(index=index, character=None)
    token = None
    if first_records and second_records:
        token = num_same([_key(r) for r in first_records], [_key(r) for r in second_records])
    return Parting(index=index, character=num_same(first, second), token=token)


def _key(record: TokenRecord) -> tuple[int, str]:
    """What makes two tokens the same, though models number them differently: their text, or the
    number of one that has none, as the first half of a character."""
    return (NO_TOKEN, record.text) if record.text else (record.token, "")


def num_same(first: Sequence[object], second: Sequence[object]) -> int:
    """Length of the beginning that both have: of texts, characters."""
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        return shorter
    pairs = zip(first, second, strict=False)
    return next(index for index, (one, other) in enumerate(pairs) if one != other)
