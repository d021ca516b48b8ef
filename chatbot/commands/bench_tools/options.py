"""The flags of ``chatbot bench tools``. Imports nothing heavy."""

import argparse

from chatbot.settings import DEFAULT_MODEL, PRECISIONS, find_spec


def add_options(parser: argparse.ArgumentParser) -> None:
    """The flags of ``bench tools``."""
    parser.add_argument(
        "-m", "--model", default=DEFAULT_MODEL, metavar="MODEL", help=find_spec("model").help
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help=find_spec("precision").help
    )
    parser.add_argument(
        "--limit", type=_count, default=100, metavar="N", help="questions of each set; 100"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--own-only", action="store_true", help="only our own questions")
    which.add_argument("--bfcl-only", action="store_true", help="only those of BFCL")
    parser.add_argument("--json", action="store_true", help="one JSON object a set")


def as_arguments(options: argparse.Namespace) -> list[str]:
    """What was read, as the flags that say it."""
    arguments = ["--model", options.model, "--precision", options.precision]
    arguments += ["--limit", str(options.limit)]
    for flag in ("own_only", "bfcl_only", "json"):
        if getattr(options, flag):
            arguments.append("--" + flag.replace("_", "-"))
    return arguments


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)
