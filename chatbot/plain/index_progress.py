"""Shows on standard error how the indexing of folders goes.

On a terminal one line that is drawn anew; else a line for each folder and stage. Knows
nothing of who indexes, and why.
"""

from typing import Final

from chatbot.plain.progress_line import ProgressLine, draw_bar
from chatbot.retrieval.client import RetrievalStatus
from chatbot.retrieval.values import FolderStatus
from chatbot.terminal_text import clean_line
from chatbot.wording import duration

_BUSY: Final = ("waiting", "scanning", "reading", "embedding")


class IndexPrinter:
    """One line about the folders that are being indexed."""

    def __init__(self) -> None:
        self._line = ProgressLine()
        self._stages: dict[str, str] = {}
        self._is_closed = False

    def show(self, status: RetrievalStatus) -> None:
        """Show how far the folders are; nothing while nothing is to be done."""
        if self._is_closed:
            return
        busy = [f for f in status.folders if f.stage in _BUSY and is_begun(f)]
        if self._line.is_terminal:
            if busy:
                self._line.draw(status_line(busy[0]))
            else:
                self._line.clear()
            return
        for folder in busy:
            if self._stages.get(folder.folder) != folder.stage:
                self._stages[folder.folder] = folder.stage
                self._line.draw(f"{_STAGES[folder.stage]} {_name(folder)}…")

    def close(self) -> None:
        """Take the line away, and show nothing more."""
        self._is_closed = True
        self._line.clear()


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
    bar = draw_bar(done, total)
    parts = [f"{_STAGES[status.stage]} {_name(status)} {bar} {done:,} of {total:,} {unit}"]
    if unit == "files":
        parts.append(f"{status.num_passages:,} passages")
    if status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    return " · ".join(parts)


def _name(status: FolderStatus) -> str:
    return clean_line(status.folder.rstrip("/").rsplit("/", 1)[-1]) or "/"
