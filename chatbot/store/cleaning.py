"""Makes what is read from the file of the chats safe to show: it may be another's, copied here.

What this program wrote is safe already, so that most of it is looked at once and left alone.
Knows nothing of tables.
"""

import math
from typing import Any, Final, TypeVar, get_args

import msgspec

from chatbot.messages import Role, ToolCallPart
from chatbot.terminal_text import clean, is_safe

T = TypeVar("T")

LATEST_TIME: Final = 32_503_680_000.0
"""The year 3000: a time after it is no time in seconds."""


def decoded(raw: bytes, decoder: "msgspec.json.Decoder[T]") -> T | None:
    """What ``raw`` says, cleaned; None where it makes no sense."""
    try:
        value = decoder.decode(raw)
        written = raw.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # An escape may stand for anything.
    is_plain = is_safe(written) and "\\u" not in written
    return value if is_plain else cleaned(value)


def cleaned(value: Any) -> Any:
    """A text, a struct or a tuple with every text in it cleaned.

    But what a model wrote to call a tool: that is for its next prompt, which looks for control
    tokens itself, and is never shown.
    """
    match value:
        case str():
            return value if is_safe(value) else clean(value)
        case tuple():
            return tuple(map(cleaned, value))
        case msgspec.Struct():
            fields = msgspec.structs.asdict(value)
            if isinstance(value, ToolCallPart):
                del fields["raw"]
            return msgspec.structs.replace(value, **{n: cleaned(v) for n, v in fields.items()})
    return value


def safe_role(role: str) -> Role:
    """``role`` where it is one; what nobody knows was not said by the program or the model."""
    return next((known for known in get_args(Role) if known == role), "user")


def safe_time(seconds: float) -> float:
    """``seconds`` since 1970 as a time that there is."""
    return min(max(seconds, 0.0), LATEST_TIME) if math.isfinite(seconds) else 0.0
