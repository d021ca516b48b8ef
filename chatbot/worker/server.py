"""A worker's own end of the pipe.

Takes the process's standard output for the protocol and gives everything else that prints
(libraries, C code) standard error instead, so that no stray line can break the protocol.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

from chatbot.worker.protocol import Event, Request, encode

RequestT = TypeVar("RequestT", bound=Request)


class Channel(Generic[RequestT]):
    """Requests in, events out. Sending is safe from any thread."""

    def __init__(self, request_type: Any) -> None:
        """Take over standard input and output.

        Args:
            request_type: the union of the request structs that this worker understands.
        """
        self._decoder = msgspec.json.Decoder(request_type)
        self._requests = os.fdopen(os.dup(0), "rb")
        self._events = os.fdopen(os.dup(1), "wb", buffering=0)
        self._lock = threading.Lock()
        os.dup2(2, 1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        sys.stdout = sys.stderr
        # The terminal's interrupt is the client's to handle: it sends a cancel.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def requests(self) -> Iterator[RequestT]:
        """Requests until the client goes away. A line that is none is reported, and skipped."""
        for line in self._requests:
            try:
                yield self._decoder.decode(line)
            except msgspec.DecodeError as error:
                print(f"not a request: {error}: {line[:200]!r}", file=sys.stderr, flush=True)

    def send(self, event: Event) -> None:
        """Write one event; when nobody listens any more, the process ends."""
        line = memoryview(encode(event))
        try:
            with self._lock:
                while line:
                    line = line[self._events.write(line) or 0 :]
        except OSError:
            os._exit(0)  # the client is gone, and with it the reason to run
