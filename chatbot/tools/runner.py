"""Runs tools in processes of their own, one for each call, and kills those that run too long.
So too a check of arguments that may run too long.

Knows nothing of which calls are allowed.
"""

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from chatbot.errors import ToolError, WorkerError
from chatbot.terminal_text import clean
from chatbot.tools.json_text import canonical
from chatbot.tools.protocol import (
    ArgumentsChecked,
    CheckArguments,
    ListTools,
    RunTool,
    ToolEvent,
    ToolRan,
    ToolRequest,
    ToolsListed,
)
from chatbot.tools.results import cut
from chatbot.tools.values import MAX_RESULT_BYTES, TIME_LIMIT_SECONDS, ToolDefinition
from chatbot.worker.client import WorkerProcess
from chatbot.worker.protocol import Failed

# -P: a file called json.py in the folder that the program was started in is not taken for
# the library.
TOOL_COMMAND: Final = (sys.executable, "-P", "-m", "chatbot.tools")

_STOP_SECONDS: Final = 1.0


class ToolRunner:
    """Starts tool processes."""

    def __init__(
        self,
        log_dir: Path,
        user_file: Path,
        *,
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            log_dir: where ``tools.log`` takes what tools print.
            user_file: the user's own tools.
            time_limit_seconds: for one call, its process's start included.
        """
        self._log_file = log_dir / "tools.log"
        self._user_file = user_file
        self._time_limit_seconds = time_limit_seconds

    async def run(
        self,
        definition: ToolDefinition,
        arguments: dict[str, Any],
        max_result_bytes: int = MAX_RESULT_BYTES,
    ) -> str:
        """What a tool returns, as text.

        Cancelling this kills the process.

        Raises:
            ToolError: it failed, took too long or died; one sentence says which.
        """
        is_users = definition.origin == "user"
        request = RunTool(
            name=definition.name,
            arguments=canonical(arguments),
            user_file=str(self._user_file) if is_users else "",
            source_hash=definition.source_hash if is_users else "",
            max_bytes=max_result_bytes,
        )
        event = await self._ask(request, definition.name)
        if not isinstance(event, ToolRan):
            raise ToolError(f"{definition.name} answered something else; try once more.")
        # Once more on this side: the other one has run code that may have its own ideas.
        return cut(event.text, max_result_bytes)

    async def check(self, definition: ToolDefinition, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as the tool is run with them; see ``validation.checked_arguments``.

        Raises:
            ToolError: they do not fit the schema, or it takes too long to say.
        """
        # Their order is the one that the user is shown.
        request = CheckArguments(definition=definition, arguments=json.dumps(arguments))
        event = await self._ask(request, f"The check of {definition.name}'s arguments")
        if not isinstance(event, ArgumentsChecked):
            raise ToolError(f"{definition.name} could not be checked; try once more.")
        checked: dict[str, Any] = json.loads(event.arguments)
        return checked

    async def list_user_tools(self) -> ToolsListed:
        """What the user's file holds, problems included.

        Raises:
            ToolError: the file cannot be run to its end within the limits.
        """
        event = await self._ask(ListTools(user_file=str(self._user_file)), self._user_file.name)
        if not isinstance(event, ToolsListed):
            raise ToolError(f"{self._user_file.name} could not be listed; look at what it does.")
        return event

    async def _ask(self, request: ToolRequest, name: str) -> ToolEvent:
        """The answer of a process that is started for this request.

        Raises:
            ToolError: there is none, or it says that the request failed.
        """
        limit = self._time_limit_seconds
        process: WorkerProcess[ToolEvent] | None = None
        try:
            async with asyncio.timeout(limit):
                process = await WorkerProcess.start(
                    TOOL_COMMAND, ToolEvent, name="the tool", log_file=self._log_file
                )
                async for event in process.call(request):
                    if isinstance(event, Failed):
                        raise ToolError(clean(event.message))
                    return event
        except TimeoutError as error:
            raise ToolError(f"{name} was stopped after {limit:g} seconds.") from error
        except WorkerError as error:
            if process is None:
                raise ToolError(str(error)) from error
            raise ToolError(f"{name} ended before it had a result.") from error
        finally:
            if process is not None:
                await _kill(process)
        raise ToolError(f"{name} ended before it had a result.")


async def _kill(process: WorkerProcess[ToolEvent]) -> None:
    """End a process and whatever it started, at once."""
    # The group outlives its leader while a child of it runs.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # A child in a session of its own may hold the pipe open; it is not waited for.
    with suppress(TimeoutError):
        await asyncio.wait_for(process.stop(), _STOP_SECONDS)
