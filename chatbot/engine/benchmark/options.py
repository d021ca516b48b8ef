"""The flags of ``chatbot bench speed``. Imports nothing heavy."""

import argparse
from typing import Final

from chatbot.settings import DEFAULT_MODEL, PRECISIONS

HISTORIES: Final = (512, 2048, 4096)
"""Tokens that the time to the first token is measured after."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The flags of ``bench speed``."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "-m",
        "--model",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help=f"a catalogue name, a hub id, a folder or a .gguf file; {DEFAULT_MODEL}",
    )
    which.add_argument(
        "--random-config",
        default="",
        metavar="NAME",
        help="a shape with random weights in place of a model: llama-3.1-8b, qwen3-0.6b, …",
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="number format of the weights"
    )
    parser.add_argument(
        "--tokens", type=int, default=128, metavar="N", help="length of the answers; 128"
    )
    parser.add_argument(
        "--runs", type=int, default=3, metavar="N", help="times each is measured, by turns; 3"
    )
    parser.add_argument(
        "--history",
        type=int,
        nargs="*",
        default=list(HISTORIES),
        metavar="N",
        help="tokens of history before the first token; "
        + ", ".join(str(length) for length in HISTORIES),
    )
    parser.add_argument(
        "--no-generate", action="store_true", help="leave plain generate() out, and its memory"
    )
    parser.add_argument(
        "--compare", choices=("llama.cpp",), help="measure that too, if its package is installed"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object in place of a table")


def as_arguments(options: argparse.Namespace) -> list[str]:
    """What was read, as the flags that say it."""
    arguments = ["--precision", options.precision]
    if options.random_config:
        arguments += ["--random-config", options.random_config]
    else:
        arguments += ["--model", options.model]
    arguments += ["--tokens", str(options.tokens), "--runs", str(options.runs)]
    arguments += ["--history", *(str(length) for length in options.history)]
    if options.compare:
        arguments += ["--compare", options.compare]
    for flag in ("no_generate", "json"):
        if getattr(options, flag):
            arguments.append("--" + flag.replace("_", "-"))
    return arguments
