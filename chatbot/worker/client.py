"""The program's end of the pipe: one worker process, its requests and their events.

A worker that dies fails what was asked of it and nothing else; whoever wants to go on
starts another. Knows no particular worker.
"""

import asyncio
import contextlib
import itertools
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec

from chatbot.errors import WorkerError
from chatbot.paths import process_dir
from chatbot.terminal_text import clean_line
from chatbot.wording import memory
from chatbot.worker.log import keep_short, open_log
from chatbot.worker.protocol import MAX_LINE_BYTES, Event, Request, encode

EventT = TypeVar("EventT", bound=Event)

HUNG: Final = signal.SIGVTALRM
"""By which a worker has the system end it where a single step never does."""

LEAST_ADDRESS_SPACE: Final = 2 * 2**30
"""With less, libraries crash in the middle of being loaded."""

STOP_SECONDS: Final = 2.0
"""How long a worker may take to end by itself before it is killed."""


class WorkerProcess(Generic[EventT]):
    """A running worker process."""

    def __init__(
        self, process: asyncio.subprocess.Process, event_type: Any, name: str, log: FileIO
    ) -> None:
        """Use ``start`` instead."""
        self._process = process
        self._decoder = msgspec.json.Decoder(event_type)
        self._name = name
        self._ids = itertools.count(1)
        self._queues: dict[int, asyncio.Queue[EventT | WorkerError]] = {}
        self._end: WorkerError | None = None
        self._is_stopping = False
        self._reader = asyncio.create_task(self._read())
        self._log_keeper = asyncio.create_task(keep_short(log))

    @classmethod
    async def start(
        cls, command: Sequence[str], event_type: Any, *, name: str, log_file: Path
    ) -> "WorkerProcess[EventT]":
        """Start ``command``; what it prints beside the protocol goes to the end of ``log_file``.

        Args:
            command: the program and its arguments.
            event_type: the union of the event structs that this worker sends.
            name: what the user knows the worker as: ``the engine``.
            log_file: may be written by workers of several running programs at once. One that is
                long begins anew, and the old one is kept as ``engine.log.old``.

        Raises:
            WorkerError: the program cannot be started.
        """
        space = resource.getrlimit(resource.RLIMIT_AS)[0]
        if space != resource.RLIM_INFINITY and space < LEAST_ADDRESS_SPACE:
            raise WorkerError(
                f"{name.capitalize()} needs more than the {memory(space)} of address space that a "
                f"process may have here; raise ulimit -v to {LEAST_ADDRESS_SPACE // 1024} or more."
            )
        try:
            with contextlib.ExitStack() as opened:
                log = opened.enter_context(open_log(log_file))
                began = time.strftime("%Y-%m-%d %H:%M:%S")
                with contextlib.suppress(OSError):  # a full disk is no reason to have no worker
                    log.write(f"--- {clean_line(name)}, started {began}\n".encode())
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    limit=MAX_LINE_BYTES,
                    cwd=process_dir(),
                    # Its own session: keys pressed in our terminal are not sent to it.
                    start_new_session=True,
                )
                opened.pop_all()  # it is closed when the process has ended
        except OSError as error:
            raise WorkerError(f"{name.capitalize()} could not be started: {error}.") from error
        return cls(process, event_type, name, log)

    @property
    def is_alive(self) -> bool:
        """Whether requests can still be sent."""
        return self._end is None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The process's number in the system."""
        return self._process.pid

    def send(self, request: Request) -> int:
        """Send a request and return its id, without waiting for anything.

        Raises:
            WorkerError: the process has ended.
        """
        if not self.is_alive or self._process.stdin is None:
            raise self._end or WorkerError(f"{self._name.capitalize()} is not running.")
        request_id = next(self._ids)
        self._process.stdin.write(encode(msgspec.structs.replace(request, id=request_id)))
        return request_id

    def call(self, request: Request) -> "Call[EventT]":
        """Send a request and return its stream of events.

        Raises:
            WorkerError: the process has ended.
        """
        request_id = self.send(request)
        queue: asyncio.Queue[EventT | WorkerError] = asyncio.Queue()
        self._queues[request_id] = queue
        return Call(request_id, queue, lambda: self._queues.pop(request_id, None))

    async def wait(self) -> WorkerError:
        """Wait until the process has ended, and say how it did."""
        await asyncio.shield(self._reader)
        return self._end or WorkerError(f"{self._name.capitalize()} has ended.")

    async def stop(self) -> None:
        """End the process: its input is closed, and if that does not do, it is killed."""
        self._is_stopping = True
        if self._process.returncode is None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
            except TimeoutError:
                self._kill()
        await asyncio.shield(self._reader)

    def _kill(self) -> None:
        """Kill the process and its children, which would else hold its output open."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def _read(self) -> None:
        """Hand each event to whoever asked; at the end, tell all of them how it ended."""
        assert self._process.stdout is not None
        reason = ""
        try:
            async for line in self._process.stdout:
                event = self._decoder.decode(line)
                if queue := self._queues.get(event.request_id):
                    queue.put_nowait(event)
        except (ValueError, msgspec.MsgspecError) as error:
            reason = f"sent something unreadable ({clean_line(str(error))})"
            self._kill()
        status = await self._process.wait()
        self._log_keeper.cancel()
        if self._is_stopping:
            reason = "was stopped"
        remedy = "try again, and a new one is started"
        if status == -HUNG and not reason:
            remedy = "use another model or adapter"
        self._end = WorkerError(
            f"{self._name.capitalize()} {reason or describe_exit(status)}; {remedy}."
        )
        for queue in self._queues.values():
            queue.put_nowait(self._end)
        await asyncio.wait([self._log_keeper])  # whoever waits for the end finds the log cut


class Call(Generic[EventT]):
    """The events of one request, up to its last one."""

    def __init__(
        self, request_id: int, queue: "asyncio.Queue[EventT | WorkerError]", on_end: Any
    ) -> None:
        self.request_id = request_id
        self._queue = queue
        self._on_end = on_end

    async def __aiter__(self) -> AsyncIterator[EventT]:
        """Yield the events.

        Raises:
            WorkerError: the process ended before the last one.
        """
        try:
            while True:
                event = await self._queue.get()
                if isinstance(event, WorkerError):
                    raise event
                yield event
                if event.is_last:
                    return
        finally:
            self._on_end()


def describe_exit(status: int) -> str:
    """How a process ended, in words: ``was killed (SIGKILL)``."""
    if status == -signal.SIGKILL:
        return "was killed (SIGKILL; systems do that when memory runs out)"
    if status == -HUNG:
        return "was ended because a file of the model (template, tokenizer, adapter) hung it"
    if status < 0:
        try:
            return f"crashed ({signal.Signals(-status).name})"
        except ValueError:
            return f"crashed (signal {-status})"
    return f"ended unexpectedly (exit status {status})"
