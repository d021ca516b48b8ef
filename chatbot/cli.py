"""The command line: reads the flags, puts the pieces together, picks the face.

Imports nothing heavy before it knows what is wanted: ``--help`` must be instant.
"""

import argparse
import asyncio
import contextlib
import gc
import io
import os
import sys
from collections.abc import Sequence

from chatbot import __version__
from chatbot.errors import ChatbotError, SettingError
from chatbot.settings import PRECISIONS, Settings, find_spec, with_value
from chatbot.terminal_text import clean

INTERRUPTED = 130

_FLAGS = (
    # flag, setting, metavar
    ("--temperature", "temperature", "X"),
    ("--top-p", "top_p", "X"),
    ("--top-k", "top_k", "N"),
    ("--min-p", "min_p", "X"),
    ("--repetition-penalty", "repetition_penalty", "X"),
    ("--max-tokens", "max_tokens", "N"),
    ("--seed", "seed", "N"),
    ("--system", "system_prompt", "TEXT"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit status: 0, 1 failed, 2 wrong usage, 130 interrupted."""
    _prepare_streams()
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except SettingError as error:
        parser.error(str(error))
    except ChatbotError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough of it; Python must not complain at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _prepare_streams() -> None:
    """Have all three standard streams, and no character that ends the program.

    A stream is missing when whoever started us closed it; an answer may hold characters that
    the terminal's own encoding lacks.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def build_parser() -> argparse.ArgumentParser:
    """The commands and their flags."""
    # Suppressed, so that a flag before the command is not undone by its absence after it.
    settings = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    settings.add_argument("-m", "--model", metavar="MODEL", help=find_spec("model").help)
    settings.add_argument("--precision", choices=PRECISIONS, help=find_spec("precision").help)
    for flag, name, metavar in _FLAGS:
        settings.add_argument(flag, dest=name, metavar=metavar, help=find_spec(name).help)

    parser = argparse.ArgumentParser(
        prog="chatbot",
        parents=[settings],
        description="A glass-box chatbot for the terminal. With no command: the chat itself.",
    )
    parser.add_argument("--version", action="version", version=f"chatbot {__version__}")
    parser.add_argument(
        "--plain",
        action="store_true",
        help="lines in, text out; also the default when standard input or output is no terminal",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    ask = commands.add_parser(
        "ask",
        parents=[settings],
        help="one answer on standard output",
        description="Answer one question. Text piped in is added to the question.",
    )
    ask.add_argument("question", nargs="?", default="", help="what to ask")
    ask.add_argument("--json", action="store_true", help="one JSON object instead of text")
    ask.add_argument("--no-stream", action="store_true", help="print the answer when it is whole")

    doctor = commands.add_parser("doctor", help="what is there, what is missing, what to do")
    doctor.add_argument("--json", action="store_true", help="one JSON object instead of text")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.command == "doctor":
        from chatbot.doctor import run_doctor

        return run_doctor(as_json=options.json)

    from chatbot.config import load_config
    from chatbot.paths import config_file
    from chatbot.session import Session

    config = load_config(config_file())
    session = Session(config, _with_flags(config.settings, options))
    if options.command == "ask":
        from chatbot.ask import run_ask

        question = _with_piped(options.question)
        stream = not options.no_stream
        return asyncio.run(run_ask(session, question, as_json=options.json, stream=stream))
    if options.plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from chatbot.plain import run_plain

        return asyncio.run(run_plain(session))

    # What start-up makes, it keeps: looking for rubbish among it costs a tenth of the time to the
    # first frame. The app turns the collector on again.
    gc.disable()
    from chatbot.tui.app import ChatApp

    app = ChatApp(session)
    app.run()
    return app.return_code or 0


def _with_flags(settings: Settings, options: argparse.Namespace) -> Settings:
    """``settings`` with what the command line says instead; for this run alone."""
    for name in ("model", "precision", *(name for _, name, _ in _FLAGS)):
        value = getattr(options, name, None)
        if value is not None:
            settings = with_value(settings, name, clean(value))
    return settings


def _with_piped(question: str) -> str:
    """The question, and below it what was piped in.

    Raises:
        SettingError: there is neither.
    """
    piped = ""
    if not sys.stdin.isatty():
        with contextlib.suppress(OSError):
            piped = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    text = "\n\n".join(part for part in (question.strip(), piped) if part)
    if not text:
        raise SettingError('ask needs a question: chatbot ask "What is the capital of France?"')
    return text


if __name__ == "__main__":
    sys.exit(main())
