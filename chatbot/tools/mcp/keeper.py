"""Keeps the connection with one MCP server, through the SDK. Only in a process of its own.

What the server sends is data: text is cleaned and cut, pictures and the like are named, and
its requests to us (for a model's answer, the user's input, folders) are refused, which is
what the SDK does where nobody takes them.
"""

import asyncio
import hashlib
import json
import sys
from contextlib import AsyncExitStack
from typing import Any, Final

import httpx2
import msgspec
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CONNECTION_CLOSED, CallToolResult, Implementation, Tool

from chatbot import __version__
from chatbot.errors import ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.json_text import canonical
from chatbot.tools.mcp.protocol import CHANGED, LOST, CallTool, Connect, RemoteTool
from chatbot.tools.mcp.schemas import with_safe_parameters
from chatbot.tools.results import cut
from chatbot.tools.values import MAX_RESULT_BYTES

MAX_TOOLS: Final = 128
_MAX_PAGES: Final = 20
"""Of a server's list; one that never ends is cut off."""


class ChangedError(ToolError):
    """The tool is not the one that was approved."""

    kind = CHANGED


class LostError(ToolError):
    """The connection with the server is gone."""

    kind = LOST


class Keeper:
    """One server, connected."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._client: Client | None = None

    async def connect(self, request: Connect) -> tuple[RemoteTool, ...]:
        """Start or reach the server and list its tools.

        Raises:
            ToolError: it cannot be started or reached; one sentence says why.
        """
        try:
            if self._client is None:
                client = Client(
                    self._transport(request),
                    client_info=Implementation(name="chatbot-glassbox", version=__version__),
                )
                self._client = await self._stack.enter_async_context(client)
            listed = await self._list()
        except (Exception, BaseExceptionGroup) as error:
            raise ToolError(f"it does not answer as an MCP server ({_reason(error)})") from error
        return tuple(map(with_safe_parameters, listed))

    def _transport(self, request: Connect) -> Any:
        if request.url:
            client = httpx2.AsyncClient(
                headers=request.headers, timeout=httpx2.Timeout(30, read=300)
            )
            return streamable_http_client(request.url, http_client=client)
        # The SDK gives it PATH, HOME and the like, and of our environment nothing else.
        parameters = StdioServerParameters(
            command=request.command,
            args=list(request.args),
            env=request.env or None,
            cwd=request.cwd or None,
        )
        return stdio_client(parameters, errlog=sys.stderr)

    async def call(self, request: CallTool) -> tuple[str, bool]:
        """Call a tool that is still what was approved.

        Returns:
            The result's text, and whether the server calls it an error.

        Raises:
            ChangedError: the tool is another now, or gone.
            LostError: the connection is gone.
            ToolError: the server failed.
        """
        if self._client is None:
            raise ToolError("The server is not connected.")
        try:
            tools = {tool.name: tool for tool in await self._list()}
            tool = tools.get(request.name)
            if tool is None or tool.fingerprint != request.fingerprint:
                raise ChangedError("The server changed this tool since it was listed.")
            result = await self._client.call_tool(request.name, json.loads(request.arguments))
        except ToolError:
            raise
        except MCPError as error:
            kind = LostError if error.code == CONNECTION_CLOSED else ToolError
            raise kind(f"The server failed ({_reason(error)}).") from error
        except (Exception, BaseExceptionGroup) as error:
            raise LostError(f"The server failed ({_reason(error)}).") from error
        return cut(as_text(result), MAX_RESULT_BYTES), result.is_error

    async def _list(self) -> tuple[RemoteTool, ...]:
        assert self._client is not None
        tools: list[RemoteTool] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await self._client.list_tools(cursor=cursor, cache_mode="refresh")
            tools += map(_remote_tool, page.tools)
            cursor = page.next_cursor
            if cursor is None or len(tools) >= MAX_TOOLS:
                break
        return tuple(tools[:MAX_TOOLS])


def _remote_tool(tool: Tool) -> RemoteTool:
    hints = tool.annotations
    said = RemoteTool(
        name=tool.name,
        description=tool.description or "",
        parameters=tool.input_schema,
        says_read_only=bool(hints and hints.read_only_hint),
        # Left out, it means an open world.
        says_closed_world=bool(hints and hints.open_world_hint is False),
    )
    content = canonical(msgspec.structs.asdict(said)).encode()
    return msgspec.structs.replace(said, fingerprint=hashlib.sha256(content).hexdigest())


def as_text(result: CallToolResult) -> str:
    """A result as the model reads it: its texts, and the names of what is no text."""
    parts = []
    for block in result.content:
        if block.type == "text":
            parts.append(block.text)
        elif block.type == "resource" and hasattr(block.resource, "text"):
            parts.append(str(block.resource.text))
        else:
            kind = getattr(block, "mime_type", None) or getattr(block, "uri", None) or "unknown"
            parts.append(f"[{block.type}, {clean_line(str(kind), 100)}, not shown]")
    if not parts and result.structured_content is not None:
        parts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return "\n".join(parts) or "Done."


def _reason(error: BaseException) -> str:
    """The innermost thing that went wrong, in a few words."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    if isinstance(error, FileNotFoundError):
        return f"there is no program {clean_line(str(error.filename), 80)}"
    if isinstance(error, asyncio.TimeoutError):
        return "it takes too long"
    text = clean_line(str(error), 160).rstrip(".")
    if isinstance(error, MCPError):
        return text or "it reports an error"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
