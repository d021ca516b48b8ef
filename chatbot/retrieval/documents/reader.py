"""The owner of the process in which files are read. Knows no format.

The process is asked for a bounded number of files ahead and writes its answers into a pipe,
which blocks it when it is full: so it works while the caller stores, and never far ahead. It
answers in order; hence, when it dies or hangs, the first file without an answer is the cause.
"""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from chatbot.errors import KnowledgeError
from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.reading_process import (
    ProcessEndedError,
    ReadingProcess,
)
from chatbot.retrieval.documents.wire import (
    RESTART_STATUS,
    ReadRequest,
    UnreadableAnswerError,
    framed,
)
from chatbot.terminal_text import clean, clean_line

READER_COMMAND: Final = (sys.executable, "-P", "-m", "chatbot.retrieval.documents")

MAX_SECONDS_PER_FILE: Final = 20.0
"""After which a file is given up."""

MAX_FILES_AHEAD: Final = 64
MAX_REQUEST_BYTES_AHEAD: Final = 8192
"""Half of what the smallest pipe holds, so that sending cannot block: the process may itself be
blocked on sending, and would then never be listened to."""

_BLAME: Final = "it is damaged, or made to do that."
_MEMORY: Final = "Reading it took more memory than there is; split it to have it read."
_ABORTED: Final = (
    "Reading it took more memory than there is, or it is damaged; split it or save it anew to have "
    "it read."
)
"""Libraries in Rust and C++ end the process where memory runs out: a sheet of a few kilobytes with
a cell in its last corner takes half a terabyte."""

_Ahead = deque[tuple[str, bytes]]
"""Files that were asked for, with their requests, and have no answer yet."""


class Reader:
    """Reads files in a process with limits, started when it is needed and after each death.

    For one thread at a time; only ``close`` may be called from any.
    """

    def __init__(
        self,
        command: Sequence[str] = READER_COMMAND,
        max_seconds_per_file: float = MAX_SECONDS_PER_FILE,
    ) -> None:
        self._command = command
        self._max_seconds = max_seconds_per_file
        self._process: ReadingProcess | None = None
        self._lock = threading.Lock()
        """Held whenever the process is started, asked, waited for or let go."""
        self._is_busy = False
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """The process's number, while it runs."""
        process = self._process
        return process.pid if process and process.is_alive else None

    def read(self, folder: Path, file: str) -> Document:
        """Read one file.

        Args:
            file: relative to the folder, with ``/``.

        Raises:
            DocumentError: the file cannot be read; the text says why.
            KnowledgeError: the process cannot be started, or the reader is closed.
        """
        ((_, found),) = self.read_all(folder, (file,))
        if isinstance(found, DocumentError):
            raise found
        return found

    def read_all(
        self, folder: Path, files: Iterable[str]
    ) -> Iterator[tuple[str, Document | DocumentError]]:
        """Read files, in their order; the process works ahead while the caller stores.

        Raises:
            KnowledgeError: the process cannot be started, or the reader is closed.
            RuntimeError: another call is not through yet; it needs a reader of its own.
        """
        if self._is_busy:
            raise RuntimeError("a Reader reads for one caller at a time")
        self._is_busy = True
        rest = ((file, _request(folder, file)) for file in files)
        held = next(rest, None)
        ahead: _Ahead = deque()
        try:
            while held or ahead:
                with self._lock:
                    while held and _has_room(ahead, held[1]):
                        # With answers due, a process that died is for _first_answer to see.
                        process = (self._process if ahead else None) or self._running()
                        process.send(held[1])
                        ahead.append(held)
                        held = next(rest, None)
                    found = self._first_answer(ahead)
                yield ahead.popleft()[0], found
        finally:
            self._is_busy = False
            if ahead:
                # Its answers are of no use any more, and must not be taken for others'.
                with self._lock:
                    self._stop()

    def close(self) -> None:
        """End the process, even in the middle of a file; whoever waits for it gets an error."""
        self._is_closed = True
        if process := self._process:
            process.kill()
        with self._lock:
            self._stop()

    def _running(self) -> ReadingProcess:
        """The process; a new one where there is none, or where it died with nothing to do."""
        if self._process and self._process.is_alive:
            return self._process
        return self._restarted(deque())

    def _restarted(self, ahead: _Ahead) -> ReadingProcess:
        """A new process, asked for what has no answer yet."""
        self._stop()
        self._process = ReadingProcess(self._command)
        # Only now, because a close from another thread sees the process from now on.
        self._check_open()
        try:
            self._process.wait_until_ready()
        except KnowledgeError:
            self._check_open()
            raise
        for _, request in ahead:
            self._process.send(request)
        return self._process

    def _first_answer(self, ahead: _Ahead) -> Document | DocumentError:
        """What became of the first file; if it ended the process, the others are asked anew."""
        for _ in range(2):
            process = self._process or self._restarted(ahead)
            try:
                answer = process.receive(self._max_seconds)
                if answer.trace:
                    name = clean_line(ahead[0][0])
                    print(f"reading {name}: {clean(answer.trace)}", file=sys.stderr, flush=True)
                return answer.document or DocumentError(answer.problem)
            except TimeoutError:
                problem = (
                    f"Reading it took longer than {self._max_seconds:g} s and was given up; "
                    "split it to have it read."
                )
                break
            except UnreadableAnswerError:
                problem = "Reading it crashed (it sent something that is no answer); " + _BLAME
                break
            except ProcessEndedError as error:
                self._check_open()
                problem = _describe(error.status)
                if error.status != RESTART_STATUS:
                    break
                # It was the file before that filled the memory: ask again, but only once.
                self._stop()
        self._stop()
        if len(ahead) > 1:
            others = ahead.copy()
            others.popleft()
            self._restarted(others)
        return DocumentError(problem)

    def _check_open(self) -> None:
        if self._is_closed:
            self._stop()
            raise KnowledgeError("The reading of documents was ended; start it again.")

    def _stop(self) -> None:
        if self._process:
            self._process.close()
            self._process = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _request(folder: Path, file: str) -> bytes:
    try:
        name = os.fsencode(file)
    except UnicodeEncodeError:
        name = file.encode("utf-8", "replace")  # there is no such file, and the answer says so
    return framed(msgspec.msgpack.encode(ReadRequest(os.fsencode(folder), name)))


def _has_room(ahead: _Ahead, request: bytes) -> bool:
    """Whether a request may be sent; to a process with nothing to do always, as it listens."""
    if not ahead:
        return True
    num_bytes = sum(len(other) for _, other in ahead) + len(request)
    return len(ahead) < MAX_FILES_AHEAD and num_bytes <= MAX_REQUEST_BYTES_AHEAD


def _describe(status: int) -> str:
    """Why there is no document, by how the process ended."""
    if status in (-signal.SIGKILL, RESTART_STATUS):
        return _MEMORY
    if status == -signal.SIGABRT:
        return _ABORTED
    if status == -signal.SIGXCPU:
        return "Reading it took too long and was given up; split it to have it read."
    how = f"exit status {status}"
    if status < 0:
        how = next((s.name for s in signal.Signals if s == -status), f"signal {-status}")
    return f"Reading it crashed ({how}); {_BLAME}"
