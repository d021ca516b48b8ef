"""Records of tokens as they come into the conversation. Pure functions."""

from collections.abc import Sequence

import msgspec

from chatbot.conversation.token_spans import spans_of
from chatbot.messages import Message
from chatbot.terminal_text import clean
from chatbot.tokens import NO_TOKEN, TokenRecord


def cleaned(record: TokenRecord) -> TokenRecord:
    """A record that can be shown: what the model might have written is as untrusted as the rest."""
    others = record.alternatives
    if all(clean(other.text) == other.text for other in others):
        return record
    return msgspec.structs.replace(
        record,
        alternatives=tuple(
            msgspec.structs.replace(other, text=clean(other.text)) for other in others
        ),
    )


def known_tokens(begun: Message, records: Sequence[TokenRecord]) -> list[TokenRecord]:
    """The tokens of an answer that is to be gone on with, to the end of its text.

    A program that is killed may have kept a little more of the text than of its tokens; and
    those that come next must have their place behind all of it.
    """
    spans = spans_of(begun.text, records)
    covered = spans[-1][1] if spans else 0
    rest = begun.text[covered:]
    return [*records, *([unrecorded(rest)] if rest else [])]


def unrecorded(text: str) -> TokenRecord:
    """Stands for a stretch of an answer whose tokens are not known."""
    return TokenRecord(NO_TOKEN, text, "text", 0.0, 0.0, 0, 0, 0.0, 0.0)
