"""Makes a tool's definition out of a plain function: its name, docstring and type hints.

The schema is what msgspec makes of the hints, with references written out and the docstring's
words on each parameter added. Parameters may be ``str``, ``int``, ``float``, ``bool``, ``None``,
``Literal``, enumerations, ``list``, ``dict``, unions of these, and dataclasses or structs of
these; ``Annotated[int, msgspec.Meta(ge=1)]`` bounds them. Knows nothing of how a tool is run.
"""

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, Final

import msgspec

from chatbot.errors import ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.decorator import traits_of
from chatbot.tools.docstrings import parameter_descriptions, summary
from chatbot.tools.json_text import cleaned
from chatbot.tools.values import Origin, ToolDefinition

MAX_NAME_LENGTH: Final = 64
MAX_DESCRIPTION_LENGTH: Final = 1024
"""Characters; the model reads every description in every prompt."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_DEPTH: Final = 16


def is_name(name: str) -> bool:
    """Whether ``name`` is one that every model and protocol takes."""
    return _NAME.fullmatch(name) is not None


def define(
    function: Callable[..., object], *, origin: Origin = "built-in", source_hash: str = ""
) -> ToolDefinition:
    """The definition of a function.

    Raises:
        ToolError: the function lacks a docstring or a type hint, or has one that no JSON
            schema can say.
    """
    traits = traits_of(function)
    name = traits.name or getattr(function, "__name__", "")
    if not is_name(name):
        raise ToolError(f"name it with 1 to {MAX_NAME_LENGTH} ASCII letters, digits, _ or -.")
    description = clean_line(summary(function.__doc__), MAX_DESCRIPTION_LENGTH)
    if not description:
        raise ToolError("write a docstring that says what it does, for the model to read.")
    return ToolDefinition(
        name=name,
        description=description,
        parameters=schema_of(function),
        reaches_network=traits.reaches_network,
        writes=traits.writes,
        origin=origin,
        source_hash=source_hash,
    )


def hints_of(function: Callable[..., object]) -> dict[str, Any]:
    """The type of each parameter.

    Raises:
        ToolError: a hint is missing or means nothing, or there are parameters without a name.
    """
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters.values()
    except (NameError, TypeError, SyntaxError, AttributeError, ValueError) as error:
        raise ToolError(f"mend its type hints ({clean_line(str(error))}).") from error
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolError(
                f"give it named parameters only; {parameter.name} is positional or a collection."
            )
        if parameter.name not in hints:
            raise ToolError(f"give the parameter {parameter.name} a type hint, such as str.")
    return {parameter.name: hints[parameter.name] for parameter in parameters}


def schema_of(function: Callable[..., object]) -> dict[str, Any]:
    """JSON schema of an object that holds the function's arguments.

    Raises:
        ToolError: as ``define``.
    """
    hints = hints_of(function)
    words = parameter_descriptions(function.__doc__)
    properties: dict[str, Any] = {}
    required = []
    for name, parameter in inspect.signature(function).parameters.items():
        schema = _type_schema(name, hints[name])
        if words.get(name):
            schema["description"] = clean_line(words[name], MAX_DESCRIPTION_LENGTH)
        if parameter.default is parameter.empty:
            required.append(name)
        elif (default := _as_json(parameter.default)) is not msgspec.UNSET:
            schema["default"] = default
        properties[name] = schema
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _type_schema(name: str, hint: Any) -> dict[str, Any]:
    try:
        (schema,), components = msgspec.json.schema_components(
            [hint], ref_template="#/$defs/{name}"
        )
        written: dict[str, Any] = cleaned(_written_out(schema, components, 0))
        return written
    except (TypeError, ValueError, RecursionError, NotImplementedError) as error:
        raise ToolError(
            f"give the parameter {name} a type that JSON can hold, such as str, int, float, "
            "bool, list[str] or Literal."
        ) from error


def _written_out(schema: Any, components: dict[str, Any], depth: int) -> Any:
    """``schema`` with every reference replaced by what it refers to.

    Raises:
        RecursionError: a type contains itself.
    """
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(schema, list):
        return [_written_out(item, components, depth + 1) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        return _written_out(components[reference.removeprefix("#/$defs/")], components, depth + 1)
    out = {key: _written_out(value, components, depth + 1) for key, value in schema.items()}
    if isinstance(out.get("title"), str):
        del out["title"]  # a class's name tells the model nothing
    values = out.get("enum")
    # Grammars and small models do better when the type is said as well.
    if values and "type" not in out:
        if all(isinstance(value, str) for value in values):
            out["type"] = "string"
        elif all(isinstance(value, int) for value in values):
            out["type"] = "integer"
    if out.get("type") == "object" and "properties" in out:
        out.setdefault("additionalProperties", False)
    return out


def _as_json(value: Any) -> Any:
    """A default as JSON holds it; UNSET for one that JSON cannot hold."""
    try:
        return cleaned(msgspec.json.decode(msgspec.json.encode(value)))
    except (TypeError, ValueError, NotImplementedError, msgspec.MsgspecError, RecursionError):
        return msgspec.UNSET
