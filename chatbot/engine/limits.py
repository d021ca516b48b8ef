"""Runs what came with a model, such as a chat template, within limits of time and memory.

Most of what takes too long is interrupted between two steps. A single call of a library that
does not end, such as writing out a list that holds itself twice and so on, lets nothing else of
Python's have a turn: the system ends the whole process then, and the client says why.
"""

import contextlib
import ctypes
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import psutil

T = TypeVar("T")

MAX_MEMORY_BYTES: Final = 2**30
"""Beside what the process has; the longest prompt takes a hundredth of it."""
GRACE_SECONDS: Final = 5.0
"""Of the processor, for what was interrupted to come to its next step."""


class _Interrupt(BaseException):
    """Raised inside code that ran too long; no ``except Exception`` stops it."""


def call_within(seconds: float, function: Callable[[], T]) -> T:
    """The result of ``function``, run in a thread of its own.

    Raises:
        TimeoutError: it took longer.
        MemoryError: it took more than ``MAX_MEMORY_BYTES``.
        Exception: whatever the function raised.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    with ended_when_endless(seconds + GRACE_SECONDS), _limited_memory():
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Interrupt)
            )
            thread.join()
    if results:
        return results[0]
    if isinstance(errors[0], _Interrupt):
        raise TimeoutError(f"it took longer than {seconds:g} seconds")
    raise errors[0]


@contextlib.contextmanager
def ended_when_endless(seconds: float) -> Iterator[None]:
    """End this process by SIGVTALRM where it computes for longer than ``seconds`` in here.

    Time of the processor is what counts, so that a busy or a sleeping machine ends nothing.
    """
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    """Let an allocation fail that goes far beyond what the process has now.

    Where the system knows no such limit (macOS) there is none.
    """
    before = soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    present = getattr(psutil.Process().memory_info(), "data", 0)
    most = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    with contextlib.suppress(ValueError, OSError):
        if present:
            limit = min([present + MAX_MEMORY_BYTES, *most])
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, before)
