"""Runs code that may never end, such as a chat template, and ends it when it takes too long."""

import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class _Interrupt(BaseException):
    """Raised inside code that ran too long; no ``except Exception`` stops it."""


def call_within(seconds: float, function: Callable[[], T]) -> T:
    """The result of ``function``, run in a thread of its own.

    Raises:
        TimeoutError: it took longer. It is interrupted, which works between two of its Python
            instructions, not inside a single library call.
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
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Interrupt)
        )
        raise TimeoutError(f"it took longer than {seconds:g} seconds")
    if errors:
        raise errors[0]
    return results[0]
