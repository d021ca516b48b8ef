"""Opening the SQLite file of an index, to write it or to read it.

There is one writer at a time in the whole system, who holds the index's lock and alone may make,
check and replace the file. Knows nothing of what the tables mean.
"""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from chatbot.errors import KnowledgeError, NotIndexedError
from chatbot.paths import index_dir
from chatbot.retrieval.index.failures import explained, is_damage
from chatbot.retrieval.index.schema import FOLDER, SCHEMA, TABLES, VERSION
from chatbot.terminal_text import clean_line

FILE_NAME: Final = "index.db"

BUSY_SECONDS: Final = 10.0
"""How long one program waits for the other's transaction, which takes milliseconds."""

_PAGE_BYTES: Final = 8192
"""Five vectors of 384 dimensions fill such a page; two leave a quarter of a page of 4096 empty."""

_DAMAGED_NAME: Final = "index-damaged.db"


class WriteLock:
    """The right to write the index of a folder.

    Lies beside the index and stays there: a lock that is deleted with what it guards can be
    held by two.
    """

    def __init__(self, folder: Path) -> None:
        place = index_dir(folder)
        self._folder = folder
        self._parent = place.parent
        self._lock = FileLock(f"{place}.lock", timeout=0, thread_local=False, mode=0o600)

    def acquire(self) -> bool:
        """Take it, unless another program has it.

        Raises:
            KnowledgeError: the data folder cannot be written.
        """
        with explained(self._folder):
            self._parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except Timeout:
                return False
            return True

    def release(self) -> None:
        """Give it back."""
        self._lock.release()


def open_to_write(folder: Path) -> tuple[sqlite3.Connection, str]:
    """The folder's index, made where there is none; to be called by who holds the lock.

    Returns:
        The connection, and a sentence for the user where a damaged index had to be replaced.

    Raises:
        KnowledgeError: it cannot be opened, or is a newer program's.
    """
    place = index_dir(folder)
    with explained(folder):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = place / FILE_NAME
        connection = _connect_if_sound(file)
        notice = ""
        if connection is None:
            _move_aside(file)
            notice = "The index was damaged and is made anew; the damaged file is kept beside it."
            connection = _connect(file)
        version = _version(connection)
        if version > VERSION:
            connection.close()
            raise KnowledgeError(
                f"The index of {clean_line(str(folder))} was written by a newer chatbot; "
                "update this one."
            )
        if 0 < version < VERSION:
            connection.close()
            _remove_files(file)
            connection, version = _connect(file), 0
        if version == 0:
            # What belonged to an earlier file must be gone before this one can be trusted.
            for stale in place.glob("lexical-*"):
                shutil.rmtree(stale)
            connection.executescript(
                f"PRAGMA page_size = {_PAGE_BYTES}; BEGIN IMMEDIATE; {SCHEMA} "
                f"PRAGMA user_version = {VERSION}; COMMIT;"
            )
            connection.execute("INSERT INTO state VALUES (?, ?)", (FOLDER, _shown(folder)))
        # Several programs read while one writes, and SQLite before 3.51.3 can damage a WAL file
        # that several have open. Emptying the journal is cheaper than deleting it.
        connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
        return connection, notice


def open_to_read(folder: Path) -> sqlite3.Connection:
    """The folder's index, for reading.

    Raises:
        NotIndexedError: there is none yet.
        KnowledgeError: it cannot be opened.
    """
    file = index_dir(folder) / FILE_NAME
    refusal = NotIndexedError(f"The folder {clean_line(str(folder))} is not indexed yet.")
    if not file.exists():
        raise refusal
    with explained(folder):
        connection = _connect(file)
        try:
            connection.execute("PRAGMA query_only = ON")
            version = _version(connection)
        except sqlite3.Error:
            connection.close()
            raise
    if version != VERSION:
        connection.close()
        raise refusal
    return connection


def _shown(folder: Path) -> str:
    return os.fsencode(folder).decode("utf-8", "replace")


def _connect(file: Path) -> sqlite3.Connection:
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(
        file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -32768")  # KiB
    # A transaction that spills over locks the readers out long before it ends.
    connection.execute("PRAGMA cache_spill = OFF")
    return connection


def _connect_if_sound(file: Path) -> sqlite3.Connection | None:
    """The file, or None when it is damaged."""
    connection = None
    try:
        connection = _connect(file)
        is_sound = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        if is_sound and _version(connection) == VERSION:
            for table in TABLES:
                connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchall()
    except sqlite3.Error as error:
        if not is_damage(error):
            if connection is not None:
                connection.close()
            raise
        is_sound = False
    if not is_sound and connection is not None:
        connection.close()
    return connection if is_sound else None


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _move_aside(file: Path) -> None:
    """Keep a damaged file, one of them at most: nothing in it is not in the user's files."""
    file.replace(file.with_name(_DAMAGED_NAME))
    _remove_files(file)


def _remove_files(file: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
