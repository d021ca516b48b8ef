"""Turns a server's tools into ours: names that cannot clash or mislead, and the worst assumed
of what they do.

Their schemas come checked; knows nothing of what is in one.
"""

import hashlib
import re
from collections.abc import Iterable

import msgspec

from chatbot.errors import ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.definitions import MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH
from chatbot.tools.mcp.protocol import RemoteTool
from chatbot.tools.settings import ServerSpec
from chatbot.tools.values import ToolDefinition


def definitions_of(
    spec: ServerSpec, tools: Iterable[RemoteTool]
) -> tuple[dict[str, tuple[ToolDefinition, RemoteTool]], tuple[str, ...]]:
    """The tools of a server by our names for them, and a sentence for each that is refused."""
    found: dict[str, tuple[ToolDefinition, RemoteTool]] = {}
    problems = []
    for tool in tools:
        try:
            if tool.problem:
                raise ToolError(tool.problem)
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
        parameters=tool.parameters,
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
