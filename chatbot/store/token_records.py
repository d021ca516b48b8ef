"""What the tokens of an answer were drawn from, on the disk: written while the answer is, read
when somebody looks.
"""

import sqlite3
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from chatbot.errors import StoreError
from chatbot.store.database import Database
from chatbot.tokens import TokenRecord

MAX_BYTES: Final = 256 * 2**20
"""Longest piece that is unpacked; no answer comes near it."""

_decoder: Final = msgspec.json.Decoder(tuple[TokenRecord, ...])

_NUMBER: Final = (
    "SELECT messages.number FROM messages JOIN chats ON messages.chat = chats.number "
    "WHERE chats.id = ? AND messages.id = ?"
)


def load_tokens(db: Database, chat_id: str, message_id: str) -> tuple[TokenRecord, ...]:
    """The records of an answer from its first token on; none where none were kept.

    Raises:
        StoreError: they cannot be read.
    """
    rows = db.query(
        f"SELECT first, records FROM token_records WHERE message = ({_NUMBER}) ORDER BY first",
        (chat_id, message_id),
    )
    found: list[TokenRecord] = []
    for first, packed in rows:
        if first != len(found):
            break  # a piece is lost, and what is behind it has no place
        found += _unpack(packed)
    return tuple(found)


def put_tokens(db: Database, chat_id: str, message_id: str, records: Sequence[TokenRecord]) -> None:
    """Keep the records of a finished answer, in place of the pieces there are.

    Nothing happens where the answer itself is not kept.
    """
    with db.writing() as connection:
        number = _number(connection, chat_id, message_id)
        if number is not None:
            connection.execute("DELETE FROM token_records WHERE message = ?", (number,))
            _insert(connection, number, 0, records)


def append_tokens(
    connection: sqlite3.Connection, chat_id: str, message_id: str, records: Sequence[TokenRecord]
) -> None:
    """Add those records of an answer that are not kept yet, inside the caller's transaction.

    Args:
        connection: of the open file.
        chat_id: the chat.
        message_id: the answer, which is kept.
        records: all of them so far, from its first token on.
    """
    number = _number(connection, chat_id, message_id)
    kept = connection.execute(
        "SELECT coalesce(max(first + num_tokens), 0) FROM token_records WHERE message = ?",
        (number,),
    ).fetchone()[0]
    if number is not None:
        _insert(connection, number, kept, records[kept:])


def copy_tokens(
    db: Database, from_chat_id: str, to_chat_id: str, pairs: Sequence[tuple[str, str]]
) -> None:
    """Give the copies of answers the records of the answers.

    Args:
        db: the open file.
        from_chat_id: the chat of the answers.
        to_chat_id: the chat of their copies.
        pairs: ids of an answer, and of its copy.
    """
    with db.writing() as connection:
        for old, new in pairs:
            connection.execute(
                "INSERT OR IGNORE INTO token_records (message, first, num_tokens, records) "
                "SELECT ?, first, num_tokens, records FROM token_records "
                "WHERE message = ? ORDER BY first",
                (_number(connection, to_chat_id, new), _number(connection, from_chat_id, old)),
            )


def _number(connection: sqlite3.Connection, chat_id: str, message_id: str) -> int | None:
    found = connection.execute(_NUMBER, (chat_id, message_id)).fetchone()
    return None if found is None else int(found[0])


def _insert(
    connection: sqlite3.Connection, message: int, first: int, records: Sequence[TokenRecord]
) -> None:
    if records:
        connection.execute(
            "INSERT INTO token_records (message, first, num_tokens, records) VALUES (?, ?, ?, ?)",
            (message, first, len(records), zlib.compress(msgspec.json.encode(records))),
        )


def _unpack(packed: bytes) -> tuple[TokenRecord, ...]:
    """The records of a piece.

    Raises:
        StoreError: it is damaged.
    """
    unpacker = zlib.decompressobj()
    try:
        return _decoder.decode(unpacker.decompress(packed, MAX_BYTES))
    except (zlib.error, msgspec.DecodeError) as error:
        raise StoreError(
            "What was recorded of this answer is damaged; /regen answers once more."
        ) from error
