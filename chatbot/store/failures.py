"""What SQLite reports, in one sentence that a user can act on."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chatbot.errors import StoreError
from chatbot.terminal_text import clean_line

_REMEDIES = (
    # beginning of SQLite's name for the error, what it means
    ("SQLITE_FULL", "the disk is full; make room on it"),
    ("SQLITE_READONLY", "it is read-only; make it and its folder writable"),
    ("SQLITE_CANTOPEN", "it cannot be opened; make its folder readable and writable"),
    ("SQLITE_PERM", "access is not allowed; make it readable and writable"),
    ("SQLITE_BUSY", "another program keeps it locked; close that program"),
    ("SQLITE_LOCKED", "another program keeps it locked; close that program"),
    ("SQLITE_CORRUPT", "it is damaged; start the chatbot again, which repairs it"),
    ("SQLITE_NOTADB", "it is damaged; start the chatbot again, which repairs it"),
    ("SQLITE_IOERR", "the disk reports an error; look whether it is full or failing"),
    ("SQLITE_TOOBIG", "a message is too long to be kept"),
)

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_NO_RIGHT: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)
"""The last two where a file is in the place of a folder."""


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Turn what SQLite and the system raise about ``file`` into a StoreError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{clean_line(str(file))} failed: {_reason(error)}.") from error


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _reason(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        number, reason = error.errno, clean_line(error.strerror or str(error))
        if number in _FULL:
            return "the disk is full; make room on it"
        if number in _NO_RIGHT:
            reason += "; make its folder writable, or name another one in CHATBOT_DATA_DIR"
        return reason
    name = getattr(error, "sqlite_errorname", "") or ""
    for beginning, reason in _REMEDIES:
        if name.startswith(beginning):
            return reason
    return clean_line(str(error))
