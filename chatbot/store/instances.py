"""Which running programs share the store, told by the locks that they hold.

The kernel lets go of a lock when its holder dies, however it dies, so that no process
number has to be trusted. Knows nothing of chats.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from chatbot.store.values import new_id

_SUFFIX: Final = ".lock"


class Instance:
    """This program among those that run: a file in ``folder`` that is locked while it lives."""

    def __init__(self, folder: Path) -> None:
        """Enter the folder.

        Raises:
            OSError: the folder cannot be made or written.
        """
        self.id = new_id()
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Locked before it has its name: nobody can take it for a dead one's in between.
        unnamed = folder / f"{self.id}.new"
        self._lock: IO[bytes] = unnamed.open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(folder / f"{self.id}{_SUFFIX}")

    def others(self) -> set[str]:
        """Ids of the other programs that run; what dead ones left is tidied away."""
        return running_instances(self._folder) - {self.id}

    def leave(self) -> None:
        """Say that this program no longer uses the store."""
        with contextlib.suppress(OSError):
            (self._folder / f"{self.id}{_SUFFIX}").unlink()
        self._lock.close()


def running_instances(folder: Path) -> set[str]:
    """Ids of the programs that run; what dead ones left is tidied away."""
    return {file.stem for file in folder.glob(f"*{_SUFFIX}") if _is_held(file)}


def _is_held(file: Path) -> bool:
    try:
        with file.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
            with contextlib.suppress(OSError):
                file.unlink()
    except OSError:
        pass  # its holder left just now
    return False


@contextlib.contextmanager
def only_one(file: Path) -> Iterator[None]:
    """Hold the lock ``file``; wait for whoever holds it.

    Raises:
        OSError: it cannot be made.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
