"""An MCP server as the program sees it: started when needed, listed, called, survived.

Imports nothing of the SDK. Knows nothing of which calls are allowed.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from chatbot.errors import ToolChangedError, ToolError, WorkerError
from chatbot.terminal_text import clean_line
from chatbot.tools.json_text import canonical
from chatbot.tools.mcp.naming import definitions_of
from chatbot.tools.mcp.protocol import (
    CHANGED,
    LOST,
    CallTool,
    Cancel,
    Connect,
    Connected,
    McpEvent,
    RemoteTool,
    ToolCalled,
)
from chatbot.tools.settings import ServerSpec
from chatbot.tools.values import TIME_LIMIT_SECONDS, ServerInfo, ToolDefinition
from chatbot.worker.client import WorkerProcess
from chatbot.worker.protocol import Failed

MCP_COMMAND: Final = (sys.executable, "-P", "-m", "chatbot.tools.mcp")

CONNECT_SECONDS: Final = 30.0
"""To start and list a server; some download themselves first."""
_GRACE_SECONDS: Final = 1.0
"""For the keeper to end by itself, which takes it no time unless it hangs."""


class McpServer:
    """One server of the settings."""

    def __init__(
        self,
        spec: ServerSpec,
        log_dir: Path,
        *,
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            spec: how it is reached.
            log_dir: takes what the server prints beside the protocol.
            time_limit_seconds: for one call, beyond which the server is killed.
            connect_seconds: to start and list it.
            on_change: called when its state or its tools change.
        """
        self.spec = spec
        self.info = ServerInfo(name=spec.name)
        self.problems: tuple[str, ...] = ()
        safe_name = "".join(c if c.isalnum() else "_" for c in spec.name)
        self._log_file = log_dir / f"mcp-{safe_name}.log"
        self._time_limit_seconds = time_limit_seconds
        self._connect_seconds = connect_seconds
        self._on_change = on_change
        self._tools: dict[str, tuple[ToolDefinition, RemoteTool]] = {}
        self._process: WorkerProcess[McpEvent] | None = None
        self._starting = asyncio.Lock()

    @property
    def definitions(self) -> tuple[ToolDefinition, ...]:
        """Its tools, as it last listed them."""
        return tuple(definition for definition, _ in self._tools.values())

    @property
    def pid(self) -> int | None:
        """Of the process that keeps it, while there is one."""
        return self._process.pid if self._process is not None else None

    async def connect(self) -> None:
        """Have it running and its tools listed. What fails is told by ``info``."""
        async with self._starting:
            with suppress(ToolError):
                await self._list()

    async def call(self, definition: ToolDefinition, arguments: dict[str, Any]) -> str:
        """What one of its tools returns. A server that died is started anew first.

        Raises:
            ToolChangedError: the tool is not the one any more that ``definition`` says; the
                tools are listed anew.
            ToolError: it failed, took too long or died.
        """
        async with self._starting:
            if self._process is None or not self._process.is_alive:
                await self._list()
        current = self._tools.get(definition.name)
        if current is None or current[0].identity != definition.identity:
            raise ToolChangedError(f"The server changed {definition.name}; call it again.")
        request = CallTool(
            name=current[1].name,
            fingerprint=current[1].fingerprint,
            arguments=canonical(arguments),
        )
        event = await self._ask(request, self._time_limit_seconds)
        if isinstance(event, Failed):
            if event.kind == CHANGED:
                await self.connect()
                raise ToolChangedError(f"The server changed {definition.name}; call it again.")
            if event.kind == LOST:
                await self._fail("it died or was closed")
                raise ToolError(f"The server {self.spec.name} died during the call.")
            raise ToolError(clean_line(f"{self.spec.name}: {event.message}", 400))
        if not isinstance(event, ToolCalled):
            raise ToolError(f"{self.spec.name} answered something else; try once more.")
        if event.is_error:
            raise ToolError(clean_line(event.text, 1000) or "It failed.")
        return event.text

    async def close(self) -> None:
        """End the server."""
        process, self._process = self._process, None
        if process is not None:
            await _end(process)

    async def _list(self) -> None:
        """Start it where it does not run, and list its tools.

        Raises:
            ToolError: it cannot be started or reached.
        """
        self._set(ServerInfo(name=self.spec.name))
        try:
            if self._process is not None and not self._process.is_alive:
                await self.close()
            if self._process is None:
                self._process = await WorkerProcess.start(
                    MCP_COMMAND, McpEvent, name=self.spec.name, log_file=self._log_file
                )
            spec = self.spec
            request = Connect(
                command=os.path.expanduser(spec.command),
                args=spec.args,
                env=spec.env,
                cwd=os.path.expanduser(spec.cwd),
                url=spec.url,
                headers=spec.headers,
            )
            event = await self._ask(request, self._connect_seconds)
            if isinstance(event, Failed):
                raise ToolError(event.message)
            if not isinstance(event, Connected):
                raise ToolError("it answered something else")
        except (ToolError, WorkerError) as error:
            await self.close()
            reason = clean_line(str(error), 300).rstrip(".")
            sentence = f"The server {self.spec.name} cannot be used: {reason}."
            self._tools = {}
            self._set(ServerInfo(name=self.spec.name, state="failed", error=sentence))
            raise ToolError(sentence) from error
        self._tools, self.problems = definitions_of(spec, event.tools)
        self._set(ServerInfo(name=spec.name, state="ready", num_tools=len(self._tools)))

    async def _ask(self, request: Connect | CallTool, seconds: float) -> McpEvent:
        """The answer to a request.

        Raises:
            ToolError: there is none in time, and the server is killed; or it has died.
        """
        process = self._process
        if process is None:
            raise ToolError(f"The server {self.spec.name} is not running.")
        try:
            call = process.call(request)
        except WorkerError as error:
            raise ToolError(f"The server {self.spec.name} has died; call it again.") from error
        try:
            async with asyncio.timeout(seconds):
                async for event in call:
                    return event
        except TimeoutError as error:
            await self._fail(f"it did not answer in {seconds:g} seconds and was stopped")
            raise ToolError(
                f"The server {self.spec.name} did not answer in {seconds:g} seconds and was "
                "stopped."
            ) from error
        except WorkerError as error:
            await self._fail("its process died")
            raise ToolError(f"The server {self.spec.name} died during the call.") from error
        except asyncio.CancelledError:
            with suppress(WorkerError):
                process.send(Cancel(target=call.request_id))
            raise
        raise ToolError(f"The server {self.spec.name} gave no answer.")

    async def _fail(self, reason: str) -> None:
        await self.close()
        sentence = f"The server {self.spec.name} is gone: {reason}; the next call starts it anew."
        self._set(msgspec.structs.replace(self.info, state="failed", error=sentence))

    def _set(self, info: ServerInfo) -> None:
        if info != self.info:
            self.info = info
            self._on_change()


async def _end(process: WorkerProcess[McpEvent]) -> None:
    """End the keeper and its server; one that hangs is killed with all it started."""
    import psutil

    try:
        await asyncio.wait_for(process.stop(), _GRACE_SECONDS)
    except TimeoutError:
        with suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    child.kill()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.stop(), _GRACE_SECONDS)
