"""Reads files of chats of any known format, which it finds out by itself.

The formats: our own JSON, OpenAI messages (JSONL), ShareGPT, the exports of ChatGPT and Claude (the
zip file as well as the ``conversations.json`` in it).
"""

import contextlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec

from chatbot.conversation.formats import chatgpt, claude, openai_jsonl, own_json, sharegpt
from chatbot.conversation.formats.cleaning import EmptyChatError
from chatbot.conversation.formats.files import open_regular
from chatbot.conversation.formats.json_stream import split_objects
from chatbot.errors import FormatError
from chatbot.store.values import BrokenChat, StoredChat
from chatbot.terminal_text import clean_line

MAX_ENTRIES: Final = 100_000
"""Files in an archive."""

MAX_UNPACKED_BYTES: Final = 4 * 2**30

MAX_RATIO: Final = 200
"""How many times longer than its packed form a file in an archive may be; text reaches 20."""

_BROKEN_ARCHIVE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # packed in a way that Python does not know
    RuntimeError,  # encrypted
)

_ReadChat = Callable[[bytes], StoredChat]

_FORMATS: Final[tuple[tuple[Callable[[dict[str, Any]], bool], _ReadChat], ...]] = (
    (own_json.looks_like, own_json.chat_of),
    (chatgpt.looks_like, chatgpt.chat_of),
    (claude.looks_like, claude.chat_of),
    (sharegpt.looks_like, sharegpt.chat_of),
    (openai_jsonl.looks_like, openai_jsonl.chat_of),
)


def read_chats(file: Path) -> Iterator[StoredChat | BrokenChat]:
    """The chats in a file, one after the other, valid and cleaned.

    Raises:
        FormatError: the file cannot be read, or is of no known format; in mid-file, too.
    """
    name = clean_line(str(file))
    try:
        with contextlib.ExitStack() as opened:
            raw = opened.enter_context(open_regular(file))
            source: IO[bytes] = raw
            if raw.read(4) == b"PK\x03\x04":
                source = opened.enter_context(_conversations_in(raw))
            else:
                raw.seek(0)
            yield from _read(source)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error
    except OSError as error:
        raise FormatError(f"{name} cannot be read: {error.strerror or error}.") from error
    except _BROKEN_ARCHIVE as error:
        raise FormatError(f"{name} is a broken archive: {clean_line(str(error))}.") from error


def read_chat(file: Path) -> StoredChat:
    """The one chat in a file.

    Raises:
        FormatError: the file cannot be read, or does not hold exactly one chat.
    """
    found: StoredChat | None = None
    for chat in read_chats(file):
        if isinstance(chat, BrokenChat):
            raise FormatError(f"{clean_line(str(file))}: {chat.reason}")
        if found is not None:
            raise FormatError(
                f"{clean_line(str(file))} holds several chats; `chatbot chats import` takes them."
            )
        found = chat
    if found is None:
        raise FormatError(f"{clean_line(str(file))} holds no chat.")
    return found


def _read(source: IO[bytes]) -> Iterator[StoredChat | BrokenChat]:
    chats = split_objects(source)
    first = next(chats, None)
    if first is None:
        return
    value = _decoded(first)
    read: _ReadChat = openai_jsonl.chat_of
    if openai_jsonl.looks_like_message(value):
        first = openai_jsonl.as_chat(chain([first], chats))
    else:
        read = _format_of(value)
    for number, raw in enumerate(chain([first], chats), 1):
        try:
            yield read(raw)
        except EmptyChatError:
            continue
        except (FormatError, msgspec.MsgspecError, RecursionError, ValueError) as error:
            reason = clean_line(str(error), 300).rstrip(".")
            yield BrokenChat(f"Chat {number} is broken: {reason}.")


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise FormatError(f"This is not JSON: {clean_line(str(error))}.") from error


def _format_of(value: dict[str, Any]) -> _ReadChat:
    for looks_like, read in _FORMATS:
        if looks_like(value):
            return read
    raise FormatError(
        "The format is not known; it can be the chatbot's own JSON, OpenAI messages, ShareGPT, or "
        "the export of ChatGPT or Claude."
    )


@contextlib.contextmanager
def _conversations_in(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    """``conversations.json`` in an archive, which is checked before and while it is unpacked."""
    with zipfile.ZipFile(raw) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise FormatError(f"The archive holds more than {MAX_ENTRIES:,} files.")
        found = [e for e in entries if Path(e.filename).name == "conversations.json"]
        if not found:
            raise FormatError("There is no conversations.json in the archive.")
        entry = min(found, key=lambda e: len(e.filename))
        _require_size(entry.file_size, entry.compress_size)
        with archive.open(entry) as unpacked:
            yield cast(IO[bytes], _Limited(unpacked, entry.compress_size))


class _Limited:
    """Reads on only while what comes out is in proportion: a header may lie about sizes."""

    def __init__(self, source: IO[bytes], packed_size: int) -> None:
        self._source = source
        self._packed_size = packed_size
        self._size = 0

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        self._size += len(piece)
        _require_size(self._size, self._packed_size)
        return piece


def _require_size(size: int, packed_size: int) -> None:
    if size > MAX_UNPACKED_BYTES or size > MAX_RATIO * max(packed_size, 10_000):
        raise FormatError("The archive unpacks to more than a chat history can be.")
