"""What every worker's requests and events have in common, and their form on the wire.

One JSON object a line, UTF-8, with the struct's name under ``type``. A request's events all
carry its id; the last of them is of a class whose ``is_last`` is true.
"""

from typing import ClassVar, Final

import msgspec

MAX_LINE_BYTES: Final = 64 * 2**20
"""Longest line that either side reads; a whole prompt or document fits."""


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """Something that a worker is asked to do."""

    id: int = 0
    """Given by the client when the request is sent."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """Something that happened while a worker dealt with a request."""

    is_last: ClassVar[bool] = False

    request_id: int


class Failed(Event, frozen=True, kw_only=True):
    """The request could not be carried out; the worker lives on."""

    is_last: ClassVar[bool] = True

    message: str
    """One sentence for the user."""
    kind: str = ""
    """The class of the error, where a client treats some differently."""


_encoder = msgspec.json.Encoder()


def encode(value: Request | Event) -> bytes:
    """``value`` as one line."""
    return _encoder.encode(value) + b"\n"
