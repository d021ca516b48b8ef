"""What changes a stored chat. Each function is one transaction."""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence

from chatbot.messages import Message
from chatbot.store.database import Database, content_of
from chatbot.store.token_records import append_tokens
from chatbot.store.values import ChatInfo, StoredChat
from chatbot.tokens import TokenRecord


def put_message(
    db: Database,
    chat: ChatInfo,
    message: Message,
    *,
    is_being_written: bool = False,
    shows: bool = True,
    records: Sequence[TokenRecord] = (),
) -> None:
    """Keep a message, or what has become of it since; makes the chat with its first message.

    Args:
        db: the open file.
        chat: used when the chat is not there yet.
        message: its parent is kept already. One that is being written says ``interrupted``
            as its finish reason, which becomes true when this program dies.
        is_being_written: this program goes on writing it.
        shows: the message becomes the end of the branch that is shown.
        records: what its tokens were drawn from, as far as they are known; all of them.
    """
    with db.writing() as connection:
        number = _make_chat(connection, chat)
        _put(connection, number, message, db.owner if is_being_written else None)
        if records:
            append_tokens(connection, chat.id, message.id, records)
        connection.execute(
            "UPDATE chats SET updated_at = ?, deleted_at = NULL WHERE number = ?",
            (time.time(), number),
        )
        if shows:
            connection.execute(
                "UPDATE chats SET active_leaf = ? WHERE number = ?", (message.id, number)
            )


def save_chat(db: Database, chat: StoredChat) -> None:
    """Bring a whole chat to the state it has in memory; messages only there are kept."""
    with db.writing() as connection:
        number = _make_chat(connection, chat.info)
        for message in chat.messages:
            _put(connection, number, message, None)
        describe(connection, number, chat.info)
        connection.execute(
            "UPDATE chats SET active_leaf = ?, updated_at = max(updated_at, ?) WHERE number = ?",
            (chat.active_leaf, chat.info.updated_at or time.time(), number),
        )
        connection.execute(
            "UPDATE messages SET is_pinned = 0, deletion = NULL, deleted_at = NULL "
            "WHERE chat = ? AND (is_pinned OR deletion IS NOT NULL)",
            (number,),
        )
        _set_pinned(connection, number, chat.pinned, True)
        _set_ratings(connection, number, chat.ratings)
        for deletion in chat.deletions:
            _mark_deleted(connection, number, deletion.message_ids, deletion.id)


def insert_chat(
    connection: sqlite3.Connection, chat: StoredChat, importer: str | None = None
) -> None:
    """Write a chat that is not there yet, inside the caller's transaction."""
    info = chat.info
    number = int(
        connection.execute(
            "INSERT INTO chats (id, title, is_title_given, created_at, updated_at, active_leaf, "
            "is_pinned, importer) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
            (
                info.id,
                info.title,
                info.is_title_given,
                info.created_at,
                info.updated_at or info.created_at,
                chat.active_leaf,
                info.is_pinned,
                importer,
            ),
        ).fetchone()[0]
    )
    numbers: dict[str | None, int | None] = {None: None}
    for message in chat.messages:
        cursor = connection.execute(
            "INSERT INTO messages (chat, id, parent, role, created_at, text, parts, making) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                message.id,
                numbers[message.parent_id],
                message.role,
                message.created_at,
                *content_of(message),
            ),
        )
        numbers[message.id] = cursor.lastrowid
    _set_pinned(connection, number, chat.pinned, True)
    _set_ratings(connection, number, chat.ratings)


def show_branch(db: Database, chat_id: str, leaf_id: str | None) -> None:
    """Note which branch is shown; nothing happens while the chat has no message."""
    with db.writing() as connection:
        connection.execute("UPDATE chats SET active_leaf = ? WHERE id = ?", (leaf_id, chat_id))


def describe_chat(db: Database, chat: ChatInfo) -> None:
    """Keep title and pin of a chat; nothing happens while it has no message."""
    with db.writing() as connection:
        found = connection.execute("SELECT number FROM chats WHERE id = ?", (chat.id,)).fetchone()
        if found:
            describe(connection, found[0], chat)


def rename_chat(db: Database, chat_id: str, title: str) -> None:
    """Give a chat a title that is the user's.

    Raises:
        StoreError: there is no such chat.
    """
    number = db.chat_number(chat_id)
    with db.writing() as connection:
        connection.execute(
            "UPDATE chats SET title = ?, is_title_given = 1 WHERE number = ?", (title, number)
        )


def pin_chat(db: Database, chat_id: str, is_pinned: bool) -> None:
    """Keep a chat on top of the list, or no longer.

    Raises:
        StoreError: there is no such chat.
    """
    number = db.chat_number(chat_id)
    with db.writing() as connection:
        connection.execute("UPDATE chats SET is_pinned = ? WHERE number = ?", (is_pinned, number))


def pin_message(db: Database, chat_id: str, message_id: str, is_pinned: bool) -> None:
    """Mark a message as one that must stay in the context window, or no longer."""
    number = db.chat_number(chat_id)
    with db.writing() as connection:
        _set_pinned(connection, number, (message_id,), is_pinned)


def rate_message(db: Database, chat_id: str, message_id: str, rating: int) -> None:
    """Keep what the user thinks of an answer: 1 for good, -1 for bad, 0 for nothing."""
    number = db.chat_number(chat_id)
    with db.writing() as connection:
        connection.execute(
            "DELETE FROM ratings WHERE message = "
            "(SELECT number FROM messages WHERE chat = ? AND id = ?)",
            (number, message_id),
        )
        if rating:
            _set_ratings(connection, number, {message_id: rating})


