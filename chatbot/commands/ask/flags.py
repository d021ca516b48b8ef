"""``chatbot ask``: its flags, and which of its three ways they ask for.

One answer, several at once, or a text gone on with as it is. Imports nothing heavy before one of
them is chosen: the command line reads the flags for ``--help`` too.
"""

import argparse
import contextlib
import sys
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chatbot.commands.scripting import print_json
from chatbot.errors import PromptUsageError, SettingError
from chatbot.settings import with_value, with_values
from chatbot.strategies import DEFAULT_BEAMS, STRATEGIES, with_strategy
from chatbot.terminal_text import clean_line
from chatbot.wording import memory

if TYPE_CHECKING:
    from chatbot.session import Session

MAX_PIPED_BYTES: Final = 16 * 2**20
"""Of what is added to a question, as of a file that is attached."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and in which form the answer is wanted."""

    text: str
    """The question, or the text to go on with."""
    overrides: Mapping[str, str] = {}
    """Settings for this answer alone, by name, as the user would type them."""
    files: Sequence[str] = ()
    """To attach, by name."""
    is_foreign: bool = False
    """Some of the question was piped in; see ``TextPart``."""
    schema: str = ""
    """A JSON schema to hold each whole answer to; empty for none."""
    resume: str | None = None
    """The chat to go on with; see ``Session.resume``."""
    as_json: bool = False
    """One JSON object is printed instead of text."""
    streams: bool = True
    """Text is printed as it comes."""


def add_ask_parser(commands: Any, settings: argparse.ArgumentParser) -> None:
    """Add ``ask`` to the commands of the command line, with the flags of ``settings``."""
    ask = commands.add_parser(
        "ask",
        parents=[settings],
        help="one answer on standard output",
        description="Answer one question. Text piped in is added to the question.",
    )
    ask.add_argument("question", nargs="?", default="", help="what to ask")
    ask.add_argument(
        "-a",
        "--attach",
        action="append",
        default=[],
        metavar="FILE",
        help="a file to put before the question: text, code, PDF, Word, HTML; more than once",
    )
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


def run_ask(session: "Session", options: argparse.Namespace) -> int:
    """Ask what ``options`` say; returns the exit status.

    Raises:
        SettingError: flags that do not go together, or a value that cannot be.
        PromptUsageError: the prompt of the library cannot be used so.
        AttachmentError: a file to attach is not there.
    """
    manager = session.manager
    piped = _piped()
    question = "\n\n".join(part for part in (options.question.strip(), piped) if part)
    # Alone it is the question; beside one it is what the question is about.
    is_foreign = bool(piped and (options.question.strip() or options.prompt))
    overrides: Mapping[str, str] = {}
    if options.prompt:
        from chatbot.commands.ask.prompted import question_by_prompt

        filled = question_by_prompt(options.prompt, options.var, question, vars(options))
        question, overrides = filled.text, filled.overrides
        if filled.system_prompt:
            manager.settings = with_value(manager.settings, "system_prompt", filled.system_prompt)
    elif options.var:
        raise PromptUsageError("--var belongs to --prompt: name the prompt too.")
    if not question:
        raise SettingError('ask needs a question: chatbot ask "What is the capital of France?"')
    if options.attach:
        from chatbot.conversation.attachments import check_files

        check_files(options.attach)  # before anything is started
    if options.strategy in STRATEGIES:
        sampling = with_strategy(manager.settings.sampling, options.strategy)
        manager.settings = msgspec.structs.replace(manager.settings, sampling=sampling)
    is_search = options.strategy == "beam" or bool(options.beams)
    if options.beams and options.strategy not in (None, "beam"):
        raise SettingError("--beams belongs to --strategy beam: leave one of the two out.")
    if options.complete:
        if is_search:
            raise SettingError("--complete draws its words: leave --strategy beam out.")
        _refuse_of_chats(options)
    asked = Asked(
        text=question,
        overrides=overrides,
        files=options.attach,
        is_foreign=is_foreign,
        schema=_schema_in(options.schema),
        resume=getattr(options, "resume", None),
        as_json=options.json,
        streams=not options.no_stream,
    )
    if options.complete:
        answering = _complete(session, asked, options)
    elif is_search or options.number not in ("", "1"):
        manager.settings = with_values(manager.settings, overrides)
        answering = _ask_several(session, asked, options, is_search=is_search)
    else:
        from chatbot.commands.ask.one_answer import run_ask_one

        answering = run_ask_one(session, asked)
    import asyncio

    return asyncio.run(answering)


