"""Another way on from a token of an answer: the answer up to there, with another token.

Values in, values out; knows neither the tree nor the engine.
"""

import time
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

import msgspec

from chatbot.conversation.token_spans import first_after, spans_of
from chatbot.errors import CommandError
from chatbot.messages import Message, Part, SourcesPart, TextPart, ThinkingPart, ToolCallPart
from chatbot.store.values import new_id
from chatbot.terminal_text import clean
from chatbot.tokens import NO_TOKEN, NUM_ALTERNATIVES, Alternative, TokenRecord

_HALF: Final = "\N{REPLACEMENT CHARACTER}"


class Branch(msgspec.Struct, frozen=True):
    """An answer that is begun, to be gone on with beside the one it is taken from."""

    begun: Message
    records: tuple[TokenRecord, ...]
    """Of its tokens so far, the last of which is the user's."""


def branch_at(
    answer: Message, records: Sequence[TokenRecord], index: int, choice: Alternative | str
) -> Branch:
    """The beginning of ``answer``, and ``choice`` in place of its token ``index``.

    Args:
        answer: the answer to go another way from.
        records: of its tokens.
        index: the token that is to be another one.
        choice: one of its alternatives, or a text.

    Raises:
        CommandError: there is no such token, or no answer can go on from it.
    """
    if not 0 <= index < len(records):
        raise CommandError("There is no such token in this answer.")
    old = records[index]
    if old.region != "text":
        raise CommandError("Choose a token of the answer itself: this one is no part of its text.")
    if isinstance(choice, str):
        same = (a for a in old.alternatives if a.text == choice and not a.is_special)
        choice = next(same, choice)
    text = clean(choice if isinstance(choice, str) else choice.text)
    if not text:
        raise CommandError("Type what the answer is to go on with.")
    if isinstance(choice, Alternative) and (choice.is_special or _HALF in text):
        raise CommandError("This token is no text of its own; choose another, or type one.")
    spans = spans_of(answer.text, records)
    place = spans[index][0]
    making = answer.making
    if making:
        making = msgspec.structs.replace(
            making,
            finish_reason="interrupted",
            error="",
            statistics=None,
            changes=tuple(c for c in making.changes if first_after(c, spans) <= index),
        )
    begun = msgspec.structs.replace(
        answer,
        id=new_id(),
        created_at=time.time(),
        parts=_parts_until(answer.parts, place, text),
        making=making,
    )
    return Branch(begun, (*records[:index], _chosen(old, choice, text)))


def begun_tokens(begun: Message, records: Sequence[TokenRecord]) -> tuple[int, ...]:
    """The very tokens that an answer begins with, as far as they are all that the model wrote.

    The engine uses them where they say the text of the answer, and holds by the text otherwise.
    """
    if any(isinstance(part, ToolCallPart | ThinkingPart) for part in begun.parts):
        return ()  # what was written before is in other messages of the prompt
    known = [*takewhile(lambda r: r.token != NO_TOKEN and r.region == "text", records)]
    while known and not known[-1].text:  # the end, or half a character
        known.pop()
    return tuple(record.token for record in known)


def _chosen(old: TokenRecord, choice: Alternative | str, text: str) -> TokenRecord:
    """The record of what the user put in the place of a token."""
    if isinstance(choice, str):
        token, before, after, ranks = NO_TOKEN, 0.0, 0.0, (0, 0)
    elif choice.token == old.token:  # it may be far below the likeliest, which alone are recorded
        return msgspec.structs.replace(old, text=text, is_users=True)
    else:
        token, before, after = choice.token, choice.before, choice.after
        ranks = (
            _rank(sum(other.before > before for other in old.alternatives)),
            _rank(sum(other.after > after for other in old.alternatives)),
        )
    return msgspec.structs.replace(
        old,
        token=token,
        text=text,
        before=before,
        after=after,
        rank_before=ranks[0],
        rank_after=ranks[1],
        is_users=True,
    )


def _rank(num_likelier: int) -> int:
    """The rank of a token, by how many likelier ones are recorded; 0 where there may be more."""
    return num_likelier + 1 if num_likelier < NUM_ALTERNATIVES else 0


def _parts_until(parts: Sequence[Part], place: int, text: str) -> tuple[Part, ...]:
    """The parts up to a place in the answer's text, and ``text`` behind them."""
    kept: list[Part] = []
    left = place
    for part in parts:
        if not isinstance(part, TextPart):
            # Which sentence rests on which source is another question for another text.
            is_sources = isinstance(part, SourcesPart)
            kept.append(msgspec.structs.replace(part, support=()) if is_sources else part)
            continue
        kept.append(TextPart(part.text[:left]))
        left -= len(part.text)
        if left <= 0:
            break
    if kept and isinstance(last := kept[-1], TextPart):
        kept[-1] = TextPart(last.text + text)
    else:
        kept.append(TextPart(text))
    return tuple(kept)
