"""``chatbot chats list`` and ``search``, and by which ids the other commands find chats."""

import argparse
import sys
import time
from typing import Any, Final

import msgspec

from chatbot.errors import StoreError
from chatbot.store import LATEST, reading
from chatbot.store.database import Database
from chatbot.store.searching import search
from chatbot.store.values import ChatInfo

SHORT_ID: Final = 8
"""Characters of an id that are shown; any beginning that is clear will do."""


def list_chats(db: Database, options: argparse.Namespace) -> dict[str, Any]:
    """Print the chats, the last ones first; returns what ``--json`` says."""
    if options.deleted:
        chats = reading.list_deleted(db, options.limit)
    else:
        chats = reading.list_chats(db, options.limit, options.offset)
    if not options.json:
        for chat in chats:
            print(_line(chat))
        if not chats:
            is_part = options.offset > 0 or options.limit == 0
            print(
                "No chat is in that part of the list." if is_part else "There are no chats.",
                file=sys.stderr,
            )
    return {"chats": [_as_json(chat) for chat in chats]}


def search_chats(db: Database, options: argparse.Namespace) -> dict[str, Any]:
    """Print where words stand; returns what ``--json`` says."""
    hits = search(db, " ".join(options.words), options.limit)
    if not options.json:
        for hit in hits:
            text = "".join(_emphasised(run.text) if run.is_hit else run.text for run in hit.excerpt)
            print(f"{hit.chat.id[:SHORT_ID]}  {hit.chat.title}")
            if hit.message_id:
                print(f"    {hit.role}: {text}")
        if not hits:
            print("Nothing matches.", file=sys.stderr)
    return {
        "hits": [
            {
                "chat": _as_json(hit.chat, with_count=False),
                "message_id": hit.message_id,
                "role": hit.role,
                "created_at": hit.created_at,
                "excerpt": [{"text": run.text, "is_hit": run.is_hit} for run in hit.excerpt],
            }
            for hit in hits
        ]
    }


def find_chat(db: Database, prefix: str) -> str:
    """The id that begins so, or that of the latest chat.

    Raises:
        StoreError: there is none, or more than one.
    """
    if prefix != LATEST:
        return reading.find_chat(db, prefix)
    latest = reading.latest_chat(db)
    if latest is None:
        raise StoreError("There is no chat yet.")
    return latest


def _line(chat: ChatInfo) -> str:
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(chat.updated_at))
    pin = "*" if chat.is_pinned else " "
    title = chat.title or "(no title)"
    return f"{pin} {chat.id[:SHORT_ID]}  {day}  {chat.num_messages:>4}  {title}"


def _as_json(chat: ChatInfo, *, with_count: bool = True) -> dict[str, Any]:
    report: dict[str, Any] = msgspec.to_builtins(chat)
    if not with_count:
        del report["num_messages"]
    return report


def _emphasised(text: str) -> str:
    return f"\x1b[1m{text}\x1b[22m" if sys.stdout.isatty() else text
