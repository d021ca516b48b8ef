"""Counts what an update has done, and reckons how long the rest will take."""

import time
from pathlib import Path
from typing import Final

from chatbot.paths import index_dir
from chatbot.retrieval.index.reading import Counts
from chatbot.retrieval.values import FolderStatus, Stage

_MIN_SECONDS: Final = 0.5
"""Before that, no guess is better than a wild one."""


class Pace:
    """How fast some work goes, from its start to now. A pause does not count."""

    def __init__(self, total: float) -> None:
        self.total = total
        self.done = 0.0
        self._seconds = 0.0
        self._since: float | None = time.monotonic()
        self._advanced_at = 0.0
        """Seconds of work at the last advance."""

    def advance(self, amount: float) -> None:
        """So much more is done."""
        self.done += amount
        self._advanced_at = self._worked()

    def stop(self) -> None:
        """Nothing is being done for now."""
        if self._since is not None:
            self._seconds += time.monotonic() - self._since
            self._since = None

    def go(self) -> None:
        """It goes on."""
        if self._since is None:
            self._since = time.monotonic()

    @property
    def seconds_left(self) -> float | None:
        """Until all is done, at the speed so far; None while that is not known."""
        worked, took = self._worked(), self._advanced_at
        if worked < _MIN_SECONDS or self.done <= 0 or self._since is None:
            return None
        left = max(self.total - self.done, 0.0) * took / self.done
        return max(left - (worked - took), 0.0)

    def _worked(self) -> float:
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self._seconds + running


class Tally:
    """The figures of one folder.

    Args:
        folder: resolved.
        name: what whoever asked calls it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self.stage: Stage = "scanning"
        self.num_files = 0
        self.num_files_done = 0
        self.num_passages = 0
        self.num_embedded = 0
        self.num_problems = 0
        self.num_ignored = 0
        self.error = ""
        self.notice = ""
        self.pace: Pace | None = None
        """Of the stage that runs."""
        self._num_bytes = 0

    def take(self, counts: Counts) -> None:
        """Take over what was counted in the index."""
        self.num_passages = counts.num_passages
        self.num_embedded = counts.num_embedded
        self.num_problems = counts.num_problems

    def enter(self, stage: Stage, pace: Pace | None = None, error: str = "") -> None:
        """Another stage begins."""
        self.stage, self.pace, self.error = stage, pace, error
        self._num_bytes = folder_bytes(index_dir(self._folder))

    def status(self) -> FolderStatus:
        """As the user is told."""
        return FolderStatus(
            folder=self._name,
            stage=self.stage,
            num_files=self.num_files,
            num_files_done=self.num_files_done,
            num_passages=self.num_passages,
            num_embedded=self.num_embedded,
            num_problems=self.num_problems,
            num_ignored=self.num_ignored,
            seconds_left=self.pace.seconds_left if self.pace else None,
            error=self.error,
            notice=self.notice,
            num_bytes=self._num_bytes,
        )


def folder_bytes(folder: Path) -> int:
    """What the files below a folder take."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # one that is being replaced
            continue
    return total
