"""``chatbot models``: its flags, and which of its commands they ask for.

No model is loaded. Results go to standard output, progress to standard error. The JSON forms
are documented in the manual; their keys are a promise. Imports nothing heavy before a command is
to run: the command line reads the flags for ``--help`` too.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from chatbot.commands.scripting import add_json_flags, print_json
from chatbot.errors import ModelError, SettingError
from chatbot.terminal_text import clean_line

_MAX_CONTEXT: Final = 2**24


def add_models_parser(commands: Any) -> None:
    """Add ``models`` to the parser's commands."""
    models = commands.add_parser(
        "models",
        help="all models: list, memory, pull, import, remove",
        description="Which models there are, what they need, and how they get here and away. "
        "With no command: the list.",
    )
    verbs = models.add_subparsers(dest="verb", metavar="COMMAND")
    verbs.add_parser("list", help="the catalogue, the hub's cache, and what was imported")
    memory = verbs.add_parser("memory", help="parameters, and the memory that each precision takes")
    memory.add_argument(
        "model", help="any reference, or a number of parameters: 7B", metavar="MODEL"
    )
    memory.add_argument(
        "--context", metavar="N", default="", help="window in tokens; 8192 when not given"
    )
    pull = verbs.add_parser(
        "pull", help="download a model from the hub; goes on where it was broken off"
    )
    pull.add_argument("model", metavar="NAME", help="a name of the catalogue, or a hub id")
    importing = verbs.add_parser("import", help="make a folder or a GGUF file known by a name")
    importing.add_argument("path", metavar="PATH", help="a model folder, or a .gguf file")
    importing.add_argument("--name", default="", help="what to call it; its file's name otherwise")
    remove = verbs.add_parser("remove", help="delete a model, and say how much space is free now")
    remove.add_argument("model", metavar="NAME", help="as it is listed")
    allow = verbs.add_parser(
        "allow-code", help="let one model run program code of its own, or no longer (--revoke)"
    )
    allow.add_argument("model", metavar="MODEL", help="the reference that it is loaded by")
    allow.add_argument("--revoke", action="store_true", help="no longer")
    add_json_flags(models, verbs.choices.values())


def run_models(options: argparse.Namespace) -> int:
    """Carry out a ``models`` command; returns the exit status."""
    match options.verb:
        case "memory":
            from chatbot.commands.models.memory import memory_lines, memory_report

            report = memory_report(clean_line(options.model), _context(options.context))
            _print(report, memory_lines(report), as_json=options.json)
        case "pull":
            from chatbot.commands.models.getting import pull_report

            report = pull_report(clean_line(options.model))
            _print(report, [f"{report['name']}: {report['folder']}"], as_json=options.json)
        case "import":
            import asyncio

            from chatbot.commands.models.getting import import_report

            report = asyncio.run(import_report(Path(options.path), options.name))
            line = f"{report['name']} is {report['path']}; use it with: -m {report['name']}"
            _print(report, [line], as_json=options.json)
        case "remove":
            _remove(clean_line(options.model), as_json=options.json)
        case "allow-code":
            _allow_code(clean_line(options.model), is_allowed=not options.revoke)
        case _:
            from chatbot.commands.models.listing import list_lines, list_report

            report = list_report()
            _print(report, list_lines(report), as_json=options.json)
    return 0


def _print(report: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        print_json(report)
    else:
        for line in lines:
            print(line)
    sys.stdout.flush()


def _remove(model: str, *, as_json: bool) -> None:
    from chatbot.models.removing import remove
    from chatbot.wording import size

    removed = remove(model)
    report = {"name": model, "freed_bytes": removed.freed_bytes, "note": removed.note}
    line = f"{model}: {size(removed.freed_bytes)} are free now. {removed.note}"
    _print(report, [line.strip()], as_json=as_json)


def _allow_code(model: str, *, is_allowed: bool) -> None:
    from chatbot.config import save_allow_code
    from chatbot.models.references import resolve
    from chatbot.paths import config_file

    try:
        place = resolve(model).place
    except ModelError:
        if is_allowed:  # nothing is allowed by a slip of the pen
            raise
        place = model
    if is_allowed and place.endswith("@"):
        raise ModelError(
            f"{model} is not on this machine, so that nobody can say what you allow; first run: "
            f"chatbot models pull {model}"
        )
    save_allow_code(place, is_allowed=is_allowed, file=config_file())
    print(
        f"{place} may run program code of its own from the next load on."
        if is_allowed
        else f"{model} may not run program code of its own."
    )


def _context(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_CONTEXT:
        raise SettingError(f"--context must be a whole number from 1 to {_MAX_CONTEXT}.")
    return int(text)
