"""What every command keeps to, for the scripts that start it: its exit status, its JSON, and one
sentence where it was typed wrongly.
"""

import argparse
import sys
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import msgspec

from chatbot.terminal_text import clean_line

FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130
"""As a shell has it after Ctrl+C."""


class Parser(argparse.ArgumentParser):
    """Reads the flags of the program, or of one of its commands."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and not all the flags there are; ends the program with status 2."""
        print(f"{self.prog}: {clean_line(message, 1000)}", file=sys.stderr)
        print(f"{self.prog} --help lists what can be given.", file=sys.stderr)
        sys.exit(WRONG_USAGE)


def add_json_flags(command: argparse.ArgumentParser, verbs: Iterable[Any]) -> None:
    """Add ``--json`` to ``command`` and to each of its own commands, so that it may stand before
    and after these.
    """
    for parser, default in ((command, False), *((verb, argparse.SUPPRESS) for verb in verbs)):
        # Suppressed, so that one before the command is not undone by its absence after it.
        parser.add_argument(
            "--json", action="store_true", default=default, help="one JSON object instead of text"
        )


def print_json(report: object) -> None:
    """Print what ``--json`` asks for: an object on a line of its own."""
    print(msgspec.json.encode(report).decode(), flush=True)