def _refuse_of_chats(options: argparse.Namespace) -> None:
    """Refuse flags that mean something in a chat, which a text that is gone on with is not."""
    given = vars(options)
    for flag, name in (
        ("--attach", "attach"),
        ("--continue and --resume", "resume"),
        ("--system", "system_prompt"),
    ):
        if given.get(name):
            raise SettingError(f"--complete goes on with a text as it is: leave {flag} out.")


def print_failure(error: str) -> None:
    """Print the JSON object where something failed before there was an answer to report."""
    report = {"text": "", "finish_reason": "error", "error": error}
    print_json(report)


def _ask_several(
    session: "Session", asked: Asked, options: argparse.Namespace, *, is_search: bool
) -> Coroutine[Any, Any, int]:
    from chatbot.commands.ask.completion import parse_count
    from chatbot.commands.ask.several_answers import run_ask_several
    from chatbot.conversation.variants.wishes import parse_number, wish_for_beams, wish_for_seeds
    from chatbot.engine.protocol.variants import MAX_VARIANTS

    if getattr(options, "tools", None):
        raise SettingError("Several answers at once call no tools: leave --tools out.")
    if is_search:
        if asked.schema:
            raise SettingError("A beam search holds to no schema: leave one of the two out.")
        number = parse_number(options.beams, DEFAULT_BEAMS)
        num_printed = parse_count(options.number or "1")
        if num_printed > number:
            raise SettingError(
                f"{number} beams become {number} answers, and -n asks for {num_printed}: raise "
                "--beams, or lower -n."
            )
        make_wish = partial(wish_for_beams, number=number)
    else:
        number = num_printed = parse_count(options.number, MAX_VARIANTS)
        make_wish = partial(wish_for_seeds, number=number)
    return run_ask_several(session, asked, make_wish, num_printed=num_printed)


def _complete(
    session: "Session", asked: Asked, options: argparse.Namespace
) -> Coroutine[Any, Any, int]:
    from chatbot.commands.ask.completion import parse_count, run_completion

    return run_completion(session, asked, parse_count(options.number or "1"))


def _piped() -> str:
    """What was piped in; empty where nothing was.

    Raises:
        SettingError: no text was piped in, or too much of it.
    """
    raw = b""
    if not sys.stdin.isatty():
        with contextlib.suppress(OSError):
            # One more than there may be: what is piped in may have no end.
            raw = sys.stdin.buffer.read(MAX_PIPED_BYTES + 1)
    if len(raw) > MAX_PIPED_BYTES:
        limit = memory(MAX_PIPED_BYTES)
        raise SettingError(f"More than {limit} are piped in, which is too much; pipe in a part.")
    piped = raw.decode("utf-8", "replace").strip()
    if "\0" in piped:
        raise SettingError("What is piped in is no text; --attach reads PDF, Word and others.")
    return piped


def _schema_in(file: str | None) -> str:
    """The JSON schema in a file; empty where none is named.

    Raises:
        SettingError: it cannot be read, or is none.
    """
    if not file:
        return ""
    import json
    from pathlib import Path

    try:
        text = Path(file).read_text("utf-8")
        is_object = isinstance(json.loads(text), dict)
    except OSError as error:
        reason = clean_line(error.strerror or str(error))
        raise SettingError(f"--schema {clean_line(file)} cannot be read: {reason}.") from error
    except (ValueError, RecursionError) as error:
        reason = clean_line(str(error))
        raise SettingError(f"--schema {clean_line(file)} is not JSON: {reason}.") from error
    if not is_object:
        raise SettingError(f"--schema {clean_line(file)} must hold a JSON object: a schema.")
    return text
