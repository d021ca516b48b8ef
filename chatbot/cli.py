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
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from chatbot import __version__
from chatbot.bench import add_bench_parser
from chatbot.chats import add_chats_parser
from chatbot.errors import ChatbotError, PromptUsageError, SettingError
from chatbot.knowledge_commands import add_folders_flag, add_knowledge_parsers
from chatbot.model_commands import add_models_parser
from chatbot.settings import PRECISIONS, Settings, find_spec, with_value, with_values
from chatbot.strategies import STRATEGIES, with_strategy
from chatbot.terminal_text import clean, clean_line

if TYPE_CHECKING:  # --help needs none of it
    from chatbot.session import Session

INTERRUPTED = 130

LATEST = "latest"
"""What ``--resume`` can be given for the chat with the last message."""

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
        return _run(options)
    except (SettingError, PromptUsageError) as error:
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
    add_folders_flag(settings)
    settings.add_argument(
        "-t",
        "--tools",
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
    ask.add_argument("--prompt", metavar="NAME", help="ask by a prompt of the library")
    ask.add_argument(
        "--var",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable of the prompt; the question is its variable input",
    )
    ask.add_argument(
        "--complete",
        action="store_true",
        help="go on with the text as it is, as no chat",
    )
    ask.add_argument(
        "-n",
        dest="number",
        default="",
        metavar="N",
        help="so many answers, or continuations, made at once; each has a seed of its own",
    )
    ask.add_argument(
        "--strategy",
        choices=("greedy", "beam", "top-k", "top-p"),
        help="how to choose the words: the likeliest one, the likeliest answer, or by chance",
    )
    ask.add_argument(
        "--beams", default="", metavar="N", help="search for the likeliest answer with N beams (5)"
    )
    ask.add_argument("--json", action="store_true", help="one JSON object instead of text")
    ask.add_argument(
        "--schema", metavar="FILE", help="hold the whole answer to the JSON schema in FILE"
    )
    ask.add_argument("--no-stream", action="store_true", help="print the answer when it is whole")

    add_knowledge_parsers(commands)
    add_chats_parser(commands)
    prompts = commands.add_parser("prompts", help="the prompt library")
    listing = prompts.add_subparsers(dest="listing", metavar="COMMAND", required=True)
    every = listing.add_parser("list", help="all prompts, with what they do")
    every.add_argument("--json", action="store_true", help="one JSON object instead of text")
    one = listing.add_parser("show", help="one prompt: its variables, settings and text")
    one.add_argument("name", help="the prompt's name")
    one.add_argument("--json", action="store_true", help="one JSON object instead of text")

    add_models_parser(commands)
    add_bench_parser(commands)
    doctor = commands.add_parser("doctor", help="what is there, what is missing, what to do")
    doctor.add_argument("--json", action="store_true", help="one JSON object instead of text")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.command == "doctor":
        from chatbot.doctor import run_doctor

        return run_doctor(as_json=options.json)
    if options.command in ("index", "search"):
        from chatbot.knowledge_commands import run_knowledge

        return run_knowledge(options)
    if options.command == "models":
        from chatbot.model_commands import run_models

        return run_models(options)
    if options.command == "bench":
        from chatbot.bench import run_bench

        return run_bench(options)
    if options.command == "chats":
        from chatbot.chats import run_chats

        return run_chats(options)
    if options.command == "prompts":
        from chatbot.prompt_listing import run_prompts

        return run_prompts(getattr(options, "name", ""), as_json=options.json)

    from chatbot.config import load_config
    from chatbot.paths import config_file
    from chatbot.session import Session

    config = load_config(config_file())
    settings = _with_flags(config.settings, options)
    resume: str | None = getattr(options, "resume", None)
    session = Session(
        config,
        settings,
        keeps_chats=not getattr(options, "no_save", False),
        tools=_tool_names(getattr(options, "tools", None)),
        allowed_tools=getattr(options, "allowed_tools", None) or (),
    )
    if options.command == "ask":
        from chatbot.ask import question_by_prompt, run_ask

        text = _with_piped(options.question)
        overrides: Mapping[str, str] = {}
        if options.prompt:
            question = question_by_prompt(options.prompt, options.var, text, vars(options))
            text, overrides = question.text, question.overrides
            if question.system_prompt:
                session.manager.settings = with_value(
                    settings, "system_prompt", question.system_prompt
                )
        elif options.var:
            raise PromptUsageError("--var belongs to --prompt: name the prompt too.")
        if not text:
            raise SettingError('ask needs a question: chatbot ask "What is the capital of France?"')
        if options.strategy in STRATEGIES:
            sampling = with_strategy(settings.sampling, options.strategy)
            settings = msgspec.structs.replace(settings, sampling=sampling)
            session.manager.settings = msgspec.structs.replace(
                session.manager.settings, sampling=sampling
            )
        is_search = options.strategy == "beam" or bool(options.beams)
        if options.beams and options.strategy not in (None, "beam"):
            raise SettingError("--beams belongs to --strategy beam: leave one of the two out.")
        if options.complete:
            if is_search:
                raise SettingError("--complete draws its words: leave --strategy beam out.")
            return _complete(options, Session(config, settings, keeps_chats=False), text)
        _prepare_model(session, options)
        if is_search or options.number not in ("", "1"):
            session.manager.settings = with_values(session.manager.settings, overrides)
            return _ask_several(options, session, text, resume, is_search=is_search)
        return asyncio.run(
            run_ask(
                session,
                text,
                overrides,
                as_json=options.json,
                stream=not options.no_stream,
                resume=resume,
                schema=_schema_in(options.schema) if options.schema else "",
            )
        )
    _prepare_model(session, options)
    if options.plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from chatbot.plain import run_plain

        return asyncio.run(run_plain(session, resume))

    try:
        if resume is not None:
            asyncio.run(session.resume(resume))
        # What start-up makes, it keeps: looking for rubbish among it costs a tenth of the time to
        # the first frame. The app turns the collector on again.
        gc.disable()
        from chatbot.tui.app import ChatApp

        app = ChatApp(session)
        app.run()
    finally:
        session.close_store()
    return app.return_code or 0


def _tool_names(text: str | None) -> list[str] | None:
    """The tools that the flag names; None where it is not given."""
    if text is None:
        return None
    names = [name for part in text.split(",") if (name := part.strip())]
    return [] if names == ["none"] else names


def _schema_in(file: str) -> str:
    """The JSON schema in a file.

    Raises:
        SettingError: it cannot be read, or is none.
    """
    import json
    from pathlib import Path

    try:
        text = Path(file).read_text("utf-8")
        is_object = isinstance(json.loads(text), dict)
    except (OSError, ValueError, RecursionError) as error:
        reason = clean_line(str(error))
        raise SettingError(f"--schema {clean_line(file)} cannot be used: {reason}.") from error
    if not is_object:
        raise SettingError(f"--schema {clean_line(file)} must hold a JSON object: a schema.")
    return text


def _prepare_model(session: "Session", options: argparse.Namespace) -> None:
    """Have the model loaded with the adapters of the command line, and by force if it says so."""
    model = session.manager.settings.model
    if getattr(options, "force", False):
        session.engine.force(model)
    if adapters := getattr(options, "adapters", None):
        from chatbot.engine.protocol import parse_adapter

        session.engine.plan_adapters([parse_adapter(text) for text in adapters], model)


def _ask_several(
    options: argparse.Namespace,
    session: "Session",
    text: str,
    resume: str | None,
    *,
    is_search: bool,
) -> int:
    from functools import partial

    from chatbot.ask_several import run_ask_several
    from chatbot.completing import parse_count
    from chatbot.conversation.variants.wishes import parse_number, wish_for_beams, wish_for_seeds
    from chatbot.strategies import DEFAULT_BEAMS

    if _tool_names(getattr(options, "tools", None)):
        raise SettingError("Several answers at once call no tools: leave --tools out.")
    if is_search:
        if options.schema:
            raise SettingError("A beam search holds to no schema: leave one of the two out.")
        number = parse_number(options.beams, DEFAULT_BEAMS)
        num_printed = parse_count(options.number or "1")
        make_wish = partial(wish_for_beams, number=number)
    else:
        number = num_printed = parse_number(options.number, 1)
        make_wish = partial(wish_for_seeds, number=number)
    return asyncio.run(
        run_ask_several(
            session,
            text,
            make_wish,
            num_printed=num_printed,
            as_json=options.json,
            stream=not options.no_stream,
            resume=resume,
            schema=_schema_in(options.schema) if options.schema else "",
        )
    )


def _complete(options: argparse.Namespace, session: "Session", text: str) -> int:
    from chatbot.completing import parse_count, run_completion

    count = parse_count(options.number or "1")
    _prepare_model(session, options)
    return asyncio.run(
        run_completion(session, text, count, as_json=options.json, stream=not options.no_stream)
    )


def _with_flags(settings: Settings, options: argparse.Namespace) -> Settings:
    """``settings`` with what the command line says instead; for this run alone."""
    for name in ("model", "precision", *(name for _, name, _ in _FLAGS)):
        value = getattr(options, name, None)
        if value is not None:
            settings = with_value(settings, name, clean(value))
    if (folders := getattr(options, "folders", None)) is not None:
        from chatbot.conversation.folders import folders_of_run

        settings = msgspec.structs.replace(settings, folders=folders_of_run(folders))
    return settings


def _with_piped(question: str) -> str:
    """The question, and below it what was piped in; empty when there is neither."""
    piped = ""
    if not sys.stdin.isatty():
        with contextlib.suppress(OSError):
            piped = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    return "\n\n".join(part for part in (question.strip(), piped) if part)


if __name__ == "__main__":
    sys.exit(main())
