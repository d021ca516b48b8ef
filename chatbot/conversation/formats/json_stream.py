"""Cuts a file of JSON into its objects, one at a time, however long the file is.

Takes an array of objects, objects one a line, or a single object, and hands out each as
bytes; what is inside them is for others to read.
"""

import re
from collections.abc import Iterator
from typing import IO, Final

from chatbot.errors import FormatError

MAX_OBJECT_BYTES: Final = 256 * 2**20
"""One chat longer than this is taken for an attack on the memory."""

_CHUNK: Final = 1 << 20

# A whole string, a string that is cut off by the end of what is read, or a bracket.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(")?|[\[\]{}]', re.DOTALL)
_BETWEEN: Final = re.compile(rb"[ \t\r\n,]*+")
_BOM: Final = b"\xef\xbb\xbf"

_QUOTE: Final = ord('"')


def split_objects(file: IO[bytes]) -> Iterator[bytes]:
    """The objects of a top-level array, or the objects that follow one another.

    Where they follow one another, a line that begins no object is given as it is: it is one that is
    broken, and the others are not.

    Raises:
        FormatError: it holds something else, breaks off, or an object is longer than
            ``MAX_OBJECT_BYTES``.
    """
    window = _Window(file)
    is_array = window.begin()
    is_first = True
    while True:
        num_commas = window.pass_between()
        first = window.peek()
        if first == b"" and not is_array:
            return
        if first == b"]" and is_array and not num_commas:
            window.require_end()
            return
        if first not in (b"", b"{") and not (is_array or is_first or num_commas):
            yield window.take_line()
            continue
        if first != b"{" or num_commas != (is_array and not is_first):
            raise FormatError(
                "The file breaks off in the middle."
                if first == b""
                else "The file is not a list of chats in JSON."
            )
        yield window.take_object()
        is_first = False


class _Window:
    """The part of the file that is in memory: from the object that is being read on."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._data = b""
        self._at = 0

    def begin(self) -> bool:
        """Pass what stands before the first object; whether that opens an array."""
        self._fill()
        if self._data.startswith(_BOM):
            self._at = len(_BOM)
        if self.pass_between():
            raise FormatError("The file is not a list of chats in JSON.")
        if self.peek() == b"":
            raise FormatError("The file is empty.")
        is_array = self.peek() == b"["
        self._at += is_array
        return is_array

    def peek(self) -> bytes:
        """The next byte; nothing at the end of the file."""
        return self._data[self._at : self._at + 1]

    def pass_between(self) -> int:
        """Pass white space and commas; how many commas there were."""
        num_commas = 0
        while True:
            found = _BETWEEN.match(self._data, self._at)
            end = found.end() if found else self._at
            num_commas += self._data.count(b",", self._at, end)
            self._at = end
            if self._at < len(self._data) or not self._fill():
                return num_commas

    def require_end(self) -> None:
        """Make sure that nothing follows after the array.

        Raises:
            FormatError: something does.
        """
        self._at += 1
        if self.pass_between() or self.peek():
            raise FormatError("Something follows after the end of the list of chats.")

    def take_line(self) -> bytes:
        """Pass the rest of the line, and return it.

        Raises:
            FormatError: it is longer than ``MAX_OBJECT_BYTES``.
        """
        while (end := self._data.find(b"\n", self._at)) < 0:
            if len(self._data) - self._at > MAX_OBJECT_BYTES:
                raise FormatError("A line in the file is too long to be read.")
            if not self._fill(len(self._data) - self._at):
                end = len(self._data)
                break
        taken, self._at = self._data[self._at : end], end
        return taken

    def take_object(self) -> bytes:
        """Pass the object that begins here, and return it."""
        depth = 0
        searched = self._at
        while True:
            for token in _TOKEN.finditer(self._data, searched):
                kind = self._data[token.start()]
                if kind == _QUOTE:
                    if token[1] is None:
                        searched = token.start()
                        break
                else:
                    depth += 1 if kind in b"{[" else -1
                    if depth == 0:
                        taken = self._data[self._at : token.end()]
                        self._at = token.end()
                        return taken
                searched = token.end()
            else:
                searched = len(self._data)
            length = len(self._data) - self._at
            if length > MAX_OBJECT_BYTES:
                raise FormatError("A chat in the file is too long to be read.")
            searched -= self._at
            # More each time, so that a long string is not searched again and again.
            if not self._fill(length):
                raise FormatError("The file breaks off in the middle.")
            searched += self._at

    def _fill(self, size: int = 0) -> bool:
        """Read on, by ``size`` bytes or more; False at the end. What was passed is forgotten."""
        piece = self._file.read(max(size, _CHUNK))
        self._data = self._data[self._at :] + piece
        self._at = 0
        return bool(piece)
