"""What SQLite and the disk complain about, in words for the user. Knows no tables."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chatbot.errors import KnowledgeError
from chatbot.terminal_text import clean_line

_DAMAGE_CODES: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_NO_RIGHT: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


class DamagedError(KnowledgeError):
    """An index on the disk is broken; whoever may write it makes it anew."""


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Within this, errors of SQLite and of the system become the program's own.

    Raises:
        DamagedError: the index is broken.
        KnowledgeError: anything else, with what the user can do.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _explain(error, clean_line(str(folder))) from error


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is broken, and not merely in use, full or out of reach."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # A table that should be there and is not is damage too.
    return code in _DAMAGE_CODES or "no such table" in str(error)


def _explain(error: sqlite3.Error | OSError, folder: str) -> KnowledgeError:
    number, code = getattr(error, "errno", None), getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, sqlite3.Error) and is_damage(error):
        return DamagedError(
            f"The index of {folder} is damaged; index the folder again, which makes it anew."
        )
    if number in _FULL or code == sqlite3.SQLITE_FULL:
        return KnowledgeError(
            f"The index of {folder} cannot be written because the disk is full; "
            "free some space and index the folder again."
        )
    no_right = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
    if number in _NO_RIGHT or code in no_right:
        return KnowledgeError(
            f"The index of {folder} cannot be written; make the chatbot's data folder writable, "
            "or name another one in CHATBOT_DATA_DIR."
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return KnowledgeError(
            f"Another program has kept the index of {folder} busy for too long; try again."
        )
    reason = os.strerror(number) if number else clean_line(str(error))
    return KnowledgeError(
        f"The index of {folder} cannot be used ({reason.lower()}); check the disk and try again."
    )
