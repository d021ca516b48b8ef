"""``chatbot prompts``: what is in the prompt library.

The JSON forms are documented in the manual; their keys are a promise.
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from chatbot.commands.scripting import add_json_flags, print_json

if TYPE_CHECKING:  # not needed for --help, and not free
    from chatbot.conversation.prompt_library import PromptLibrary
    from chatbot.conversation.prompt_template import PromptTemplate, Variable


def add_prompts_parser(commands: Any) -> None:
    """Add ``prompts`` and its own commands to the parser's."""
    prompts = commands.add_parser(
        "prompts",
        help="the prompt library",
        description="What is in the prompt library. With no command: the list.",
    )
    listing = prompts.add_subparsers(dest="listing", metavar="COMMAND")
    listing.add_parser("list", help="all prompts, with what they do")
    one = listing.add_parser("show", help="one prompt: its variables, settings and text")
    one.add_argument("name", help="the prompt's name")
    add_json_flags(prompts, listing.choices.values())


def run_prompts(name: str, *, as_json: bool) -> int:
    """Show the prompt called ``name``, or list them all; returns the exit status.

    Raises:
        PromptUsageError: there is no such prompt.
    """
    from chatbot.conversation.prompt_library import load_library

    library = load_library()
    for problem in library.problems:
        print(problem, file=sys.stderr)
    if as_json:
        report = as_report(library.get(name)) if name else list_report(library)
        print_json(report)
    else:
        lines = _one(library.get(name)) if name else _all(library)
        sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return 0


def list_report(library: "PromptLibrary") -> dict[str, Any]:
    """The JSON object for the whole library."""
    keys = ("name", "kind", "description", "source", "file")
    prompts = [
        {key: value for key, value in as_report(prompt).items() if key in keys}
        for prompt in library.prompts.values()
    ]
    return {"prompts": prompts, "problems": list(library.problems)}


def as_report(prompt: "PromptTemplate") -> dict[str, Any]:
    """The JSON object for one prompt."""
    return {
        "name": prompt.name,
        "kind": prompt.kind,
        "description": prompt.description,
        "source": _source(prompt),
        "file": str(prompt.file),
        "variables": [
            {**msgspec.structs.asdict(variable), "required": variable.is_required}
            for variable in prompt.variables
        ],
        "examples": [msgspec.structs.asdict(example) for example in prompt.examples],
        "settings": dict(prompt.settings),
        "template": prompt.body,
    }


def _source(prompt: "PromptTemplate") -> str:
    from chatbot.conversation.prompt_library import is_own

    return "user" if is_own(prompt) else "shipped"


def _all(library: "PromptLibrary") -> Iterator[str]:
    width = max((len(name) for name in library.prompts), default=0)
    for prompt in library.prompts.values():
        own = " (yours)" if _source(prompt) == "user" else ""
        yield f"{prompt.name:<{width}}  {prompt.kind:<8}  {prompt.description}{own}"


def _one(prompt: "PromptTemplate") -> Iterator[str]:
    yield f"{prompt.name}: {prompt.description}"
    yield f"A {prompt.kind}, {_source(prompt)}: {prompt.file}"
    if prompt.fields:
        yield "\nVariables:"
        width = max(len(variable.name) for variable in prompt.fields)
        for variable in prompt.fields:
            yield f"  {variable.name:<{width}}  {_about(variable)}"
    if prompt.settings:
        settings = ", ".join(f"{name} {value}" for name, value in prompt.settings.items())
        yield f"\nFor its answer alone: {settings}"
    yield f"\n{prompt.body}"


def _about(variable: "Variable") -> str:
    about = variable.description
    if variable.choices:
        about += f"; one of: {', '.join(variable.choices)}"
    if variable.default is None:
        about += " (required)"
    elif variable.default:
        lines = variable.default.splitlines()
        more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
        about += f" (else: {lines[0]}{more})"
    return about.removeprefix("; ").strip()
