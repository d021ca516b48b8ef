"""Threads that carry out requests one after the other. Knows no particular request."""

import sys
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from chatbot.errors import ChatbotError
from chatbot.worker.protocol import Event, Failed, Request

Send = Callable[[Event], None]
Answer = Callable[[Request], Event | None]

_UNEXPECTED: Final = "Something went wrong in the retrieval process; the log says what. Try again."


class Lane:
    """One such thread.

    Args:
        name: of the thread.
        answer: carries out a request; raises a ChatbotError when it cannot. None where another
            lane answers it.
        send: where answers go.
    """

    def __init__(self, name: str, answer: Answer, send: Send) -> None:
        self._answer = answer
        self._send = send
        self._requests: SimpleQueue[Request] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, request: Request) -> None:
        """Have a request carried out when its turn comes."""
        self._requests.put(request)

    def _run(self) -> None:
        while True:
            request = self._requests.get()
            try:
                if (event := self._answer(request)) is not None:
                    self._send(event)
            # What libraries in Rust give up with is no Exception, and would end the thread.
            except BaseException as error:
                self._send(failure(request, error))


def failure(request: Request, error: BaseException) -> Failed:
    """What the user is told; everything unexpected goes into the log besides."""
    if isinstance(error, ChatbotError):
        return Failed(request_id=request.id, message=str(error), kind=type(error).__name__)
    traceback.print_exception(error, file=sys.stderr)
    sys.stderr.flush()
    return Failed(request_id=request.id, message=_UNEXPECTED, kind=type(error).__name__)
