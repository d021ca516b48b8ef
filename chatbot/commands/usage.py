"""What is said of a command that was typed wrongly: one sentence, not all the flags there are."""

import argparse
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from chatbot.commands.status import WRONG_USAGE
from chatbot.terminal_text import clean_line


class Parser(argparse.ArgumentParser):
    """Reads the flags of the program, or of one of its commands."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end the program with status 2."""
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
