"""Reads whatever can still be read of a damaged file of chats.

Goes through the tables by row number and jumps over the rows whose pages are broken. Knows
the tables of the present version alone.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_MAX_JUMPS: Final = 20_000
"""Unreadable places after which a table is given up: each costs a search through the tree."""

_MAX_STEP: Final = 64
"""Row numbers to pass over at most, while nothing can be read."""

_CHAT: Final = "number, id, title, is_title_given, created_at, updated_at, active_leaf, is_pinned"
_MESSAGE: Final = (
    "number, chat, id, parent, role, created_at, text, parts, making, is_pinned, deletion, "
    "deleted_at"
)

Row = tuple[Any, ...]


def salvage(damaged: Path, new: sqlite3.Connection) -> tuple[int, int]:
    """Copy what can be read into the new, empty file, in one transaction.

    Returns:
        How many chats and messages that are.
    """
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as old:
        old.text_factory = lambda raw: raw.decode("utf-8", "replace")
        chats = {row[0]: row for row in _rows(old, "chats", f"{_CHAT}, deleted_at, importer")}
        new.execute("BEGIN IMMEDIATE")
        for row in chats.values():
            if row[-1] is None:  # the import of the others never came to its end
                _insert(new, "chats", f"{_CHAT}, deleted_at", row[:-1])
        kept: set[int] = set()
        for row in _rows(old, "messages", _MESSAGE):
            number, chat, parent = row[0], row[1], row[3]
            if chat in chats and chats[chat][-1] is not None:
                continue
            if chat not in chats:
                made = (chat, f"recovered-{chat}", "Recovered chat", 1, row[5], row[5], None, 0)
                if not _insert(new, "chats", _CHAT, made):
                    continue
                chats[chat] = (*made, None, None)
            if parent not in kept:
                row = (*row[:3], None, *row[4:])
            if _insert(new, "messages", _MESSAGE, row):
                kept.add(number)
        num_chats = int(new.execute("SELECT count(*) FROM chats").fetchone()[0])
        # A branch whose end is lost is shown as far as it goes.
        new.execute(
            "UPDATE chats SET active_leaf = (SELECT id FROM messages WHERE chat = chats.number "
            "AND deletion IS NULL ORDER BY messages.number DESC LIMIT 1) "
            "WHERE active_leaf IS NULL OR active_leaf NOT IN "
            "(SELECT id FROM messages WHERE chat = chats.number)"
        )
        new.execute("COMMIT")
    return num_chats, len(kept)


def _insert(new: sqlite3.Connection, table: str, columns: str, row: Row) -> bool:
    """Whether a row could be inserted; one with nonsense in it cannot."""
    marks = ", ".join("?" * len(row))
    try:
        new.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", row)
    except (sqlite3.IntegrityError, sqlite3.InterfaceError):
        return False
    return True


def _rows(old: sqlite3.Connection, table: str, columns: str) -> Iterator[Row]:
    """The rows that can be read, by rising number."""
    query = f"SELECT {columns} FROM {table} NOT INDEXED WHERE number >= ? ORDER BY number"
    try:
        found = old.execute(f"SELECT max(number) FROM {table} NOT INDEXED").fetchone()[0]
        last = int(found or 0)
    except (sqlite3.Error, ValueError, TypeError):
        last = 1_000_000_000
    at, step = 0, 1
    for _ in range(_MAX_JUMPS):
        try:
            for row in old.execute(query, (at,)):
                yield row
                at, step = row[0] + 1, 1
            return
        except sqlite3.Error as error:
            at, step = at + step, min(step * 2, _MAX_STEP)
            if at > last or "no such" in str(error) or "not a database" in str(error):
                return
