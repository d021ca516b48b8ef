"""Turns a server's tools into ours: names that cannot clash or mislead, schemas that cannot
harm, and the worst assumed of what they do.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from chatbot.errors import ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.definitions import MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH
from chatbot.tools.json_text import cleaned
from chatbot.tools.mcp.protocol import RemoteTool
from chatbot.tools.settings import ServerSpec
from chatbot.tools.values import ToolDefinition

MAX_SCHEMA_BYTES: Final = 32 * 1024

MAX_SCHEMA_NODES: Final = 20_000
"""Values in a schema once its references are followed. A few lines that each refer twice to the
one before are millions, and arguments are checked against them where keys are read."""

_DANGEROUS: Final = frozenset({"pattern", "patternProperties", "propertyNames", "format", "$id"})
"""Keywords that are taken out: an expression of the server's would be matched against in our
own process, where one that never ends hangs the chat. The server checks its input itself.
Titles go as well, for the sake of the prompt's length."""

_REFERENCES: Final = frozenset({"$ref", "$dynamicRef"})


def definitions_of(
    spec: ServerSpec, tools: Iterable[RemoteTool]
) -> tuple[dict[str, tuple[ToolDefinition, RemoteTool]], tuple[str, ...]]:
    """The tools of a server by our names for them, and a sentence for each that is refused."""
    found: dict[str, tuple[ToolDefinition, RemoteTool]] = {}
    problems = []
    for tool in tools:
        try:
            name = tool_name(spec.name, tool.name)
            if name in found:
                raise ToolError("another one has the same name.")
            found[name] = (_definition(spec, name, tool), tool)
        except ToolError as error:
            shown = clean_line(tool.name, 64)
            problems.append(f"{shown} of the server {spec.name} is not used: {error}")
    return found, tuple(problems)


def tool_name(server: str, tool: str) -> str:
    """``server__tool``, in the letters that every model takes, at most 64 of them.

    One that has to be shortened keeps a piece of its hash, so that two stay two.
    """
    name = f"{_plain(server)}__{_plain(tool)}"
    if len(name) <= MAX_NAME_LENGTH:
        return name
    digest = hashlib.sha256(f"{server}\n{tool}".encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME_LENGTH - 9]}_{digest}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", name) or "_"


def _definition(spec: ServerSpec, name: str, tool: RemoteTool) -> ToolDefinition:
    believes = spec.trust_annotations
    return ToolDefinition(
        name=name,
        description=clean_line(tool.description, MAX_DESCRIPTION_LENGTH) or tool_name("", name),
        parameters=_parameters(tool.parameters),
        # A call to a server elsewhere reaches the network by itself.
        reaches_network=not (believes and tool.says_closed_world) or bool(spec.url),
        writes=not (believes and tool.says_read_only),
        origin="mcp",
        server=spec.name,
        remote_name=tool.name,
        source_hash=start_hash(spec),
    )


def start_hash(spec: ServerSpec) -> str:
    """SHA-256 of how the server is reached; of secrets, which change, there is nothing in it."""
    how = msgspec.json.encode([spec.command, spec.args, spec.cwd, spec.url])
    return hashlib.sha256(how).hexdigest()


def _parameters(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that is safe to check against.

    Raises:
        ToolError: it is too large, also once its references are followed, or no schema.
    """
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator

    try:
        size = len(msgspec.json.encode(schema))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ToolError("its parameters are described by no JSON schema.") from error
    if size > MAX_SCHEMA_BYTES:
        raise ToolError(f"the schema of its parameters exceeds {MAX_SCHEMA_BYTES >> 10} KiB.")
    if schema.get("type", "object") != "object":
        raise ToolError("its parameters are no object.")
    if not all(isinstance(v, dict) for v in _properties(schema).values()):
        raise ToolError("its parameters are described by no JSON schema.")
    harmless: dict[str, Any] = cleaned(_harmless(schema, is_names=False))
    safe = {"properties": {}, "required": [], **harmless, "type": "object"}
    try:
        Draft202012Validator.check_schema(safe)
    except SchemaError as error:
        raise ToolError("its parameters are described by no valid JSON schema.") from error
    if not _is_small(safe):
        raise ToolError(
            "the schema of its parameters is too large once its references are followed."
        )
    return safe


def _is_small(schema: dict[str, Any]) -> bool:
    """Whether a schema stays within ``MAX_SCHEMA_NODES`` with its references followed.

    One that leads back to where it is reached from ends there: how often it is followed in a
    check, the arguments say.
    """
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
    num_nodes = 0
    waiting: list[tuple[Any, frozenset[int]]] = [(schema, frozenset({id(schema)}))]
    while waiting:
        node, above = waiting.pop()
        children = list(node.values()) if isinstance(node, dict) else node
        num_nodes += len(children)
        if num_nodes > MAX_SCHEMA_NODES:
            return False
        waiting += [(child, above) for child in children if isinstance(child, dict | list)]
        for key in _REFERENCES & node.keys() if isinstance(node, dict) else ():
            try:
                target = resolver.lookup(node[key]).contents
            # It leads nowhere, or is no reference but the value of a constant.
            except Exception:
                continue
            if isinstance(target, dict | list) and id(target) not in above:
                waiting.append((target, above | {id(target)}))
    return True


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise ToolError("its parameters are described by no JSON schema.")
    return properties


def _harmless(value: Any, *, is_names: bool) -> Any:
    """``value`` without the dangerous keywords; where ``is_names``, its keys are no keywords."""
    if isinstance(value, list):
        return [_harmless(item, is_names=False) for item in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, item in value.items():
        if not is_names and (key in _DANGEROUS or (key == "title" and isinstance(item, str))):
            continue
        if key in _REFERENCES and not str(item).startswith("#"):
            raise ToolError("its schema refers to another place.")
        names = not is_names and key in ("properties", "$defs", "definitions")
        out[key] = _harmless(item, is_names=names)
    return out
