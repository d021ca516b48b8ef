"""One reading process: how it is started, asked, waited for and ended. Knows no format."""

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from chatbot.errors import KnowledgeError
from chatbot.retrieval.documents.wire import Answer, Messages, UnreadableAnswerError

START_SECONDS: Final = 60.0
"""A cold start takes a tenth of a second, on a disk and a processor that are free."""

_ANSWER_PIPE_BYTES: Final = 2**20
"""How far the process works ahead, in bytes, where the system lets a pipe have a size."""
_READ_BYTES: Final = 2**18


class ProcessEndedError(Exception):
    """The process is gone."""

    def __init__(self, status: int) -> None:
        super().__init__(f"exit status {status}")
        self.status = status
        """Negative for the signal that ended it."""


class ReadingProcess:
    """A running process that reads files. It is up once ``wait_until_ready`` returns."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it.

        Raises:
            KnowledgeError: the system cannot.
        """
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise KnowledgeError(
                f"The reading process could not be started ({error.strerror}); try again."
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests = self._process.stdin.fileno()
        self._answers = self._process.stdout.fileno()
        if set_size := getattr(fcntl, "F_SETPIPE_SZ", None):
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._answers, set_size, _ANSWER_PIPE_BYTES)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._answers, selectors.EVENT_READ)
        self._messages = Messages()
        self._decoder = msgspec.msgpack.Decoder(Answer)

    @property
    def pid(self) -> int:
        """Its number in the system."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Wait for its first answer, which says that it is up.

        Raises:
            KnowledgeError: there is none, or not in time.
        """
        try:
            self.receive(START_SECONDS)
        except (ProcessEndedError, TimeoutError, UnreadableAnswerError) as error:
            raise KnowledgeError(
                f"The reading process could not be started ({_describe(error)}); "
                "run 'chatbot doctor' to see what is missing."
            ) from error

    def send(self, message: bytes) -> None:
        """Send a request; when the process is gone, ``receive`` says so."""
        rest = memoryview(message)
        with contextlib.suppress(BrokenPipeError):
            while rest:
                rest = rest[os.write(self._requests, rest) :]

    def receive(self, max_seconds: float) -> Answer:
        """Wait for the next answer.

        Raises:
            TimeoutError: it did not come in time.
            ProcessEndedError: it will not come any more.
            UnreadableAnswerError: what came is no answer.
        """
        deadline = time.monotonic() + max_seconds
        while (message := self._messages.take()) is None:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            data = os.read(self._answers, _READ_BYTES)
            if not data:
                raise ProcessEndedError(self._process.wait())
            self._messages.feed(data)
        try:
            return self._decoder.decode(message)
        except msgspec.DecodeError as error:
            raise UnreadableAnswerError from error

    def kill(self) -> None:
        """End it, and all that it may have started; safe from any thread."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """End it and let go of its pipes."""
        self.kill()
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def _describe(error: Exception) -> str:
    return "it took too long" if isinstance(error, TimeoutError) else str(error)
