"""Reads whatever can still be read of a damaged file of chats.

First by queries, which jump over the rows whose pages are broken; then out of the pages
themselves, for the rows that no query gets to. Knows the tables of the present version alone.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from chatbot.store.raw_pages import Value, raw_rows

_MAX_JUMPS: Final = 2_000
"""Unreadable places after which queries are given up: the pages themselves come next."""

_MAX_STEP: Final = 64
"""Row numbers to pass over at most, while nothing can be read."""

_CHATS: Final = (
    "number, id, title, is_title_given, created_at, updated_at, active_leaf, is_pinned, "
    "deleted_at, importer"
)
_MESSAGES: Final = (
    "number, chat, id, parent, role, created_at, text, parts, making, owner, is_pinned, "
    "deletion, deleted_at"
)
_RECORDS: Final = "number, message, first, num_tokens, records"
_RATINGS: Final = "message, rating, rated_at"
_NUM_CHAT_COLUMNS: Final = 10
_NUM_MESSAGE_COLUMNS: Final = 13

Row = tuple[Any, ...]


def salvage(damaged: Path, new: sqlite3.Connection) -> tuple[int, int]:
    """Copy what can be read into the new, empty file, in one transaction.

    Returns:
        How many chats and messages that are.
    """
    chats, messages = _read(damaged)
    new.execute("BEGIN IMMEDIATE")
    # The import of the others never came to its end.
    importing = {number for number, row in chats.items() if row[9] is not None}
    known = {
        number
        for number, row in chats.items()
        if number not in importing and _insert(new, "chats", _CHATS, row)
    }
    kept: set[int] = set()
    for number, row in sorted(messages.items()):
        chat, parent = row[1], row[3]
        if chat in importing or (chat not in known and not _make_chat(new, chat, row[5])):
            continue
        known.add(chat)
        above = parent if parent in kept else None  # its parent is lost
        if _insert(new, "messages", _MESSAGES, (*row[:3], above, *row[4:9], None, *row[10:])):
            kept.add(number)
    # A branch whose end is lost is shown as far as it goes.
    new.execute(
        "UPDATE chats SET active_leaf = (SELECT id FROM messages WHERE chat = chats.number "
        "AND deletion IS NULL ORDER BY messages.number DESC LIMIT 1) "
        "WHERE active_leaf IS NULL OR active_leaf NOT IN "
        "(SELECT id FROM messages WHERE chat = chats.number)"
    )
    _salvage_beside(damaged, new, kept)
    new.execute("COMMIT")
    return len(known), len(kept)


def _read(damaged: Path) -> tuple[dict[int, Row], dict[int, Row]]:
    chats: dict[int, Row] = {}
    messages: dict[int, Row] = {}
    # What the pages say may be outdated, and is overridden by what queries find.
    for number, values in raw_rows(damaged):
        if _is_chat(values):
            chats[number] = (number, *values[1:])
        elif _is_message(values):
            messages[number] = (number, *values[1:])
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as old:
        old.text_factory = lambda raw: raw.decode("utf-8", "replace")
        for found, table, columns in ((chats, "chats", _CHATS), (messages, "messages", _MESSAGES)):
            found.update((row[0], row) for row in _rows(old, table, columns))
    return chats, messages


def _salvage_beside(damaged: Path, new: sqlite3.Connection, kept: set[int]) -> None:
    """Copy what queries can read of the tables that belong to messages which are kept."""
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as old:
        for table, columns in (("token_records", _RECORDS), ("ratings", _RATINGS)):
            for row in _rows(old, table, columns):
                message = row[1] if table == "token_records" else row[0]
                if message in kept:
                    _insert(new, table, columns, row)


def _is_chat(values: list[Value]) -> bool:
    return (
        len(values) == _NUM_CHAT_COLUMNS
        and values[0] is None
        and all(isinstance(values[index], str) for index in (1, 2))
        and all(isinstance(values[index], int | float) for index in (4, 5))
    )


def _is_message(values: list[Value]) -> bool:
    return (
        len(values) == _NUM_MESSAGE_COLUMNS
        and values[0] is None
        and isinstance(values[1], int)
        and isinstance(values[2], str)
        and values[4] in ("system", "user", "assistant")
        and isinstance(values[6], str)
    )


def _make_chat(new: sqlite3.Connection, number: int, created_at: float) -> bool:
    """A chat for messages whose own is lost."""
    row = (number, f"recovered-{number}", "Recovered chat", 1, created_at, created_at)
    return _insert(new, "chats", _CHATS, (*row, None, 0, None, None))


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
    key = columns.partition(",")[0]
    query = f"SELECT {columns} FROM {table} NOT INDEXED WHERE {key} >= ? ORDER BY {key}"
    at, step = 0, 1
    for _ in range(_MAX_JUMPS):
        try:
            for row in old.execute(query, (at,)):
                yield row
                at, step = row[0] + 1, 1
            return
        except sqlite3.Error as error:
            at, step = at + step, min(step * 2, _MAX_STEP)
            if "no such" in str(error) or "not a database" in str(error):
                return
