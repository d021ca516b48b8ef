"""JSON between a model, a tool and the eye: read strictly, cleaned, and written visibly.

What is shown to the user before a call is what is run, so the values are cleaned first and
then used for both.
"""

import json
import math
import re
from typing import Any, Final

from chatbot.errors import ToolError
from chatbot.terminal_text import clean

MAX_DEPTH: Final = 32
"""Lists and objects within one another."""

_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
"""What Python calls printable and no terminal draws: selectors of variants, which can spell out any
bytes, fillers, joiners, and the empty pattern of Braille."""

_NEWLINE: Final = re.compile(r'(?<!\\)(?:\\\\)*\\n(?!")')
"""The escape of a line's end, with text behind it."""

LINE_MARK: Final = "    ┊ "
"""What a further line of a text begins with; no line of JSON does."""


def read_object(text: str) -> dict[str, Any]:
    """The JSON object that ``text`` is, with every text in it cleaned.

    Raises:
        ToolError: it is none, is nested deeper than ``MAX_DEPTH``, or has too large a number.
    """
    try:
        value = json.loads(
            text or "{}", parse_constant=_refuse_constant, parse_float=_finite_number
        )
    except (ValueError, RecursionError) as error:
        raise ToolError("Write the arguments as one JSON object, such as {}.") from error
    if not isinstance(value, dict):
        raise ToolError("Write the arguments as one JSON object, such as {}.")
    return {clean(key): cleaned(item) for key, item in value.items()}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite_number(text: str) -> float:
    """The number; 1e999 would become infinite, which cannot be written as JSON again."""
    number = float(text)
    if not math.isfinite(number):
        raise ToolError("Write numbers of at most 1e308.")
    return number


def cleaned(value: Any, depth: int = 1) -> Any:
    """``value`` with every text in it cleaned, keys too.

    Raises:
        ToolError: it is nested deeper than ``MAX_DEPTH``.
    """
    if depth > MAX_DEPTH:
        raise ToolError(f"Nest lists and objects at most {MAX_DEPTH} deep.")
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list | tuple):
        return [cleaned(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {clean(str(key)): cleaned(item, depth + 1) for key, item in value.items()}
    return value


def canonical(value: Any) -> str:
    """The same text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def visible(value: Any) -> str:
    """JSON for the user's eye: characters that cannot be seen are written as escapes.

    Letters of every script stay; zero-width characters, private ones, fillers and spaces other
    than the plain one do not, since they could make two different arguments look alike.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2)
    if text.isascii():
        return text
    return "".join(
        character if _is_seen(character) or character == "\n" else _escape(character)
        for character in text
    )


def in_lines(text: str) -> str:
    """``visible`` JSON with a line for each line of a text in it, below a ``┊``.

    Nothing else changes: an escape stays where it is, so that no text can pass for another value.
    """
    return _NEWLINE.sub(rf"\g<0>\n{LINE_MARK}", text)


def _is_seen(character: str) -> bool:
    return character.isprintable() and not _UNSEEN.match(character)


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1]
