"""What config.toml says of tools: read with every problem named, written without losing comments.

Each tool has a table of its own, and MCP servers are named in the usual shape::

    [tools.get_weather]
    on = true
    policy = "ask"        # or "allow" or "deny"

    [mcpServers.files]
    command = "npx"
    args = ["-y", "@modelcontextprotocol/server-filesystem", "notes"]

    [mcpServers.tickets]
    url = "https://example.org/mcp"
    headers = { Authorization = "Bearer …" }

Knows nothing of what a tool does.
"""

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from chatbot.config import edit_document, read_document
from chatbot.terminal_text import clean_line
from chatbot.tools.values import Policy

_POLICIES: Final = get_args(Policy)


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How an MCP server is reached: by a command that starts it, or by its address."""

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = msgspec.field(default_factory=dict)
    """Given to the server beside a short list of harmless variables; nothing else is."""
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    trust_annotations: bool = False
    """The user vouches for what the server says of its tools, such as that they only read."""


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What the user chose for one tool; None where nothing was chosen."""

    on: bool | None = None
    policy: Policy | None = None
    always: str = ""
    """Identity of the definition that was allowed for always."""


class ToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which tools are on, what the user allows them, and which servers there are."""

    choices: dict[str, ToolChoice] = msgspec.field(default_factory=dict)
    servers: tuple[ServerSpec, ...] = ()
    problems: tuple[str, ...] = ()
    """One sentence for each entry that was not used, for the user to read."""


def load_tool_settings(file: Path) -> ToolSettings:
    """Read ``file``; what is missing keeps its default, what is wrong is named.

    A file that cannot be parsed yields the defaults without a word, because ``load_config``
    names it already.
    """
    try:
        document = tomllib.loads(read_document(file))
    except (OSError, ValueError, RecursionError):
        return ToolSettings()
    problems: list[str] = []
    choices = {}
    for name, table in _tables(document, "tools", file, problems):
        choices[name] = _choice(table, f"[tools.{name}] in {file}", problems)
    servers = []
    for name, table in _tables(document, "mcpServers", file, problems):
        if spec := _server(name, table, f"[mcpServers.{name}] in {file}", problems):
            servers.append(spec)
    return ToolSettings(choices=choices, servers=tuple(servers), problems=tuple(problems))


def _tables(
    document: dict[str, Any], key: str, file: Path, problems: list[str]
) -> list[tuple[str, dict[str, Any]]]:
    """The named tables under ``key``."""
    outer = document.get(key, {})
    if not isinstance(outer, dict):
        problems.append(f"{key} in {file} must be a table: write [{key}.NAME].")
        return []
    tables = []
    for name, table in outer.items():
        if isinstance(table, dict):
            tables.append((clean_line(name, 64), table))
        else:
            shown = clean_line(name, 64)
            problems.append(f"{shown} in {file} must be a table: write [{key}.{shown}].")
    return tables


def _choice(table: dict[str, Any], place: str, problems: list[str]) -> ToolChoice:
    on, policy, always = table.get("on"), table.get("policy"), table.get("always", "")
    if on is not None and not isinstance(on, bool):
        problems.append(f"on under {place} must be true or false.")
        on = None
    if policy is not None and policy not in _POLICIES:
        # What was meant to restrict must not widen: asking is the safe reading.
        problems.append(f"policy under {place} must be ask, allow or deny; ask is used.")
        policy = "ask"
    _name_unknown(table.keys() - {"on", "policy", "always"}, place, problems)
    return ToolChoice(on=on, policy=policy, always=always if isinstance(always, str) else "")


def _server(name: str, table: dict[str, Any], place: str, problems: list[str]) -> ServerSpec | None:
    if table.get("disabled") is True:
        return None
    known = {"command", "args", "env", "cwd", "url", "headers", "trust_annotations"}
    _name_unknown(table.keys() - known - {"type", "disabled"}, place, problems)
    try:
        spec = msgspec.convert(
            {k: v for k, v in table.items() if k in known} | {"name": name}, ServerSpec
        )
    except msgspec.ValidationError as error:
        problems.append(f"The server under {place} is not used: {clean_line(str(error))}.")
        return None
    if bool(spec.command) == bool(spec.url):
        problems.append(f"The server under {place} needs either a command or a url.")
        return None
    if spec.url and not spec.url.startswith(("https://", "http://")):
        problems.append(f"The url under {place} must begin with https:// or http://.")
        return None
    return spec


def _name_unknown(keys: Collection[str], place: str, problems: list[str]) -> None:
    problems += [f"{clean_line(key, 64)} under {place} is not known." for key in sorted(keys)]


def save_tool_choice(name: str, choice: ToolChoice, file: Path) -> None:
    """Write what was chosen for one tool into ``file``; all else there stays, comments too.

    Raises:
        ConfigError: the present file cannot be parsed, or the new one cannot be written.
    """
    import tomlkit

    entries = {"on": choice.on, "policy": choice.policy, "always": choice.always or None}

    def change(document: Any) -> None:
        if "tools" not in document:
            document["tools"] = tomlkit.table(is_super_table=True)
        tools = document["tools"]
        if name not in tools:
            tools[name] = tomlkit.table()
        table = tools[name]
        for key, value in entries.items():
            if value is not None:
                if table.get(key) != value:
                    table[key] = value
            elif key in table:
                del table[key]
        if not table:
            del tools[name]
        if not tools:
            del document["tools"]

    edit_document(file, change)
