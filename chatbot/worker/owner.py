"""One worker process for as long as a program wants one: started when it is needed, another one
when it died, none once it is closed. Knows no particular worker.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from chatbot.errors import WorkerError
from chatbot.worker.client import WorkerProcess
from chatbot.worker.protocol import Event

EventT = TypeVar("EventT", bound=Event)


class WorkerOwner(Generic[EventT]):
    """Starts a worker, follows it, and ends it."""

    def __init__(
        self,
        command: Sequence[str],
        event_type: Any,
        *,
        name: str,
        log_file: Path,
        on_start: Callable[[], None] = lambda: None,
        on_end: Callable[[WorkerError], None],
    ) -> None:
        """Prepare; nothing is started.

        Args:
            command: see ``WorkerProcess.start``, as for the next three.
            event_type: the union of the events that it sends.
            name: what the user knows it as.
            log_file: takes what it prints.
            on_start: called when a new process is there, before anything is asked of it.
            on_end: told how the present process ended, also while nothing was asked of it.
        """
        self._command = command
        self._event_type = event_type
        self._name = name
        self._log_file = log_file
        self._on_start = on_start
        self._on_end = on_end
        self._worker: WorkerProcess[EventT] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._is_closed = False

    @property
    def worker(self) -> WorkerProcess[EventT] | None:
        """The process that was started last; None before the first. It may have ended."""
        return self._worker

    @property
    def pid(self) -> int | None:
        """The process's number, while it runs."""
        return self._worker.pid if self._worker and self._worker.is_alive else None

    async def start(self) -> WorkerProcess[EventT]:
        """The running process, a new one where there is none.

        Raises:
            WorkerError: it cannot be started, or this is closed.
        """
        async with self._lock:
            if self._is_closed:
                raise WorkerError(
                    f"{self._name.capitalize()} was stopped, because the program ends."
                )
            if self._worker is None or not self._worker.is_alive:
                self._worker = await WorkerProcess.start(
                    self._command, self._event_type, name=self._name, log_file=self._log_file
                )
                self._watch = asyncio.create_task(self._report_end(self._worker))
                self._on_start()
            return self._worker

    async def close(self) -> None:
        """End the process; no other is started after it."""
        self._is_closed = True
        if self._watch:
            self._watch.cancel()
        # A start is waited for: asyncio hangs when a process that is being made is called off.
        async with self._lock:
            if self._worker:
                await self._worker.stop()

    async def _report_end(self, worker: WorkerProcess[EventT]) -> None:
        error = await worker.wait()
        if worker is self._worker:  # else another took its place before its pipe was closed
            self._on_end(error)
