"""What reads stored chats."""

from typing import Any, Final

from chatbot.errors import StoreError
from chatbot.messages import Message
from chatbot.store.cleaning import safe_time
from chatbot.store.database import MESSAGE_COLUMNS, Database, message_of
from chatbot.store.values import ChatInfo, Deletion, Rating, StoredChat
from chatbot.terminal_text import clean_line

INFO_COLUMNS: Final = (
    "chats.id, chats.title, is_title_given, chats.created_at, updated_at, chats.is_pinned"
)
"""What ``info_of`` reads; the number of messages may follow."""

SHOWN: Final = "chats.deleted_at IS NULL AND chats.importer IS NULL"
"""Which chats there are, as far as the user is concerned."""

_COUNT: Final = (
    "(SELECT count(*) FROM messages WHERE messages.chat = chats.number AND deletion IS NULL)"
)


def list_chats(db: Database, limit: int = 50, offset: int = 0) -> list[ChatInfo]:
    """The chats, pinned ones on top, then by their last message."""
    rows = db.query(
        f"SELECT {INFO_COLUMNS}, {_COUNT} FROM chats WHERE {SHOWN} "
        "ORDER BY is_pinned DESC, updated_at DESC, number DESC LIMIT ? OFFSET ?",
        (limit, offset),
    )
    return [info_of(row) for row in rows]


def list_deleted(db: Database, limit: int = 50) -> list[ChatInfo]:
    """The chats that were deleted and can be brought back, the last one first."""
    rows = db.query(
        f"SELECT {INFO_COLUMNS}, {_COUNT} FROM chats WHERE deleted_at IS NOT NULL "
        "AND importer IS NULL ORDER BY deleted_at DESC LIMIT ?",
        (limit,),
    )
    return [info_of(row) for row in rows]


def latest_chat(db: Database) -> str | None:
    """Id of the chat with the last message; None when there is no chat."""
    rows = db.query(
        f"SELECT id FROM chats WHERE {SHOWN} ORDER BY updated_at DESC, number DESC LIMIT 1"
    )
    return rows[0][0] if rows else None


def find_chat(db: Database, prefix: str, *, is_deleted: bool = False) -> str:
    """The id that begins with ``prefix``.

    Raises:
        StoreError: no id does, or several do.
    """
    among = "deleted_at IS NOT NULL AND importer IS NULL" if is_deleted else SHOWN
    shown = clean_line(prefix, 40)
    # Compared as a range, which the index serves, and in which % and _ mean themselves.
    rows = db.query(
        f"SELECT id FROM chats WHERE id >= ? AND id < ? AND {among} LIMIT 3",
        (prefix, prefix + "\U0010ffff"),
    )
    exact = [row for row in rows if row[0] == prefix]
    if exact:
        return prefix
    if not rows or not prefix:
        raise StoreError(f"There is no chat {shown!r}; `chatbot chats list` shows those there are.")
    if len(rows) > 1:
        raise StoreError(f"Several chats begin with {shown!r}; give more of the id.")
    return str(rows[0][0])


def load_chat(db: Database, chat_id: str) -> StoredChat:
    """A whole chat, deleted or not.

    Raises:
        StoreError: there is no such chat.
    """
    db.tidy()
    return load_numbered(db, db.chat_number(chat_id))


def load_numbered(db: Database, number: int) -> StoredChat:
    """The chat of a row number, also one that is still being imported."""
    rows = db.query(
        f"SELECT number, parent, is_pinned, deletion, owner, {MESSAGE_COLUMNS} "
        "FROM messages WHERE chat = ? ORDER BY number",
        (number,),
    )
    ids: dict[int | None, str | None] = {None: None}
    messages: list[Message] = []
    pinned: list[str] = []
    deletions: dict[str, list[str]] = {}
    written_elsewhere: list[str] = []
    for row_number, parent, is_pinned, deletion, owner, *rest in rows:
        message = message_of(tuple(rest), ids[parent])
        ids[row_number] = message.id
        messages.append(message)
        if is_pinned:
            pinned.append(message.id)
        if deletion is not None:
            deletions.setdefault(deletion, []).append(message.id)
        if owner is not None and owner != db.owner and deletion is None:
            written_elsewhere.append(message.id)
    gone = {message_id for group in deletions.values() for message_id in group}
    return StoredChat(
        info=_info(db, number),
        messages=tuple(messages),
        active_leaf=_leaf(db, number, messages, gone),
        pinned=tuple(pinned),
        deletions=tuple(Deletion(key, tuple(group)) for key, group in deletions.items()),
        written_elsewhere=tuple(written_elsewhere),
        ratings=_ratings(db, number),
    )


def _ratings(db: Database, number: int) -> dict[str, Rating]:
    rows = db.query(
        "SELECT messages.id, rating FROM ratings JOIN messages ON messages.number = "
        "ratings.message WHERE messages.chat = ?",
        (number,),
    )
    return {message_id: 1 if rating > 0 else -1 for message_id, rating in rows}


def info_of(row: tuple[Any, ...]) -> ChatInfo:
    """The chat of a row of ``INFO_COLUMNS``."""
    chat_id, title, is_title_given, created_at, updated_at, is_pinned, *count = row
    return ChatInfo(
        id=chat_id,
        title=clean_line(title),
        is_title_given=bool(is_title_given),
        created_at=safe_time(created_at),
        updated_at=safe_time(updated_at),
        is_pinned=bool(is_pinned),
        num_messages=count[0] if count else 0,
    )


def _info(db: Database, number: int) -> ChatInfo:
    columns = f"SELECT {INFO_COLUMNS}, {_COUNT} FROM chats WHERE number = ?"
    return info_of(db.query(columns, (number,))[0])


def _leaf(db: Database, number: int, messages: list[Message], gone: set[str]) -> str | None:
    """The leaf of the shown branch; where another program deleted it, the last one above."""
    leaf: str | None = db.query("SELECT active_leaf FROM chats WHERE number = ?", (number,))[0][0]
    parents = {message.id: message.parent_id for message in messages}
    while leaf is not None and (leaf in gone or leaf not in parents):
        leaf = parents.get(leaf)
    return leaf
