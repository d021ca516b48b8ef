"""Makes a server's schema one that is safe to hand on. Only in the process that keeps the server:
what a server makes of its schema may keep a check busy for minutes, and is killed with it.
"""

from typing import Any, Final

import msgspec

from chatbot.errors import ToolError
from chatbot.tools.json_text import cleaned
from chatbot.tools.mcp.protocol import RemoteTool
from chatbot.wording import memory

MAX_SCHEMA_BYTES: Final = 32 * 1024

_LEFT_OUT: Final = frozenset({"pattern", "patternProperties", "propertyNames", "format", "$id"})
"""Keywords that are taken out: they speak of expressions, in a dialect that a grammar over the
schema may not know, or move what a reference means. The server checks its input itself.
Titles go as well, for the sake of the prompt's length."""

_REFERENCES: Final = frozenset({"$ref", "$dynamicRef"})

_NO_SCHEMA: Final = "its parameters are described by no JSON schema."


def with_safe_parameters(tool: RemoteTool) -> RemoteTool:
    """The tool with a schema that can be handed on, or with the problem that it has none."""
    try:
        return msgspec.structs.replace(tool, parameters=_parameters(tool.parameters))
    except RecursionError:
        problem = _NO_SCHEMA
    except ToolError as error:
        problem = str(error)
    return msgspec.structs.replace(tool, parameters={}, problem=problem)


def _parameters(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that is valid, not too large, and refers to nothing elsewhere.

    Raises:
        ToolError: it is too large, or no schema.
        RecursionError: it is nested without end.
    """
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator

    try:
        written = msgspec.json.encode(schema)
        # As it is handed on: an infinite number becomes null, which may be valid nowhere.
        schema = msgspec.json.decode(written)
    except (TypeError, ValueError, OverflowError) as error:
        raise ToolError(_NO_SCHEMA) from error
    if len(written) > MAX_SCHEMA_BYTES:
        raise ToolError(f"the schema of its parameters exceeds {memory(MAX_SCHEMA_BYTES)}.")
    if schema.get("type", "object") != "object":
        raise ToolError("its parameters are no object.")
    if not all(isinstance(v, dict) for v in _properties(schema).values()):
        raise ToolError(_NO_SCHEMA)
    harmless: dict[str, Any] = cleaned(_harmless(schema, is_names=False))
    safe = {"properties": {}, "required": [], **harmless, "type": "object"}
    try:
        Draft202012Validator.check_schema(safe)
    except SchemaError as error:
        raise ToolError("its parameters are described by no valid JSON schema.") from error
    return safe


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise ToolError(_NO_SCHEMA)
    return properties


def _harmless(value: Any, *, is_names: bool) -> Any:
    """``value`` without what is left out; where ``is_names``, its keys are no keywords."""
    if isinstance(value, list):
        return [_harmless(item, is_names=False) for item in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, item in value.items():
        if not is_names and (key in _LEFT_OUT or (key == "title" and isinstance(item, str))):
            continue
        if key in _REFERENCES and not str(item).startswith("#"):
            raise ToolError("its schema refers to another place.")
        names = not is_names and key in ("properties", "$defs", "definitions")
        out[key] = _harmless(item, is_names=names)
    return out
