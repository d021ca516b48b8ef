"""The command line: reads the flags, puts the pieces together, picks the face.

Imports nothing heavy before it knows what is wanted: ``--help`` must be instant.
"""

import argparse
import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from chatbot import __version__
from chatbot.commands.ask.flags import add_ask_parser, print_failure, run_ask
from chatbot.commands.bench import add_bench_parser, run_bench
from chatbot.commands.chats.flags import add_chats_parser, run_chats
from chatbot.commands.knowledge.flags import add_folders_flag, add_knowledge_parsers, run_knowledge
from chatbot.commands.models.flags import add_models_parser, run_models
from chatbot.commands.prompts import add_prompts_parser, run_prompts
from chatbot.commands.scripting import FAILED, INTERRUPTED, WRONG_USAGE, Parser
from chatbot.errors import ChatbotError, PromptUsageError, SettingError, StoppedError
from chatbot.plain.progress_line import ProgressLine
from chatbot.settings import PRECISIONS, Settings, find_spec, with_value
from chatbot.store import LATEST
from chatbot.terminal_text import clean

if TYPE_CHECKING:  # --help needs none of it
    from chatbot.session import Session

_CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})

_FLAGS = (
    # flag, setting, metavar
    ("--temperature", "temperature", "X"),
    ("--top-p", "top_p", "X"),
    ("--top-k", "top_k", "N"),
    ("--min-p", "min_p", "X"),
    ("--repetition-penalty", "repetition_penalty", "X"),
    ("--no-repeat-ngram", "no_repeat_ngram_size", "N"),
    ("--max-tokens", "max_tokens", "N"),
    ("--seed", "seed", "N"),
    ("--system", "system_prompt", "TEXT"),
    ("--thinking", "thinking", "MODE"),
    ("--max-history", "max_history", "N"),
    ("--context-length", "context_length", "N"),
    ("--num-sources", "num_sources", "N"),
    ("--relevance-threshold", "relevance_threshold", "X"),
    ("--grounding", "grounding", "MODE"),
    ("--embedding-model", "embedding_model", "MODEL"),
    ("--reranker", "reranker", "MODEL"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit status: 0, 1 failed, 2 wrong usage, 130 interrupted."""
    _prepare_streams()
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        status = _run_or_say_why(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough of it
        _write_no_more()
        return 0
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        _write_no_more()
        print(f"The output cannot be written: {error.strerror}.", file=sys.stderr)
        return FAILED


def _run_or_say_why(options: argparse.Namespace) -> int:
    try:
        return _run(options)
    except ChatbotError as error:
        ProgressLine.clear_all()
        print(error, file=sys.stderr)
        if options.command == "ask" and options.json:
            print_failure(str(error))
        if isinstance(error, StoppedError):
            return INTERRUPTED
        is_usage = isinstance(error, SettingError | PromptUsageError)
        return WRONG_USAGE if is_usage else FAILED


def _write_no_more() -> None:
    """Have Python not complain at the end of what is still to be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    add_folders_flag(settings)
    settings.add_argument(
        "-t",
        "--tools",
        type=_tool_names,
        metavar="NAMES",
        help="have these tools on, and no other: calculate,get_weather; none for no tool",
    )
    settings.add_argument(
        "--allow-tool",
        dest="allowed_tools",
        action="append",
        metavar="NAME",
        help="let this tool run without being asked; may be given more than once",
    )
    settings.add_argument(
        "--adapter",
        dest="adapters",
        action="append",
        metavar="PATH[=WEIGHT]",
        help="a LoRA adapter for the model, and how much of it (1); repeatable",
    )
    settings.add_argument(
        "--force", action="store_true", help="load the model even where it does not seem to fit"
    )
    which = settings.add_mutually_exclusive_group()
    which.add_argument(
        "-c",
        "--continue",
        dest="resume",
        action="store_const",
        const=LATEST,
        help="go on with the last chat",
    )
    which.add_argument("-r", "--resume", metavar="ID", help="go on with this chat")
    settings.add_argument(
        "--no-save", action="store_true", help="keep nothing of this run on the disk"
    )

    parser = Parser(
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

    add_ask_parser(commands, settings)
    add_knowledge_parsers(commands)
    add_chats_parser(commands)
    add_prompts_parser(commands)
    add_models_parser(commands)
    add_bench_parser(commands)
    doctor = commands.add_parser("doctor", help="what is there, what is missing, what to do")
    doctor.add_argument("--json", action="store_true", help="one JSON object instead of text")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.command == "doctor":
        from chatbot.commands.doctor import run_doctor
        from chatbot.config import load_config
        from chatbot.paths import config_file
        from chatbot.session import problems_of
        from chatbot.tui.screen_config import load_screen_config

        config = load_config(config_file())
        problems = (*problems_of(config), *load_screen_config(config).problems)
        return run_doctor(problems, as_json=options.json)
    if options.command in ("index", "search"):
        return run_knowledge(options)
    if options.command == "models":
        return run_models(options)
    if options.command == "bench":
        return run_bench(options)
    if options.command == "chats":
        return run_chats(options)
    if options.command == "prompts":
        return run_prompts(getattr(options, "name", ""), as_json=options.json)
    return _converse(options)


def _converse(options: argparse.Namespace) -> int:
    """Chat, on the screen or in plain text, or answer one question."""
    is_on_screen = options.command is None and not options.plain
    is_on_screen &= sys.stdin.isatty() and sys.stdout.isatty()
    is_on_screen &= os.environ.get("TERM") != "dumb"  # it can draw nothing
    if is_on_screen:
        # What start-up makes, it keeps: looking for rubbish among it costs a tenth of the time to
        # the first frame. The app turns the collector on again.
        gc.disable()
    import asyncio

    from chatbot.config import load_config
    from chatbot.paths import config_file
    from chatbot.session import Session

    config = load_config(config_file())
    settings = _with_flags(config.settings, options)
    resume: str | None = getattr(options, "resume", None)
    session = Session(
        config,
        settings,
        keeps_chats=not (getattr(options, "no_save", False) or getattr(options, "complete", False)),
        tools=getattr(options, "tools", None),
        allowed_tools=getattr(options, "allowed_tools", None) or (),
    )
    if any(getattr(options, name, None) for name in ("tools", "allowed_tools")):
        session.tools.check_names()  # refused now, not when the model has been loaded
    _prepare_model(session, options, is_on_screen=is_on_screen)
    if options.command == "ask":
        return run_ask(session, options)
    if not is_on_screen:
        from chatbot.plain.chat import run_plain

        return asyncio.run(run_plain(session, resume))

    try:
        if resume is not None:
            asyncio.run(session.resume(resume))
        from chatbot.tui.app import ChatApp

        app = ChatApp(session)
        app.run()
    finally:
        session.close_store()
    return app.return_code or 0


def _tool_names(text: str) -> list[str]:
    """The tools that ``--tools`` names."""
    names = [name for part in text.split(",") if (name := part.strip())]
    return [] if names == ["none"] else names


def _prepare_model(session: "Session", options: argparse.Namespace, *, is_on_screen: bool) -> None:
    """Have the model loaded with the adapters of the command line, and by force if it says so."""
    model = session.manager.settings.model
    if getattr(options, "force", False):
        session.engine.force(model)
    if adapters := getattr(options, "adapters", None):
        from chatbot.engine.protocol.model_info import parse_adapter

        uses = [parse_adapter(text) for text in adapters]
        # A chat goes on without them, and says so; where nobody types, it would be missed.
        is_chat = options.command != "ask" and (is_on_screen or sys.stdin.isatty())
        session.engine.plan_adapters(uses, model, are_needed=not is_chat)


def _with_flags(settings: Settings, options: argparse.Namespace) -> Settings:
    """``settings`` with what the command line says instead; for this run alone."""
    for name in ("model", "precision", *(name for _, name, _ in _FLAGS)):
        value = getattr(options, name, None)
        if value is not None:
            settings = with_value(settings, name, clean(value))
    if getattr(options, "model", None) is not None:
        from chatbot.models.references import resolve

        resolve(settings.model)  # refused now, not when everything else has been started
    if (folders := getattr(options, "folders", None)) is not None:
        from chatbot.conversation.folders import folders_of_run

        settings = msgspec.structs.replace(settings, folders=folders_of_run(folders))
    return settings


if __name__ == "__main__":
    sys.exit(main())
