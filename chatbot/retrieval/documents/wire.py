"""What goes between the reader and its process: MessagePack with the length before it.

The process may have been taken over by a file that it read, so nothing that comes from there is
believed: lengths are bounded, and types are checked.
"""

import struct
from typing import Final

import msgspec

from chatbot.retrieval.documents.document import Document
from chatbot.retrieval.documents.limits import MAX_TEXT_BYTES, MAX_TEXT_CHARACTERS

MAX_MESSAGE_BYTES: Final = 4 * max(MAX_TEXT_BYTES, MAX_TEXT_CHARACTERS) + 2**24
"""Every character may take four bytes; the rest is for headings and pages."""

RESTART_STATUS: Final = 75
"""With which the process ends on purpose, to be started anew: its memory was all used."""

_LENGTH: Final = struct.Struct("<I")


class UnreadableAnswerError(Exception):
    """The process sent something that is no answer."""

    def __init__(self) -> None:
        super().__init__("it sent something that is no answer")


class ReadRequest(msgspec.Struct, frozen=True, array_like=True):
    """Read this file."""

    folder: bytes
    """Absolute path; as bytes, because names on a disk need not be text."""
    file: bytes
    """Relative to the folder."""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What became of a request; the first answer, with neither, says that the process is up."""

    document: Document | None = None
    problem: str = ""
    """Why there is no document, in one sentence."""
    trace: str = ""
    """For the log, where reading failed in a way that nobody thought of."""


class Messages:
    """Bytes as they come, taken apart into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what came."""
        self._buffer += data

    def take(self) -> bytes | None:
        """The next message, or None while it is not all there.

        Raises:
            UnreadableAnswerError: it is longer than any message.
        """
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MAX_MESSAGE_BYTES:
            raise UnreadableAnswerError
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        message = bytes(memoryview(self._buffer)[_LENGTH.size : end])
        del self._buffer[:end]
        return message


def framed(message: bytes) -> bytes:
    """A message with its length before it."""
    return _LENGTH.pack(len(message)) + message
