"""``chatbot chats rename``, ``delete``, ``restore``, ``pin`` and ``unpin``."""

import argparse
from typing import Any

from chatbot.commands.chats.finding import find_chat
from chatbot.errors import SettingError
from chatbot.store import reading, writing
from chatbot.store.database import Database
from chatbot.terminal_text import clean_line


def rename(db: Database, options: argparse.Namespace) -> dict[str, Any]:
    """Give a chat another title; returns what ``--json`` says."""
    title = clean_line(options.title)
    if not title:
        raise SettingError("A title must not be empty.")
    chat_id = find_chat(db, options.id)
    writing.rename_chat(db, chat_id, title)
    return _done(options, "renamed", [chat_id])


def delete(db: Database, options: argparse.Namespace) -> dict[str, Any]:
    """Delete chats, to be restored; returns what ``--json`` says."""
    ids = [find_chat(db, chat_id) for chat_id in options.ids]
    for chat_id in ids:
        writing.delete_chat(db, chat_id)
    return _done(options, "deleted", ids)


def restore(db: Database, options: argparse.Namespace) -> dict[str, Any]:
    """Bring deleted chats back; returns what ``--json`` says."""
    ids = [reading.find_chat(db, chat_id, is_deleted=True) for chat_id in options.ids]
    for chat_id in ids:
        writing.restore_chat(db, chat_id)
    return _done(options, "restored", ids)


def pin(db: Database, options: argparse.Namespace) -> dict[str, Any]:
    """Keep chats on top, or no longer; returns what ``--json`` says."""
    ids = [find_chat(db, chat_id) for chat_id in options.ids]
    for chat_id in ids:
        writing.pin_chat(db, chat_id, options.verb == "pin")
    return _done(options, f"{options.verb}ned", ids)


def _done(options: argparse.Namespace, what: str, ids: list[str]) -> dict[str, Any]:
    if not options.json:
        for chat_id in ids:
            print(f"{what} {chat_id}")
    return {what: ids}
