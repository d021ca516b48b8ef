"""What config.toml says of tools: read with every problem named."""

import msgspec

from chatbot.tools.values import Policy


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How an MCP server is reached: by a command, or by an address."""

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    trusts_annotations: bool = False


class ToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which tools are on, and what the user allows them."""

    switched: dict[str, bool] = {}
    policies: dict[str, Policy] = {}
    always: dict[str, str] = {}
    servers: tuple[ServerSpec, ...] = ()
    problems: tuple[str, ...] = ()
