"""Checks a call's arguments against the tool's schema, and says in one sentence what is wrong.

Slips whose meaning is beyond doubt are put right rather than sent back, because each round
costs a small model a chance to get lost: ``"3"`` or ``3.0`` where an integer is wanted,
``"true"`` for a boolean, a number for a text, another case of one of the listed values, and
null for a parameter that can be left out. Everything else is an error. The user is shown, and
the tool is run with, what comes out of here.

A check may take for ever, since schemas and arguments may both be somebody else's: whoever
cannot wait asks ``is_short`` first. Knows nothing of processes.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from chatbot.errors import ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.values import ToolDefinition

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")

_ENDLESS: Final = frozenset(
    {
        "$ref",
        "$dynamicRef",
        "$recursiveRef",
        "pattern",
        "patternProperties",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
"""Keywords that look at one value more than once, or match an expression against it."""

_MAX_STEPS: Final = 10_000
"""Of a check that is short; a step takes a few microseconds."""

_LONG_TEXT: Final = 1000
"""Characters; a text counts once more for each so many, since an error quotes it."""


def is_short(definition: ToolDefinition, arguments: dict[str, Any]) -> bool:
    """Whether ``checked_arguments`` surely takes less than a tenth of a second.

    Without the keywords that are endless, no part of a schema meets a value more than once.
    """
    return (
        _ENDLESS.isdisjoint(_keys(definition.parameters))
        and _size(definition.parameters) * _size(arguments) <= _MAX_STEPS
    )


def checked_arguments(definition: ToolDefinition, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the tool is run with them.

    May take for ever; see ``is_short``.

    Raises:
        ToolError: they do not fit the schema, in one sentence for the model.
    """
    # A seventh of a second, and not needed before the first call.
    from jsonschema.exceptions import best_match
    from jsonschema.validators import Draft202012Validator
    from referencing import Registry

    properties = definition.parameters.get("properties", {})
    required = definition.parameters.get("required", [])
    settled = {}
    for name, value in arguments.items():
        schema = properties.get(name)
        if value is None and name not in required and not _takes(schema, "null"):
            continue
        settled[name] = _settled(value, schema) if isinstance(schema, dict) else value
    try:
        # An empty registry: a reference to another place is never followed.
        validator = Draft202012Validator(definition.parameters, registry=Registry())
        error = best_match(validator.iter_errors(settled))
    # What a schema of somebody else's can raise has no end: unknown types, wrong shapes, loops.
    except Exception as broken:
        raise ToolError(
            f"{definition.name} cannot be called, because its description is broken; "
            "leave it alone."
        ) from broken
    if error is not None:
        raise ToolError(clean_line(_sentence(definition, error), 400))
    return settled


def _keys(value: Any) -> Iterator[str]:
    """The keys in ``value``, whatever they mean where they are: a reference may lead anywhere."""
    if isinstance(value, dict):
        yield from value
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, dict | list) else ():
        yield from _keys(child)


def _size(value: Any) -> int:
    """How many values there are in ``value``, itself included."""
    if isinstance(value, dict):
        return 1 + sum(len(key) // _LONG_TEXT + _size(item) for key, item in value.items())
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    return 1 + len(value) // _LONG_TEXT if isinstance(value, str) else 1


def _takes(schema: Any, kind: str) -> bool:
    """Whether a parameter's schema names this type, by itself or as one of several."""
    if not isinstance(schema, dict):
        return False
    types = schema.get("type", [])
    named = [types] if isinstance(types, str) else types
    others = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
    return kind in named or any(_takes(other, kind) for other in others)


def _settled(value: Any, schema: dict[str, Any]) -> Any:
    """``value``, put right where only one thing can be meant."""
    if isinstance(value, float) and value.is_integer() and _takes(schema, "integer"):
        return int(value)
    if isinstance(value, str) and not _takes(schema, "string"):
        text = value.strip()
        if _takes(schema, "integer") and _INTEGER.fullmatch(text):
            return int(text)
        if _takes(schema, "number") and _NUMBER.fullmatch(text):
            return float(text)
        if _takes(schema, "boolean") and text.lower() in ("true", "false"):
            return text.lower() == "true"
    choices = schema.get("enum")
    if isinstance(value, str) and isinstance(choices, list) and value not in choices:
        same = [c for c in choices if isinstance(c, str) and c.lower() == value.strip().lower()]
        return same[0] if len(same) == 1 else value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    kinds = ("number", "integer")
    if is_number and _takes(schema, "string") and not any(_takes(schema, k) for k in kinds):
        return str(value)
    return value


def _sentence(definition: ToolDefinition, error: Any) -> str:
    """What is wrong, and what would be right."""
    name = definition.name
    properties = definition.parameters.get("properties", {})
    known = ", ".join(properties) or "none"
    where = ".".join(str(part) for part in error.absolute_path)
    at_top = not where
    if error.validator == "required" and at_top:
        missing = [n for n in error.validator_value if n not in error.instance]
        return f"{name} needs the argument {missing[0]}; its arguments are: {known}."
    if error.validator == "additionalProperties" and at_top:
        extra = [n for n in error.instance if n not in properties]
        return f"{name} has no argument {extra[0] if extra else '?'}; its arguments are: {known}."
    if error.validator == "type":
        wanted = error.validator_value
        wanted = wanted if isinstance(wanted, str) else " or ".join(map(str, wanted))
        return f"The argument {where} of {name} must be of the type {wanted}."
    if error.validator == "enum":
        choices = ", ".join(str(choice) for choice in error.validator_value)
        return f"The argument {where} of {name} must be one of: {choices}."
    return f"The argument {where or '(all)'} of {name} is wrong: {clean_line(error.message)}."
