"""Reading a prompt file: Markdown below a front matter in YAML.

A file looks like this::

    ---
    description: Sums up a text
    variables:
      input: The text to sum up
      length:
        description: How long
        default: three sentences
        choices: [one sentence, three sentences]
    settings:
      temperature: 0.3
    ---
    Sum up this text in {{ length }}:

    {{ input }}

The front matter is untrusted: no aliases (a few lines of which can stand for gigabytes), no
tags, every scalar a text, each key known and given once. Knows no folder and no face.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

from chatbot.conversation.prompt_rendering import EXAMPLES, check_template
from chatbot.conversation.prompt_template import (
    INPUT,
    Example,
    Kind,
    PromptTemplate,
    Variable,
    format_examples,
    parse_examples,
)
from chatbot.errors import ChatbotError, PromptError, SettingError
from chatbot.settings import SPECS, Settings, with_value
from chatbot.terminal_text import clean, clean_line
from chatbot.wording import memory

MAX_FILE_BYTES: Final = 64 * 1024
MAX_VARIABLES: Final = 20
MAX_CHOICES: Final = 50
MAX_EXAMPLES: Final = 50
MAX_DEPTH: Final = 8
"""Deepest nesting in the front matter; three levels are used."""

KEYS: Final = ("name", "description", "kind", "variables", "examples", "settings")
_VARIABLE_KEYS: Final = ("description", "default", "choices")
_EXAMPLE_KEYS: Final = ("input", "output")
SETTINGS: Final = tuple(spec.name for spec in SPECS if spec.is_sampling)
"""Settings that a prompt may have: those that say how its answer is written."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_VARIABLE: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")
_RESERVED: Final = frozenset(
    (
        *("and", "else", "false", "if", "in", "is", "loop", "none", "not", "or"),
        *("self", "super", "true", EXAMPLES),
    )
)
"""Names that mean something else in a template."""

_PARTS: Final = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)(.*)", re.DOTALL | re.MULTILINE)


def read_prompt(file: Path) -> PromptTemplate:
    """Read one prompt; its name is the file's, without the ending, unless it says another.

    Raises:
        PromptError: the file cannot be read or something in it is wrong; the text names both.
    """
    try:
        return _make_prompt(file, clean(_read(file)))
    except ChatbotError as error:
        place = clean_line(str(file), 300)
        raise PromptError(
            f"The prompt {place} is not used: {clean_line(str(error), 400)}"
        ) from error


