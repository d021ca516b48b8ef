"""A token with all that was recorded of it, as JSON for other programs."""

from collections.abc import Mapping

import msgspec

from chatbot.conversation.token_figures import surprise
from chatbot.tokens import TokenRecord


def token_json(record: TokenRecord, index: int, settings: Mapping[str, str]) -> str:
    """One JSON object, indented.

    Args:
        record: the token.
        index: its index in the answer; it is counted from 1 there, as on the screen.
        settings: what it was drawn with, by name, as far as it is told.
    """
    told = {
        "number": index + 1,
        **msgspec.structs.asdict(record),
        "surprise": round(surprise(record), 4),
        "settings": dict(settings),
        "alternatives": [msgspec.structs.asdict(other) for other in record.alternatives],
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode()
