"""A tool's result as text for the model: cleaned, and no longer than the limit."""

import json
from typing import Final

import msgspec

from chatbot.terminal_text import clean

_CUT: Final = "\n[The result was longer and is cut off here.]"


def as_text(result: object) -> str:
    """A value that a function returned: texts as they are, other values as JSON.

    So are dataclasses, sets and dates, within others too; what JSON has nothing for is its ``str``.
    """
    if isinstance(result, str):
        return result
    if result is None:
        return "Done."
    try:
        plain = msgspec.to_builtins(result, enc_hook=str)
        return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(result)


def cut(text: str, max_bytes: int) -> str:
    """``text``, cleaned, within ``max_bytes`` of UTF-8, with a note where it was longer."""
    # Cleaning costs time in proportion, and what is cut off needs none.
    cleaned = clean(text[:max_bytes])
    encoded = cleaned.encode("utf-8", "replace")
    if len(text) <= max_bytes and len(encoded) <= max_bytes:
        return cleaned
    kept = encoded[: max(0, max_bytes - len(_CUT))].decode("utf-8", "ignore")
    return kept + _CUT
