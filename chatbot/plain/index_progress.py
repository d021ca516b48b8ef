"""Shows on standard error how the indexing of folders goes.

On a terminal one line that is drawn anew; else a line for each folder and stage. Knows
nothing of who indexes, and why.
"""

import shutil
import sys
from typing import Final

from chatbot.retrieval.client import RetrievalStatus
from chatbot.retrieval.values import FolderStatus
from chatbot.terminal_text import clean_line

_BAR_LENGTH: Final = 20

_BUSY: Final = ("waiting", "scanning", "reading", "embedding")


class IndexPrinter:
    """One line about the folders that are being indexed."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._stages: dict[str, str] = {}
        self._width = 0
        self._is_closed = False

    def show(self, status: RetrievalStatus) -> None:
        """Show how far the folders are; nothing while nothing is to be done."""
        if self._is_closed:
            return
        busy = [f for f in status.folders if f.stage in _BUSY and is_begun(f)]
        if self._is_terminal:
            line = status_line(busy[0]) if busy else ""
            line = line[: shutil.get_terminal_size().columns - 1]
            if line or self._width:
                sys.stderr.write("\r" + line.ljust(self._width))
                sys.stderr.flush()
            self._width = len(line)
            return
        for folder in busy:
            if self._stages.get(folder.folder) != folder.stage:
                self._stages[folder.folder] = folder.stage
                print(f"{_STAGES[folder.stage]} {_name(folder)}…", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the line away, and show nothing more."""
        self._is_closed = True
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0


_STAGES: Final = {
    "waiting": "Another chatbot is indexing",
    "scanning": "Looking through",
    "reading": "Reading",
    "embedding": "Embedding",
}


def is_begun(status: FolderStatus) -> bool:
    """Whether there is something to say: an unchanged folder is done before it is told of."""
    return status.stage != "scanning" or status.num_files > 0


def status_line(status: FolderStatus) -> str:
    """``Reading notes ▕████····▏ 120 of 400 files · 2,311 passages · 12 s left``."""
    if status.stage == "embedding":
        done, total, unit = status.num_embedded, status.num_passages, "passages"
    else:
        done, total, unit = status.num_files_done, status.num_files, "files"
    filled = min(_BAR_LENGTH, _BAR_LENGTH * done // max(total, 1))
    bar = "█" * filled + "·" * (_BAR_LENGTH - filled)
    parts = [f"{_STAGES[status.stage]} {_name(status)} ▕{bar}▏ {done:,} of {total:,} {unit}"]
    if unit == "files":
        parts.append(f"{status.num_passages:,} passages")
    if status.seconds_left is not None:
        parts.append(f"{time_left(status.seconds_left)} left")
    return " · ".join(parts)


def time_left(seconds: float) -> str:
    """``12 s``, ``3 min``, ``2 h``: as exact as an estimate deserves."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def _name(status: FolderStatus) -> str:
    return clean_line(status.folder.rstrip("/").rsplit("/", 1)[-1]) or "/"
