"""``chatbot chats``: its flags, and which of its commands they ask for.

Each command prints text for people, or with ``--json`` one JSON object, whose keys are
documented in the manual and a promise. Works on the store directly: no engine, no loop. Imports
nothing heavy before a command is to run: the command line reads the flags for ``--help`` too.
"""

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chatbot.commands.scripting import add_json_flags, print_json

if TYPE_CHECKING:
    from chatbot.store.database import Database

_FORMATS: Final = ("markdown", "json", "openai")
_MOST_CHATS: Final = 50


def add_chats_parser(commands: Any) -> None:
    """Add ``chats`` and its own commands to the parser's."""
    chats = commands.add_parser(
        "chats",
        help="list, search, export, import the stored chats",
        description="The stored chats. ID is an id or its beginning, or 'latest'. With no command: "
        "the list.",
    )
    chats.set_defaults(limit=_MOST_CHATS, offset=0, deleted=False)
    verbs = chats.add_subparsers(dest="verb", metavar="COMMAND", title="commands")
    shown = verbs.add_parser(
        "list", help="the chats, pinned ones on top, then by their last message"
    )
    shown.add_argument(
        "--limit", type=_count, default=_MOST_CHATS, metavar="N", help="most chats (50)"
    )
    shown.add_argument("--offset", type=_count, default=0, metavar="N", help="chats to pass over")
    shown.add_argument("--deleted", action="store_true", help="those that can be restored")
    found = verbs.add_parser("search", help="messages and titles with these words")
    found.add_argument("words", nargs="+", help='what to look for; "two words" stand together')
    found.add_argument("--limit", type=_count, default=20, metavar="N", help="most hits (20)")
    out = verbs.add_parser("export", help="write chats to standard output or to a new file")
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
    taken = verbs.add_parser(
        "import", help="take in chats from files; all of a file, or nothing of it"
    )
    taken.add_argument("files", nargs="+", type=Path, metavar="FILE", help="any known format")
    taken.add_argument("--skip-broken", action="store_true", help="leave broken chats out")
    for name, help_text in (
        ("delete", "delete chats; 'restore' brings them back for 30 days"),
        ("restore", "bring deleted chats back"),
        ("pin", "keep chats on top of the list"),
        ("unpin", "no longer keep chats on top"),
    ):
        verb = verbs.add_parser(name, help=help_text)
        verb.add_argument("ids", nargs="+", metavar="ID", help="which chats")
    named = verbs.add_parser("rename", help="give a chat another title")
    named.add_argument("id", metavar="ID", help="which chat")
    named.add_argument("title", help="the new title")
    add_json_flags(chats, verbs.choices.values())


def run_chats(options: argparse.Namespace) -> int:
    """Carry out a command; returns the exit status."""
    from chatbot.paths import data_dir
    from chatbot.store.database import Database

    with contextlib.closing(Database(data_dir())) as db:
        for notice in db.notices:
            print(notice, file=sys.stderr)
        report = _carry_out(db, options)
    if options.json and report is not None:
        print_json(report)
    sys.stdout.flush()
    return 0


def _carry_out(db: "Database", options: argparse.Namespace) -> dict[str, Any] | None:
    from chatbot.commands.chats import changing, finding, transfer

    match options.verb:
        case "list" | None:
            return finding.list_chats(db, options)
        case "search":
            return finding.search_chats(db, options)
        case "export":
            return transfer.export_chats(db, options)
        case "import":
            return transfer.import_files(db, options)
        case "rename":
            return changing.rename(db, options)
        case "delete":
            return changing.delete(db, options)
        case "restore":
            return changing.restore(db, options)
        case _:
            return changing.pin(db, options)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)
