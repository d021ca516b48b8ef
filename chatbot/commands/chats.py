"""``chatbot chats``: the stored chats from the command line.

Each command prints text for people, or with ``--json`` one JSON object, whose keys are
documented in the manual and a promise. Works on the store directly: no engine, no loop.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:  # not needed for --help, and not free
    from chatbot.store.database import Database
    from chatbot.store.values import BrokenChat, ChatInfo, StoredChat

SHORT_ID: Final = 8
"""Characters of an id that are shown; any beginning that is clear will do."""

_EVERYTHING: Final = 1_000_000_000

_PROGRESS_CHATS: Final = 200
"""Chats after which an import says how far it is."""

_FORMATS: Final = ("markdown", "json", "openai")


def add_chats_parser(commands: Any) -> None:
    """Add ``chats`` and its own commands to the parser's."""
    chats = commands.add_parser(
        "chats",
        help="list, search, export, import the stored chats",
        description="The stored chats. ID is an id or its beginning, or 'latest'.",
    )
    verbs = chats.add_subparsers(dest="verb", metavar="COMMAND", title="commands", required=True)

    def add(name: str, help_text: str) -> argparse.ArgumentParser:
        verb: argparse.ArgumentParser = verbs.add_parser(name, help=help_text)
        verb.add_argument("--json", action="store_true", help="one JSON object instead of text")
        return verb

    shown = add("list", "the chats, pinned ones on top, then by their last message")
    shown.add_argument("--limit", type=_count, default=50, metavar="N", help="most chats (50)")
    shown.add_argument("--offset", type=_count, default=0, metavar="N", help="chats to pass over")
    shown.add_argument("--deleted", action="store_true", help="those that can be restored")
    found = add("search", "messages and titles with these words")
    found.add_argument("words", nargs="+", help='what to look for; "two words" stand together')
    found.add_argument("--limit", type=_count, default=20, metavar="N", help="most hits (20)")
    out = add("export", "write chats to standard output or to a new file")
    out.add_argument("ids", nargs="*", metavar="ID", help="which chats")
    out.add_argument("--all", action="store_true", help="all chats")
    out.add_argument(
        "--format",
        choices=_FORMATS,
        default="json",
        help="json (default) loses nothing; markdown and openai hold the branch that is shown",
    )
    out.add_argument("-o", "--output", type=Path, metavar="FILE", help="a new file")
    out.add_argument(
        "--ratings",
        type=Path,
        metavar="FILE",
        help="write what was rated for trl instead: pairs of a good and a bad answer to FILE "
        "(JSONL), and every rated answer to FILE with -thumbs in its name",
    )
    taken = add("import", "take in chats from files; all of a file, or nothing of it")
    taken.add_argument("files", nargs="+", type=Path, metavar="FILE", help="any known format")
    taken.add_argument("--skip-broken", action="store_true", help="leave broken chats out")
    for name, help_text in (
        ("delete", "delete chats; 'restore' brings them back for 30 days"),
        ("restore", "bring deleted chats back"),
        ("pin", "keep chats on top of the list"),
        ("unpin", "no longer keep chats on top"),
    ):
        add(name, help_text).add_argument("ids", nargs="+", metavar="ID", help="which chats")
    named = add("rename", "give a chat another title")
    named.add_argument("id", metavar="ID", help="which chat")
    named.add_argument("title", help="the new title")


def run_chats(options: argparse.Namespace) -> int:
    """Carry out a command; returns the exit status."""
    from chatbot.paths import data_dir
    from chatbot.store.database import Database

    with contextlib.closing(Database(data_dir())) as db:
        for notice in db.notices:
            print(notice, file=sys.stderr)
        report = _VERBS[options.verb](db, options)
    if options.json and report is not None:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    sys.stdout.flush()
    return 0


def _list(db: "Database", options: argparse.Namespace) -> dict[str, Any]:
    from chatbot.store import reading

    if options.deleted:
        chats = reading.list_deleted(db, options.limit)
    else:
        chats = reading.list_chats(db, options.limit, options.offset)
    if not options.json:
        for chat in chats:
            print(_line(chat))
        if not chats:
            print("There are no chats.", file=sys.stderr)
    return {"chats": [_as_json(chat) for chat in chats]}


def _search(db: "Database", options: argparse.Namespace) -> dict[str, Any]:
    from chatbot.store.searching import search

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


def _export(db: "Database", options: argparse.Namespace) -> dict[str, Any] | None:
    from chatbot.conversation.formats.files import write_new
    from chatbot.errors import SettingError
    from chatbot.store import reading

    if options.all == bool(options.ids):
        raise SettingError("chats export needs either ids or --all.")
    if options.all:
        ids = [chat.id for chat in reading.list_chats(db, _EVERYTHING)]
    else:
        ids = [_find(db, chat_id) for chat_id in options.ids]
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
        print(f"{len(ids)} chats are in {options.output}.", file=sys.stderr)
    return {"file": str(options.output), "format": options.format, "num_chats": len(ids)}


