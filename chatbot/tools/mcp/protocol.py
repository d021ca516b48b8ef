"""What the process that keeps an MCP server can be asked, and what it answers."""

from typing import Any, ClassVar

import msgspec

from chatbot.worker.protocol import Event, Failed, Request


class RemoteTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as its server describes it; of it only the schema is cleaned, and nothing is to be
    believed.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    says_read_only: bool = False
    says_closed_world: bool = False
    fingerprint: str = ""
    """Changes with anything that the server says of the tool."""
    problem: str = ""
    """Why it cannot be used, as the end of a sentence; else empty."""


class Connect(Request, frozen=True, kw_only=True):
    """Start or reach the server, and list its tools. Answered by Connected."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = msgspec.field(default_factory=dict)
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class CallTool(Request, frozen=True, kw_only=True):
    """Call a tool. Answered by ToolCalled, or by Failed.

    The tools are listed again before: where the tool is not the one that was approved any
    more, it is not called, and the kind of the failure is ``changed``.
    """

    name: str
    fingerprint: str
    arguments: str
    """A JSON object."""


class Cancel(Request, frozen=True, kw_only=True):
    """Give up the call with this id; has no answer of its own."""

    target: int


class Connected(Event, frozen=True, kw_only=True):
    """The server is there."""

    is_last: ClassVar[bool] = True

    tools: tuple[RemoteTool, ...]


class ToolCalled(Event, frozen=True, kw_only=True):
    """What the server answered, as text, cleaned and cut to the limit."""

    is_last: ClassVar[bool] = True

    text: str
    is_error: bool = False


McpRequest = Connect | CallTool | Cancel
McpEvent = Connected | ToolCalled | Failed

CHANGED = "changed"
"""Kind of a failure: the tool is not the one that was approved."""
LOST = "lost"
"""Kind of a failure: the connection with the server is gone."""
