"""The file that takes what a worker prints beside the protocol, kept from filling the disk.

Workers of several running programs may write into one file at once, each at its end. Knows
nothing of what is printed.
"""

import asyncio
import contextlib
import fcntl
import os
from io import FileIO
from pathlib import Path
from typing import Final

MAX_LOG_BYTES: Final = 1_000_000
"""Of a log that a worker begins to write into; a longer one is put aside first."""

MAX_GROWN_BYTES: Final = 10 * MAX_LOG_BYTES
"""Of a log while it is written; what is behind MAX_LOG_BYTES is dropped from a longer one."""

_LOOK_SECONDS: Final = 0.5
"""Between two looks at a log that grows: a tool in a loop prints hundreds of megabytes a second."""

_REST_SECONDS: Final = 8.0
"""Longest time between two looks at one that does not, so that an idle program stays asleep."""


def open_log(file: Path) -> FileIO:
    """A log, open for writing at its end wherever that is by then; where it cannot be opened, as
    in a folder that is read-only, what is printed is dropped: no worker is to fail for its log.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = FileIO(file, "ab", opener=_private)
        if log.tell() <= MAX_LOG_BYTES:
            return log
        # A log that cannot be put aside grows on.
        with log, contextlib.suppress(OSError):
            # Another program may be doing the same; of two, the later one would put aside the new
            # log.
            fcntl.flock(log, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(log.fileno()), file.stat()):
                file.replace(file.with_name(f"{file.name}.old"))
        return FileIO(file, "ab", opener=_private)
    except OSError:
        return open(os.devnull, "ab", buffering=0)


def _private(name: str, flags: int) -> int:
    """Open a file that, where it is new, its owner alone can read: a tool may print anything."""
    return os.open(name, flags, 0o600)


async def keep_short(log: FileIO) -> None:
    """Cut ``log`` whenever it has grown too long, and once more at the end, which is when this
    is cancelled; then it is closed.
    """
    with log:
        pause, size = _LOOK_SECONDS, 0
        try:
            while True:
                await asyncio.sleep(pause)
                size, before = _cut(log), size
                pause = min(2 * pause, _REST_SECONDS) if size == before else _LOOK_SECONDS
        finally:
            _cut(log)


def _cut(log: FileIO) -> int:
    """Cut a log that is too long; returns how long it was."""
    # What is no file that could be cut, such as /dev/null, has no size.
    num_bytes = os.fstat(log.fileno()).st_size
    if num_bytes > MAX_GROWN_BYTES:
        with contextlib.suppress(OSError):
            # Whoever writes goes on at the new end.
            os.ftruncate(log.fileno(), MAX_LOG_BYTES)
    return num_bytes