def _export_ratings(
    db: "Database", ids: Iterable[str], options: argparse.Namespace
) -> dict[str, Any]:
    from chatbot.conversation.formats.files import expanded, write_new
    from chatbot.conversation.formats.trl_jsonl import preference_lines, thumb_lines
    from chatbot.errors import FormatError, SettingError
    from chatbot.store import reading

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


def _exported(chat: "StoredChat", form: str) -> bytes:
    from chatbot.conversation.formats.markdown import to_markdown
    from chatbot.conversation.formats.openai_jsonl import to_openai
    from chatbot.conversation.formats.own_json import to_json
    from chatbot.conversation.tree import Conversation

    if form == "json":
        return to_json(chat)
    path = Conversation.from_stored(chat).path()
    if form == "openai":
        return to_openai(path)
    return (to_markdown(path, chat.info.title) + "\n").encode()


def _import(db: "Database", options: argparse.Namespace) -> dict[str, Any]:
    from chatbot.conversation.formats.reading import read_chats
    from chatbot.store.importing import import_chats

    files = []
    for file in options.files:
        chats = _with_progress(read_chats(file))
        report = import_chats(db, chats, skip_broken=options.skip_broken)
        for reason in report.broken:
            print(f"{file}: {reason}", file=sys.stderr)
        if not options.json:
            print(
                f"{file}: {report.num_added} chats with {report.num_messages} messages added, "
                f"{report.num_skipped} were here already, {len(report.broken)} left out as broken."
            )
            if report.num_renamed:
                print(f"    {report.num_renamed} of them differ from chats that were here.")
        files.append({"file": str(file), **msgspec.to_builtins(report)})
    return {"files": files}


def _with_progress(
    chats: "Iterable[StoredChat | BrokenChat]",
) -> "Iterator[StoredChat | BrokenChat]":
    """The same chats; on a terminal a line counts them."""
    shows = sys.stderr.isatty()
    number = 0
    for number, chat in enumerate(chats, 1):
        if shows and number % _PROGRESS_CHATS == 0:
            print(f"\r{number:,} chats", end="", file=sys.stderr, flush=True)
        yield chat
    if shows and number >= _PROGRESS_CHATS:
        print("\r" + " " * 24, end="\r", file=sys.stderr, flush=True)


def _rename(db: "Database", options: argparse.Namespace) -> dict[str, Any]:
    from chatbot.errors import SettingError
    from chatbot.store.writing import rename_chat
    from chatbot.terminal_text import clean_line

    title = clean_line(options.title)
    if not title:
        raise SettingError("A title must not be empty.")
    chat_id = _find(db, options.id)
    rename_chat(db, chat_id, title)
    return _done(options, "renamed", [chat_id])


def _delete(db: "Database", options: argparse.Namespace) -> dict[str, Any]:
    from chatbot.store.writing import delete_chat

    ids = [_find(db, chat_id) for chat_id in options.ids]
    for chat_id in ids:
        delete_chat(db, chat_id)
    return _done(options, "deleted", ids)


def _restore(db: "Database", options: argparse.Namespace) -> dict[str, Any]:
    from chatbot.store.reading import find_chat
    from chatbot.store.writing import restore_chat

    ids = [find_chat(db, chat_id, is_deleted=True) for chat_id in options.ids]
    for chat_id in ids:
        restore_chat(db, chat_id)
    return _done(options, "restored", ids)


def _pin(db: "Database", options: argparse.Namespace) -> dict[str, Any]:
    from chatbot.store.writing import pin_chat

    ids = [_find(db, chat_id) for chat_id in options.ids]
    for chat_id in ids:
        pin_chat(db, chat_id, options.verb == "pin")
    return _done(options, f"{options.verb}ned", ids)


_VERBS: Final[dict[str, Callable[["Database", argparse.Namespace], dict[str, Any] | None]]] = {
    "list": _list,
    "search": _search,
    "export": _export,
    "import": _import,
    "rename": _rename,
    "delete": _delete,
    "restore": _restore,
    "pin": _pin,
    "unpin": _pin,
}


def _done(options: argparse.Namespace, what: str, ids: list[str]) -> dict[str, Any]:
    if not options.json:
        for chat_id in ids:
            print(f"{what} {chat_id}")
    return {what: ids}


def _find(db: "Database", prefix: str) -> str:
    from chatbot.errors import StoreError
    from chatbot.store import reading

    if prefix != "latest":
        return reading.find_chat(db, prefix)
    latest = reading.latest_chat(db)
    if latest is None:
        raise StoreError("There is no chat yet.")
    return latest


def _line(chat: "ChatInfo") -> str:
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(chat.updated_at))
    pin = "*" if chat.is_pinned else " "
    title = chat.title or "(no title)"
    return f"{pin} {chat.id[:SHORT_ID]}  {day}  {chat.num_messages:>4}  {title}"


def _as_json(chat: "ChatInfo", *, with_count: bool = True) -> dict[str, Any]:
    report: dict[str, Any] = msgspec.to_builtins(chat)
    if not with_count:
        del report["num_messages"]
    return report


def _emphasised(text: str) -> str:
    return f"\x1b[1m{text}\x1b[22m" if sys.stdout.isatty() else text


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number
