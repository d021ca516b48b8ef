"""Opening the file of the chats: makes it, checks it, repairs it, brings it up to date.

All of it happens under one lock, so that programs that start together take turns. The file
is only ever replaced while no other program has it open. Knows the tables' version but
nothing of what is in them.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from chatbot.errors import StoreError
from chatbot.store.failures import is_damage
from chatbot.store.instances import Instance, only_one, running_instances
from chatbot.store.salvage import salvage
from chatbot.store.schema import MIGRATIONS, SCHEMA, VERSION
from chatbot.terminal_text import clean_line

FILE_NAME: Final = "chats.db"

BUSY_SECONDS: Final = 5.0
"""How long a write waits for another program's."""

SAFE_WAL_VERSION: Final = (3, 51, 3)
"""SQLite before this one can damage a file in WAL mode that several programs have open."""


class Opened:
    """The open file, and this program's place among those that use it."""

    def __init__(
        self, connection: sqlite3.Connection, instance: Instance, notices: tuple[str, ...]
    ) -> None:
        self.connection = connection
        self.instance = instance
        self.notices = notices
        """Sentences for the user about what had to be done."""


def open_file(
    folder: Path, migrations: Mapping[int, str] = MIGRATIONS, version: int = VERSION
) -> Opened:
    """Open the chats in ``folder``.

    Args:
        folder: made when it is missing.
        migrations: see ``schema.MIGRATIONS``; tests pass their own.
        version: of the tables, as this program knows them.

    Raises:
        StoreError: the file is a newer program's, or has to be replaced while another
            program has it open.
        sqlite3.Error: it cannot be opened.
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / FILE_NAME
    running = folder / "running"
    notices: list[str] = []
    with only_one(folder / "opening.lock"):
        is_alone = not running_instances(running)
        sound = _connect_if_sound(file)
        if sound is None:
            _require_alone(is_alone, "is damaged and has to be repaired")
            sound, notice = _repair(file)
            notices.append(notice)
        connection = sound
        try:
            found = _version(connection)
            if found > version:
                raise StoreError(
                    f"{clean_line(str(file))} was written by a newer chatbot; update this one."
                )
            if found == 0:
                _create(connection)
            elif found < version:
                _require_alone(is_alone, "has to be brought up to date")
                connection.close()
                _migrate(file, found, migrations, version)
                connection = _connect(file)
            _choose_journal(connection)
            return Opened(connection, Instance(running), tuple(notices))
        except BaseException:
            connection.close()
            raise


def _connect(file: Path) -> sqlite3.Connection:
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(
        file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -16384")  # KiB
    return connection


def _connect_if_sound(file: Path) -> sqlite3.Connection | None:
    """The file, or None when it is damaged."""
    connection: sqlite3.Connection | None = None
    try:
        connection = _connect(file)
        is_sound = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        if is_sound and _version(connection):
            # A file that is whole, but lacks our tables, is as good as damaged.
            connection.execute("SELECT 1 FROM messages JOIN chats LIMIT 1").fetchall()
            connection.execute("SELECT 1 FROM message_words, title_words LIMIT 1").fetchall()
    except sqlite3.DatabaseError as error:
        if not (is_damage(error) or "no such table" in str(error)):
            if connection is not None:
                connection.close()
            raise
        is_sound = False
    if is_sound:
        return connection
    if connection is not None:
        connection.close()
    return None


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")


def _choose_journal(connection: sqlite3.Connection) -> None:
    if sqlite3.sqlite_version_info >= SAFE_WAL_VERSION:
        # Refused while another program uses the file in the other mode; that is as safe.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
    else:
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()


def _require_alone(is_alone: bool, why: str) -> None:
    if not is_alone:
        raise StoreError(f"The file of the chats {why}: close the other running chatbot first.")


def _migrate(file: Path, found: int, migrations: Mapping[int, str], version: int) -> None:
    """Bring a copy up to date, check it, and put it in the file's place; the old one is kept."""
    copy = file.with_name(f"{FILE_NAME}.migrating")
    copy.unlink(missing_ok=True)
    with contextlib.closing(_connect(file)) as old, contextlib.closing(_connect(copy)) as new:
        old.execute("PRAGMA journal_mode = DELETE").fetchone()  # nothing may stay in a side file
        old.backup(new)
        new.execute("PRAGMA foreign_keys = OFF")
        for step in range(found, version):
            new.executescript(
                f"BEGIN IMMEDIATE; {migrations[step]} PRAGMA user_version = {step + 1}; COMMIT;"
            )
        is_whole = new.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        if not is_whole or new.execute("PRAGMA foreign_key_check").fetchone():
            raise StoreError(
                f"{clean_line(str(file))} could not be brought up to date; nothing was changed."
            )
    _sync(copy)
    kept = file.with_name(f"chats-version-{found}.db")
    kept.unlink(missing_ok=True)
    os.link(file, kept)
    copy.replace(file)
    _sync(file.parent)


def _repair(file: Path) -> tuple[sqlite3.Connection, str]:
    """Move a damaged file aside, and begin a new one with what can be read of it.

    Returns:
        The new file, and a sentence for the user.
    """
    fresh = file.with_name(f"{FILE_NAME}.repairing")
    fresh.unlink(missing_ok=True)
    with contextlib.closing(_connect(fresh)) as connection:
        _create(connection)
        num_chats, num_messages = salvage(file, connection)
    _sync(fresh)
    aside = _unused_name(file)
    for suffix in ("-journal", "-wal", "-shm"):
        side = file.with_name(file.name + suffix)
        if side.exists():  # it belongs to the damaged file, and would spoil the new one
            side.rename(aside.with_name(aside.name + suffix))
    os.link(file, aside)
    fresh.replace(file)
    _sync(file.parent)
    notice = (
        f"The file of the chats was damaged. {num_messages:,} messages in {num_chats:,} chats "
        f"were saved from it; the damaged file is kept as {clean_line(str(aside))}."
    )
    return _connect(file), notice


def _unused_name(file: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = file.with_name(f"chats-damaged-{stamp}.db")
    number = 1
    while aside.exists():
        number += 1
        aside = file.with_name(f"chats-damaged-{stamp}-{number}.db")
    return aside


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
