"""Writes exported chats; a file that exists is never overwritten."""

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from chatbot.errors import FormatError
from chatbot.terminal_text import clean_line


def write_new(file: Path, pieces: Iterable[bytes]) -> None:
    """Write a new file.

    Raises:
        FormatError: it exists, or cannot be written.
    """
    name = clean_line(str(file))
    try:
        target = expanded(file)
        with target.open("xb") as out:
            try:
                out.writelines(pieces)
                out.flush()
            except OSError:
                target.unlink()  # half a file is none, and would be in the way of the next try
                raise
    except FileExistsError:
        raise FormatError(f"{name} exists already; name another file.") from None
    except OSError as error:
        raise FormatError(f"{name} cannot be written: {error.strerror}.") from error


def open_regular(file: Path) -> BinaryIO:
    """Open a file to read; a pipe or a device would be waited for, or read, for ever.

    Raises:
        OSError: it is no regular file, or cannot be opened.
    """
    target = expanded(file)
    mode = target.stat().st_mode
    if stat.S_ISDIR(mode):
        raise OSError("it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError("it is no regular file")
    return target.open("rb")


def expanded(file: Path) -> Path:
    """``file`` with a leading ``~`` spelled out, where there is such a user."""
    try:
        return file.expanduser()
    except RuntimeError:
        return file
