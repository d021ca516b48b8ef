"""The open file of the chats, as the functions of this package use it.

All of it belongs to one thread. What dead programs left behind is dealt with here.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chatbot.errors import StoreError
from chatbot.messages import Making, Message, Part, TextPart
from chatbot.store.cleaning import cleaned, decoded, safe_role, safe_time
from chatbot.store.failures import explained
from chatbot.store.opening import FILE_NAME, open_file
from chatbot.store.schema import MIGRATIONS, VERSION

KEEP_DELETED_SECONDS: Final = 30 * 24 * 3600.0
"""How long what was deleted can be brought back."""

_parts_decoder: Final = msgspec.json.Decoder(tuple[Part, ...])
_making_decoder: Final = msgspec.json.Decoder(Making)
_encode: Final = msgspec.json.Encoder().encode

MESSAGE_COLUMNS: Final = "id, role, created_at, text, parts, making"
"""What ``message_of`` reads."""


class Database:
    """The connection, and this program's id among those that share the file."""

    def __init__(
        self, folder: Path, migrations: Mapping[int, str] = MIGRATIONS, version: int = VERSION
    ) -> None:
        """Open the chats in ``folder``; see ``open_file``.

        Raises:
            StoreError: they cannot be opened.
        """
        self.file = folder / FILE_NAME
        with explained(self.file):
            opened = open_file(folder, migrations, version)
            self.connection = opened.connection
            self._instance = opened.instance
            self.notices = opened.notices
            """Sentences for the user about what opening had to do."""
            try:
                self.tidy()
                self._name_safely()
                self._purge(time.time() - KEEP_DELETED_SECONDS)
            except BaseException:
                self.close()
                raise

    @property
    def owner(self) -> str:
        """This program, as the one that writes an answer or imports a chat."""
        return self._instance.id

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()
        self._instance.leave()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all that is written inside is kept, or nothing of it.

        Inside another one it is a part of that.

        Raises:
            StoreError: it could not be kept.
        """
        with explained(self.file):
            if self.connection.in_transaction:
                yield self.connection
                return
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def query(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a SELECT.

        Raises:
            StoreError: the file cannot be read.
        """
        with explained(self.file):
            return self.connection.execute(sql, values).fetchall()

    def chat_number(self, chat_id: str) -> int:
        """The row number of a chat.

        Raises:
            StoreError: there is no such chat.
        """
        found = self.query("SELECT number FROM chats WHERE id = ? AND importer IS NULL", (chat_id,))
        if not found:
            raise StoreError(f"There is no chat {chat_id[:40]}.")
        return int(found[0][0])

    def tidy(self) -> None:
        """Finish for programs that died: their answers are marked, their imports taken back."""
        owners = self.query("SELECT DISTINCT owner FROM messages WHERE owner IS NOT NULL")
        importers = self.query("SELECT DISTINCT importer FROM chats WHERE importer IS NOT NULL")
        known = {row[0] for row in (*owners, *importers)} - {self.owner}
        if not known:
            return
        for dead in known - self._instance.others():
            with self.writing() as connection:
                # Until an answer is finished its row says "interrupted", so only this is left.
                connection.execute("UPDATE messages SET owner = NULL WHERE owner = ?", (dead,))
            self.drop_import(dead)

    def _name_safely(self) -> None:
        """Give what has an id that cannot be typed or shown one of the same bytes, written out."""
        for table, column in (("chats", "id"), ("chats", "active_leaf"), ("messages", "id")):
            where = f"WHERE {column} GLOB '*[^A-Za-z0-9_-]*'"
            if self.query(f"SELECT 1 FROM {table} {where} LIMIT 1"):
                with self.writing() as connection:
                    connection.execute(
                        f"UPDATE {table} SET {column} = lower(hex({column})) {where}"
                    )

    def drop_import(self, importer: str) -> None:
        """Take back the chats of an import that did not come to its end."""
        while True:
            found = self.query("SELECT number FROM chats WHERE importer = ? LIMIT 50", (importer,))
            if not found:
                return
            with self.writing() as connection:
                connection.executemany("DELETE FROM chats WHERE number = ?", found)

    def _purge(self, before: float) -> None:
        """Remove for good what was deleted before that time."""
        chats = self.query("SELECT number FROM chats WHERE deleted_at < ?", (before,))
        # A message that something undeleted hangs on stays, however far above it.
        messages = self.query(
            "WITH RECURSIVE old (number, parent) AS MATERIALIZED ("
            "  SELECT number, parent FROM messages WHERE deletion IS NOT NULL AND deleted_at < ?1),"
            "kept (number, parent) AS ("
            "  SELECT number, parent FROM old WHERE EXISTS ("
            "    SELECT 1 FROM messages AS child WHERE child.parent = old.number"
            "    AND (child.deleted_at IS NULL OR child.deleted_at >= ?1))"
            "  UNION SELECT above.number, above.parent FROM kept"
            "    JOIN messages AS above ON above.number = kept.parent WHERE above.deleted_at < ?1)"
            "SELECT number FROM old WHERE number NOT IN (SELECT number FROM kept)",
            (before,),
        )
        # Each by itself, so that what one of them cannot remove stops nothing but it.
        for table, rows in (("messages", messages), ("chats", chats)):
            if not rows:
                continue
            with contextlib.suppress(StoreError), self.writing() as connection:
                connection.executemany(f"DELETE FROM {table} WHERE number = ?", rows)


def message_of(row: tuple[Any, ...], parent_id: str | None) -> Message:
    """The message of a row of ``MESSAGE_COLUMNS``, cleaned; its text where its parts are broken."""
    message_id, role, created_at, text, parts, making = row
    return Message(
        id=message_id,
        parent_id=parent_id,
        role=safe_role(role),
        created_at=safe_time(created_at),
        parts=(parts and decoded(parts, _parts_decoder)) or (TextPart(cleaned(text)),),
        making=decoded(making, _making_decoder) if making is not None else None,
    )


def content_of(message: Message) -> tuple[str, bytes | None, bytes | None]:
    """``text``, ``parts`` and ``making`` of the row of a message."""
    text = message.text
    parts = None if message.parts == (TextPart(text),) else _encode(message.parts)
    return text, parts, None if message.making is None else _encode(message.making)
