"""A token with all that was recorded of it, as JSON for other programs."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chatbot.conversation.token_figures import surprise
from chatbot.tokens import NO_TOKEN, TokenRecord

_UNKNOWN: Final = ("token", "before", "after", "rank_before", "rank_after", "surprise")
"""Figures that nobody knows of a text that was typed in place of a token: they are null."""


def token_json(record: TokenRecord, index: int, settings: Mapping[str, str]) -> str:
    """One JSON object, indented.

    Args:
        record: the token.
        index: its index in the answer; it is counted from 1 there, as on the screen.
        settings: what it was drawn with, by name, as far as it is told.
    """
    told: dict[str, Any] = {
        "number": index + 1,
        **msgspec.structs.asdict(record),
        "surprise": round(surprise(record), 4),
        "settings": dict(settings),
        "alternatives": [msgspec.structs.asdict(other) for other in record.alternatives],
    }
    told |= {name: told[name] or None for name in ("rank_before", "rank_after")}
    if record.token == NO_TOKEN:
        told |= dict.fromkeys(_UNKNOWN)
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode()