def _read(file: Path) -> str:
    try:
        # Without blocking, because opening a pipe would wait for its other end.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise PromptError("it is not a regular file.")
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise PromptError(f"it cannot be read ({error.strerror}).") from error
    if len(content) > MAX_FILE_BYTES:
        raise PromptError(f"it is larger than {memory(MAX_FILE_BYTES)}.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError("it is not UTF-8 text.") from error


def _make_prompt(file: Path, text: str) -> PromptTemplate:
    parts = _PARTS.fullmatch(text)
    if parts is None:
        raise PromptError("it must begin with a front matter between two lines of ---.")
    entries = _mapping(_parse(parts[1]), "the front matter", KEYS)
    body = parts[2].strip()
    if not body:
        raise PromptError("there is no text below its front matter.")
    name = _text(entries.get("name", file.stem), "name")
    if not _NAME.fullmatch(name):
        raise PromptError("its name may hold a to z, 0 to 9 and hyphens only.")
    description = clean_line(_text(entries.get("description", ""), "description"))
    if not description:
        raise PromptError("description is missing.")
    kind = _kind(_text(entries.get("kind", "question"), "kind"))
    if kind == "persona" and "settings" in entries:
        raise PromptError("a persona has no settings: they are for the answer to a question.")
    variables = _variables(entries.get("variables", {}))
    if kind == "persona" and any(v.name == INPUT for v in variables):
        raise PromptError(f"a persona has no variable {INPUT!r}: that is the user's question.")
    examples = _examples(entries.get("examples", []))
    check_template(body, [v.name for v in variables], has_examples=bool(examples))
    return PromptTemplate(
        name=name,
        description=description,
        kind=kind,
        body=body,
        variables=variables,
        examples=examples,
        settings=_settings(entries.get("settings", {})),
        file=file,
    )


def _kind(text: str) -> Kind:
    for kind in get_args(Kind):
        if kind == text:
            return kind  # type: ignore[no-any-return]
    raise PromptError(f"kind must be {' or '.join(get_args(Kind))}.")


def _variables(entries: Any) -> tuple[Variable, ...]:
    table = _mapping(entries, "variables")
    if len(table) > MAX_VARIABLES:
        raise PromptError(f"it has more than {MAX_VARIABLES} variables.")
    variables = []
    for name, entry in table.items():
        if not _VARIABLE.fullmatch(name) or name in _RESERVED:
            raise PromptError(
                f"{clean_line(name, 40)!r} cannot be a variable: a name is made of a to z, 0 to 9 "
                "and _, begins with a letter, and is no word of the template's language."
            )
        variables.append(_variable(name, entry))
    return tuple(variables)


def _variable(name: str, entry: Any) -> Variable:
    """A variable: its description alone, or a mapping."""
    if isinstance(entry, str):
        return Variable(name=name, description=clean_line(entry))
    table = _mapping(entry, f"the variable {name}", _VARIABLE_KEYS)
    choices = tuple(
        clean_line(_text(choice, f"each choice of {name}"))
        for choice in _list(table.get("choices", []), f"choices of {name}", MAX_CHOICES)
    )
    default = table.get("default")
    if default is not None:
        default = _text(default, f"default of {name}").strip()
        if default and choices and default not in choices:
            raise PromptError(f"default of {name} must be one of its choices.")
    return Variable(
        name=name,
        description=clean_line(_text(table.get("description", ""), f"description of {name}")),
        default=default,
        choices=choices,
    )


def _examples(entries: Any) -> tuple[Example, ...]:
    examples = []
    for entry in _list(entries, "examples", MAX_EXAMPLES):
        table = _mapping(entry, "an example", _EXAMPLE_KEYS)
        if missing := [key for key in _EXAMPLE_KEYS if key not in table]:
            raise PromptError(f"an example has no {missing[0]}.")
        examples.append(Example(*(_text(table[key], key).strip() for key in _EXAMPLE_KEYS)))
    found = tuple(examples)
    if parse_examples(format_examples(found)) != found:
        raise PromptError(
            "an example's input may not hold =>, which is what examples are split at."
        )
    return found


def _settings(entries: Any) -> dict[str, str]:
    settings = {}
    for name, value in _mapping(entries, "settings").items():
        setting = name.lower().replace("-", "_")
        if setting not in SETTINGS:
            known = ", ".join(SETTINGS)
            raise PromptError(
                f"{clean_line(name, 40)!r} is no setting of a prompt; it may have {known}."
            )
        text = _text(value, name)
        try:
            with_value(Settings(), setting, text)
        except SettingError as error:
            raise PromptError(f"settings: {error}") from error
        settings[setting] = text.strip()
    return settings


def _parse(text: str) -> Any:
    """The front matter as mappings, lists and texts.

    Raises:
        PromptError: it is not YAML, or uses what a prompt has no need of.
    """
    import yaml

    try:
        # The tree of nodes, not objects: nothing is constructed, so no tag can do anything.
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        return {} if node is None else _plain(node, set(), 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" in line {mark.line + 2}" if mark else ""  # the first line is the ---
        raise PromptError(f"its front matter is not YAML: {error.problem}{line}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PromptError("its front matter is not YAML, or too deeply nested.") from error


def _plain(node: Any, seen: set[int], depth: int) -> Any:
    if id(node) in seen:
        raise PromptError("aliases (*) are not allowed in the front matter.")
    if depth > MAX_DEPTH:
        raise PromptError("its front matter is too deeply nested.")
    seen.add(id(node))
    match node.id:
        case "scalar":
            return clean(node.value)  # YAML's escapes can spell out control characters
        case "sequence":
            return [_plain(item, seen, depth + 1) for item in node.value]
    table: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = _plain(key_node, seen, depth + 1)
        if not isinstance(key, str):
            raise PromptError("a key of the front matter is not text.")
        if key in table:
            raise PromptError(f"{clean_line(key, 40)!r} stands twice in the front matter.")
        table[key] = _plain(value_node, seen, depth + 1)
    return table


def _mapping(value: Any, what: str, known: tuple[str, ...] = ()) -> Mapping[str, Any]:
    if value == "":
        value = {}  # a key with nothing after it
    if not isinstance(value, dict):
        raise PromptError(f"{what} must be a table of names and values.")
    for key in value:
        if known and key not in known:
            there_are = ", ".join(known)
            raise PromptError(
                f"{clean_line(key, 40)!r} is unknown in {what}; there are {there_are}."
            )
    return value


def _list(value: Any, what: str, longest: int) -> list[Any]:
    if value == "":
        value = []
    if not isinstance(value, list):
        raise PromptError(f"{what} must be a list.")
    if len(value) > longest:
        raise PromptError(f"{what}: more than {longest} are too many.")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        hint = " (quote a text that begins with {, [ or holds ': ')"
        raise PromptError(f"{what} must be text{hint}.")
    return value
