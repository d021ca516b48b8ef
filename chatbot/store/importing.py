"""Taking in chats from elsewhere: all of them or none, however many they are.

The chats are written in small transactions, so that other programs need not wait, and are
shown by one last transaction. Until then they belong to the importing program: when it dies
they are taken back. Nothing that is here is overwritten.
"""

import hashlib
import uuid
from collections.abc import Iterable
from typing import Final

import msgspec

from chatbot.errors import FormatError, StoreError
from chatbot.messages import Message, Part, TextPart, ToolCallPart
from chatbot.store.database import Database, content_of
from chatbot.store.reading import load_numbered
from chatbot.store.values import BrokenChat, ImportReport, StoredChat
from chatbot.store.writing import insert_chat

_BATCH_MESSAGES: Final = 2_000
_BATCH_CHARACTERS: Final = 4_000_000

_NAMESPACE: Final = uuid.UUID("6f1a3c52-4b7e-4c0a-9d56-0f5f1f0f7c11")


def import_chats(
    db: Database, chats: Iterable[StoredChat | BrokenChat], *, skip_broken: bool = False
) -> ImportReport:
    """Take in all the chats.

    Args:
        db: the open file.
        chats: valid and cleaned; may be read from a file while they are taken in.
        skip_broken: leave out the chats that are broken, and report them.

    Raises:
        FormatError: one of them is broken; nothing was imported.
        StoreError: they cannot be kept, or another import is running; nothing was imported.
    """
    _require_no_other(db)
    importing = _Importing(db)
    broken: list[str] = []
    try:
        for chat in chats:
            if isinstance(chat, StoredChat):
                importing.add(chat)
            elif skip_broken:
                broken.append(chat.reason)
            else:
                raise FormatError(f"{chat.reason} Nothing was imported.")
        return importing.finish(tuple(broken))
    except BaseException:
        db.drop_import(db.owner)
        raise


class _Importing:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._batch: list[StoredChat] = []
        self._batch_ids: set[str] = set()
        self._size = 0
        self._added: list[str] = []
        self._revived: list[tuple[str]] = []
        self._num_skipped = 0
        self._num_renamed = 0
        self._num_messages = 0

    def add(self, chat: StoredChat) -> None:
        is_renamed = False
        if chat.info.id in self._batch_ids:
            self._write()
        number = self._number(chat.info.id)
        if number is not None and not _holds(load_numbered(self._db, number), chat):
            renamed = msgspec.structs.replace(chat.info, id=_other_id(chat))
            chat = msgspec.structs.replace(chat, info=renamed)
            is_renamed = True
            if chat.info.id in self._batch_ids:
                self._write()
            number = self._number(chat.info.id)
        if number is not None:
            self._skip_or_revive(chat, number)
            return
        self._num_renamed += is_renamed
        self._note(chat)
        self._batch.append(chat)
        self._batch_ids.add(chat.info.id)
        self._size += sum(len(message.text) for message in chat.messages)
        num_messages = sum(len(waiting.messages) for waiting in self._batch)
        if num_messages >= _BATCH_MESSAGES or self._size >= _BATCH_CHARACTERS:
            self._write()

    def finish(self, broken: tuple[str, ...]) -> ImportReport:
        self._write()
        with self._db.writing() as connection:
            connection.execute(
                "UPDATE chats SET importer = NULL WHERE importer = ?", (self._db.owner,)
            )
            connection.executemany("UPDATE chats SET deleted_at = NULL WHERE id = ?", self._revived)
        return ImportReport(
            num_added=len(self._added),
            num_skipped=self._num_skipped,
            num_renamed=self._num_renamed,
            num_messages=self._num_messages,
            added=tuple(self._added),
            broken=broken,
        )

    def _note(self, chat: StoredChat) -> None:
        self._added.append(chat.info.id)
        self._num_messages += len(chat.messages)

    def _skip_or_revive(self, chat: StoredChat, number: int) -> None:
        is_deleted = self._db.query("SELECT deleted_at FROM chats WHERE number = ?", (number,))
        if is_deleted[0][0] is None or (chat.info.id,) in self._revived:
            self._num_skipped += 1
            return
        self._revived.append((chat.info.id,))
        self._note(chat)

    def _number(self, chat_id: str) -> int | None:
        found = self._db.query("SELECT number FROM chats WHERE id = ?", (chat_id,))
        return int(found[0][0]) if found else None

    def _write(self) -> None:
        with self._db.writing() as connection:
            for chat in self._batch:
                insert_chat(connection, chat, importer=self._db.owner)
        self._batch.clear()
        self._batch_ids.clear()
        self._size = 0


def _require_no_other(db: Database) -> None:
    db.tidy()
    if db.query("SELECT 1 FROM chats WHERE importer IS NOT NULL LIMIT 1"):
        raise StoreError("Another import is running; wait until it is done.")


def _holds(here: StoredChat, chat: StoredChat) -> bool:
    """Whether everything of ``chat`` is here; it may have been gone on with since."""
    kept = {message.id: message for message in here.messages}
    for message in chat.messages:
        other = kept.get(message.id)
        if other is None or (message.role, message.parent_id) != (other.role, other.parent_id):
            return False
        if content_of(_bare(message)) != content_of(_bare(other)):
            return False
    return True


def _bare(message: Message) -> Message:
    """A message without what changes by way of a file: what a model wrote to call a tool is not
    taken from one, and all texts in it are marked as those of others.
    """

    def bare(part: Part) -> Part:
        match part:
            case ToolCallPart():
                return msgspec.structs.replace(part, raw="")
            case TextPart(text=text):
                return TextPart(text)
        return part

    return msgspec.structs.replace(message, parts=tuple(map(bare, message.parts)))


def _other_id(chat: StoredChat) -> str:
    """An id that the same content gets again at the next import."""
    content = hashlib.sha256(chat.info.id.encode())
    for message in chat.messages:
        content.update(msgspec.json.encode((message.id, message.role, message.parent_id)))
        content.update(msgspec.json.encode(content_of(_bare(message))))
    return uuid.uuid5(_NAMESPACE, content.hexdigest()).hex
