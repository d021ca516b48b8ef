"""``chatbot chats export`` and ``import``."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from chatbot.commands.chats.finding import find_chat
from chatbot.conversation.formats.files import expanded, write_new
from chatbot.conversation.formats.markdown import to_markdown
from chatbot.conversation.formats.openai_jsonl import to_openai
from chatbot.conversation.formats.own_json import to_json
from chatbot.conversation.formats.reading import read_chats
from chatbot.conversation.formats.trl_jsonl import preference_lines, thumb_lines
from chatbot.conversation.tree import Conversation
from chatbot.errors import FormatError, SettingError
from chatbot.plain.progress_line import ProgressLine
from chatbot.store import reading
from chatbot.store.database import Database
from chatbot.store.importing import import_chats
from chatbot.store.values import BrokenChat, StoredChat
from chatbot.wording import counted

_EVERYTHING: Final = 1_000_000_000

_PROGRESS_CHATS: Final = 200
"""Chats after which an import says how far it is."""


def export_chats(db: Database, options: argparse.Namespace) -> dict[str, Any] | None:
    """Write chats out; returns what ``--json`` says, if anything."""
    if options.all == bool(options.ids):
        raise SettingError("chats export needs either ids or --all.")
    if options.all:
        ids = [chat.id for chat in reading.list_chats(db, _EVERYTHING)]
    else:
        ids = [find_chat(db, chat_id) for chat_id in options.ids]
    if options.ratings is not None:
        return _export_ratings(db, ids, options)
    pieces = (_exported(reading.load_chat(db, key), options.format) for key in ids)
    if options.output is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return None
    write_new(options.output, pieces)
    if not options.json:
        chats = "1 chat is" if len(ids) == 1 else f"{len(ids)} chats are"
        print(f"{chats} in {options.output}.", file=sys.stderr)
    return {"file": str(options.output), "format": options.format, "num_chats": len(ids)}


def _export_ratings(
    db: Database, ids: Iterable[str], options: argparse.Namespace
) -> dict[str, Any]:
    if options.output is not None:
        raise SettingError("chats export takes either --ratings FILE or --output FILE.")
    pairs: list[bytes] = []
    thumbs: list[bytes] = []
    for key in ids:
        chat = reading.load_chat(db, key)
        if chat.ratings:
            pairs += preference_lines(chat)
            thumbs += thumb_lines(chat)
    beside = options.ratings.with_stem(f"{options.ratings.stem}-thumbs")
    write_new(beside, thumbs)
    try:
        write_new(options.ratings, pairs)
    except FormatError:
        expanded(beside).unlink()  # both of them or none
        raise
    if not options.json:
        print(
            f"{len(pairs)} pairs are in {options.ratings}, "
            f"{len(thumbs)} rated answers in {beside}.",
            file=sys.stderr,
        )
    return {
        "pairs_file": str(options.ratings),
        "thumbs_file": str(beside),
        "num_pairs": len(pairs),
        "num_thumbs": len(thumbs),
    }


def _exported(chat: StoredChat, form: str) -> bytes:
    if form == "json":
        return to_json(chat)
    path = Conversation.from_stored(chat).path()
    if form == "openai":
        return to_openai(path)
    return (to_markdown(path, chat.info.title) + "\n").encode()


def import_files(db: Database, options: argparse.Namespace) -> dict[str, Any]:
    """Take in chats from files; returns what ``--json`` says."""
    files = []
    for file in options.files:
        chats = _with_progress(read_chats(file))
        report = import_chats(db, chats, skip_broken=options.skip_broken)
        for reason in report.broken:
            print(f"{file}: {reason}", file=sys.stderr)
        if not options.json:
            found = []
            if report.num_skipped:
                found.append(f"{counted(report.num_skipped, 'chat')} here already")
            if report.broken:
                found.append(f"{counted(len(report.broken), 'broken chat')} left out")
            if report.num_added or not found:
                messages = counted(report.num_messages, "message")
                found.insert(0, f"{counted(report.num_added, 'chat')} with {messages} added")
            print(f"{file}: {', '.join(found)}.")
            if report.num_renamed:
                print(f"    {report.num_renamed} of them differ from chats that were here.")
        files.append({"file": str(file), **msgspec.to_builtins(report)})
    return {"files": files}


def _with_progress(
    chats: Iterable[StoredChat | BrokenChat],
) -> Iterator[StoredChat | BrokenChat]:
    """The same chats; on a terminal a line counts them."""
    line = ProgressLine()
    for number, chat in enumerate(chats, 1):
        if line.is_terminal and number % _PROGRESS_CHATS == 0:
            line.draw(f"{number:,} chats")
        yield chat
    line.clear()