def delete_chat(db: Database, chat_id: str) -> None:
    """Take a chat away; ``restore_chat`` brings it back.

    Raises:
        StoreError: there is no such chat.
    """
    number = db.chat_number(chat_id)
    with db.writing() as connection:
        connection.execute(
            "UPDATE chats SET deleted_at = ? WHERE number = ? AND deleted_at IS NULL",
            (time.time(), number),
        )


def restore_chat(db: Database, chat_id: str) -> None:
    """Bring back a chat that was deleted.

    Raises:
        StoreError: there is no such chat.
    """
    number = db.chat_number(chat_id)
    with db.writing() as connection:
        connection.execute("UPDATE chats SET deleted_at = NULL WHERE number = ?", (number,))


def delete_branch(db: Database, chat_id: str, message_id: str, deletion_id: str) -> None:
    """Take away a message and everything below it; ``restore_branch`` brings it back.

    Raises:
        StoreError: there is no such chat.
    """
    number = db.chat_number(chat_id)
    with db.writing() as connection:
        connection.execute(
            "WITH RECURSIVE branch (number) AS ("
            "  SELECT number FROM messages WHERE chat = ? AND id = ?"
            "  UNION SELECT messages.number FROM messages JOIN branch"
            "    ON messages.parent = branch.number)"
            "UPDATE messages SET deletion = ?, deleted_at = ?"
            "  WHERE number IN branch AND deletion IS NULL",
            (number, message_id, deletion_id, time.time()),
        )


def restore_branch(db: Database, deletion_id: str) -> None:
    """Bring back what one deletion took away."""
    with db.writing() as connection:
        connection.execute(
            "UPDATE messages SET deletion = NULL, deleted_at = NULL WHERE deletion = ?",
            (deletion_id,),
        )


def describe(connection: sqlite3.Connection, number: int, chat: ChatInfo) -> None:
    """Write title and pin, inside the caller's transaction."""
    connection.execute(
        "UPDATE chats SET title = ?, is_title_given = ?, is_pinned = ? WHERE number = ?",
        (chat.title, chat.is_title_given, chat.is_pinned, number),
    )


def _make_chat(connection: sqlite3.Connection, chat: ChatInfo) -> int:
    found = connection.execute("SELECT number FROM chats WHERE id = ?", (chat.id,)).fetchone()
    if found is None:
        found = connection.execute(
            "INSERT INTO chats (id, title, is_title_given, created_at, updated_at, is_pinned) "
            "VALUES (?, ?, ?, ?, ?, ?) RETURNING number",
            (
                chat.id,
                chat.title,
                chat.is_title_given,
                chat.created_at,
                chat.updated_at or chat.created_at,
                chat.is_pinned,
            ),
        ).fetchone()
    return int(found[0])


def _put(connection: sqlite3.Connection, chat: int, message: Message, owner: str | None) -> None:
    parent: int | None = None
    if message.parent_id is not None:
        found = connection.execute(
            "SELECT number, deletion FROM messages WHERE chat = ? AND id = ?",
            (chat, message.parent_id),
        ).fetchone()
        if found is None:
            raise sqlite3.IntegrityError("the message before it is not kept")
        parent = found[0]
        if found[1] is not None:  # another program deleted what this one is going on with
            _revive(connection, found[0])
    connection.execute(
        "INSERT INTO messages (chat, id, parent, role, created_at, text, parts, making, owner) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (chat, id) DO UPDATE SET "
        "text = excluded.text, parts = excluded.parts, making = excluded.making, "
        "owner = excluded.owner",
        (
            chat,
            message.id,
            parent,
            message.role,
            message.created_at,
            *content_of(message),
            owner,
        ),
    )


def _revive(connection: sqlite3.Connection, number: int) -> None:
    """Bring back a message and those above it."""
    connection.execute(
        "WITH RECURSIVE above (number, parent) AS ("
        "  SELECT number, parent FROM messages WHERE number = ?"
        "  UNION SELECT messages.number, messages.parent FROM messages JOIN above"
        "    ON messages.number = above.parent)"
        "UPDATE messages SET deletion = NULL, deleted_at = NULL"
        "  WHERE number IN (SELECT number FROM above) AND deletion IS NOT NULL",
        (number,),
    )


def _set_pinned(
    connection: sqlite3.Connection, chat: int, message_ids: Iterable[str], is_pinned: bool
) -> None:
    connection.executemany(
        "UPDATE messages SET is_pinned = ? WHERE chat = ? AND id = ?",
        [(is_pinned, chat, message_id) for message_id in message_ids],
    )


def _set_ratings(connection: sqlite3.Connection, chat: int, ratings: Mapping[str, int]) -> None:
    connection.executemany(
        "INSERT INTO ratings (message, rating, rated_at) "
        "SELECT number, ?, ? FROM messages WHERE chat = ? AND id = ? "
        "ON CONFLICT (message) DO UPDATE SET rating = excluded.rating",
        [(rating, time.time(), chat, message_id) for message_id, rating in ratings.items()],
    )


def _mark_deleted(
    connection: sqlite3.Connection, chat: int, message_ids: Iterable[str], deletion_id: str
) -> None:
    connection.executemany(
        "UPDATE messages SET deletion = ?, deleted_at = ? WHERE chat = ? AND id = ?",
        [(deletion_id, time.time(), chat, message_id) for message_id in message_ids],
    )
