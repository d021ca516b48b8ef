"""The process that keeps one MCP server: ``python -m chatbot.tools.mcp``.

When the client goes away, the server is killed with all that it started: a server that hangs
would not end by itself.
"""

import asyncio
import os
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from chatbot.tools.limits import limit_memory
from chatbot.tools.mcp.protocol import (
    LOST,
    CallTool,
    Cancel,
    Connect,
    Connected,
    McpRequest,
    ToolCalled,
)
from chatbot.worker.protocol import Failed
from chatbot.worker.server import Channel

if TYPE_CHECKING:
    from chatbot.tools.mcp.keeper import Keeper


def main() -> None:
    """Serve until the client goes away."""
    limit_memory()
    channel: Channel[McpRequest] = Channel(McpRequest)
    try:
        asyncio.run(_serve(channel))
    finally:
        end_at_once()


def end_at_once() -> None:
    """Kill whatever this process started, and end."""
    import psutil

    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    os._exit(0)


async def _serve(channel: Channel[McpRequest]) -> None:
    from chatbot.tools.mcp.keeper import Keeper

    keeper = Keeper()
    loop = asyncio.get_running_loop()
    requests: asyncio.Queue[McpRequest] = asyncio.Queue()

    def read() -> None:
        for request in channel.requests():
            loop.call_soon_threadsafe(requests.put_nowait, request)
        end_at_once()

    threading.Thread(target=read, daemon=True).start()
    running: dict[int, asyncio.Task[None]] = {}
    while True:
        request = await requests.get()
        match request:
            case Cancel():
                if task := running.get(request.target):
                    task.cancel()
            case Connect():
                # Here and not in a task: the SDK's scopes must be left by who entered them.
                await _answer(channel, keeper, request)
            case CallTool():
                task = asyncio.create_task(_answer(channel, keeper, request))
                running[request.id] = task
                task.add_done_callback(partial(_forget, running, request.id))


def _forget(running: dict[int, asyncio.Task[None]], request_id: int, _: object) -> None:
    running.pop(request_id, None)


async def _answer(channel: Channel[McpRequest], keeper: "Keeper", request: McpRequest) -> None:
    """Carry out one request; every end of it is an event."""
    from chatbot.errors import ToolError

    try:
        if isinstance(request, Connect):
            tools = await keeper.connect(request)
            channel.send(Connected(request_id=request.id, tools=tools))
        elif isinstance(request, CallTool):
            text, is_error = await keeper.call(request)
            channel.send(ToolCalled(request_id=request.id, text=text, is_error=is_error))
    except ToolError as error:
        kind = getattr(error, "kind", "")
        channel.send(Failed(request_id=request.id, message=str(error), kind=kind))
    except asyncio.CancelledError:
        # Nobody listens to what they cancelled; else the SDK did, when the connection broke.
        channel.send(Failed(request_id=request.id, message="It was cancelled.", kind=LOST))


if __name__ == "__main__":
    main()
