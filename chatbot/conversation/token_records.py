"""Records of tokens as they come into the conversation. Pure functions."""

import msgspec

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


def unrecorded(text: str) -> TokenRecord:
    """Stands for a stretch of an answer whose tokens are not known."""
    return TokenRecord(NO_TOKEN, text, "text", 0.0, 0.0, 0, 0, 0.0, 0.0)
