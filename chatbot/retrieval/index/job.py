"""What an Index request asks for: several folders brought up to date, and kept so.

Runs in one thread, which takes the folders in turns and never waits for a file or a model.
Knows nothing of the protocol.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from chatbot.retrieval.embedders import Embedders
from chatbot.retrieval.index.background import BackgroundEmbedding
from chatbot.retrieval.index.control import Control
from chatbot.retrieval.index.keeping import Cancelled, FolderKeeper
from chatbot.retrieval.index.reading_ahead import DocumentReader
from chatbot.retrieval.index.watching import FolderWatcher
from chatbot.retrieval.values import FolderStatus

_REPORT_SECONDS: Final = 0.25
"""Shortest time between two reports on a folder, unless it enters another stage."""
_IDLE_SECONDS: Final = 0.2
"""How long nothing is looked at while nobody calls."""


class IndexJob:
    """One Index request, from its start to its end.

    Args:
        names: the folders, as whoever asked calls them.
        reference: of the embedding model.
        is_watching: whether the folders are kept up to date until ``control`` says otherwise.
        report: told how far a folder is, a few times a second.
    """

    def __init__(
        self,
        names: Sequence[str],
        reference: str,
        *,
        is_watching: bool,
        embedders: Embedders,
        executor: ThreadPoolExecutor,
        make_reader: Callable[[], DocumentReader],
        control: Control,
        report: Callable[[FolderStatus], None],
    ) -> None:
        self._names = tuple(names)
        self._is_watching = is_watching
        self._control = control
        self._report = report
        self._background = BackgroundEmbedding(embedders, executor, control)
        self._reported: dict[Path, tuple[float, FolderStatus]] = {}
        self._watchers: dict[Path, FolderWatcher] = {}
        self._leaving: dict[Path, threading.Event] = {}
        self._has_ended = False
        self._lock = threading.Lock()
        self._keepers: dict[Path, FolderKeeper] = {}
        self._folders = {name: Path(name).resolve() for name in names}
        for name, folder in self._folders.items():
            if folder not in self._keepers:  # two names of one folder share an index
                self._keepers[folder] = FolderKeeper(
                    folder,
                    name,
                    reference,
                    make_reader,
                    control.wake,
                    lambda: control.is_cancelled,
                )

    # -- verbs for any thread

    def cancel(self) -> None:
        """End it, within a second."""
        self._control.cancel()
        for keeper in tuple(self._keepers.values()):
            keeper.stop_reading()

    def is_writing(self, folder: Path) -> bool:
        """Whether this job is the one who writes the index of a folder."""
        keeper = self._keepers.get(folder)
        return keeper is not None and keeper.is_writing

    def leave(self, folder: Path) -> None:
        """Let go of one folder; returns when that is done."""
        with self._lock:
            if self._has_ended or folder not in self._keepers:
                return
            left = self._leaving.setdefault(folder, threading.Event())
        self._control.wake()
        left.wait()

    # -- verbs for its thread

    def run(self) -> tuple[FolderStatus, ...]:
        """Do it, and say how each folder stands at its end."""
        try:
            if self._is_watching:
                for folder, keeper in self._keepers.items():
                    self._watchers[folder] = FolderWatcher(folder, keeper.mark_changed)
            while not self._control.is_cancelled:
                is_busy = self._step()
                self._report_all()
                if not self._is_watching and all(k.is_settled for k in self._keepers.values()):
                    break
                if not is_busy:
                    self._control.wait(_IDLE_SECONDS)
        except Cancelled:
            pass
        finally:
            self._end()
        return self._statuses()

    def _step(self) -> bool:
        is_busy = False
        self._let_go()
        for keeper in self._keepers.values():
            try:
                is_busy |= keeper.step()
            except Cancelled:
                raise
            except Exception:
                traceback.print_exc(file=sys.stderr)
                keeper.fail("Something went wrong while indexing; the log says what. Try again.")
        is_busy |= self._background.step(tuple(self._keepers.values()))
        return is_busy

    def _let_go(self) -> None:
        with self._lock:
            leaving, self._leaving = self._leaving, {}
        for folder, left in leaving.items():
            if keeper := self._keepers.pop(folder, None):
                self._background.forget(keeper)
                keeper.close()
            if watcher := self._watchers.pop(folder, None):
                watcher.stop()
            left.set()

    def _end(self) -> None:
        with self._lock:
            self._has_ended = True
            leaving = self._leaving
        for watcher in self._watchers.values():
            watcher.stop()
        for keeper in self._keepers.values():
            keeper.close()
            if keeper.tally.stage not in ("ready", "failed", "waiting"):
                keeper.tally.enter("cancelled")
        for left in leaving.values():
            left.set()

    # -- telling

    def _report_all(self) -> None:
        now = time.monotonic()
        for folder, keeper in self._keepers.items():
            if (watcher := self._watchers.get(folder)) and watcher.notice:
                keeper.tally.notice = watcher.notice
            status = keeper.tally.status()
            told_at, told = self._reported.get(folder, (0.0, None))
            is_new_stage = told is None or told.stage != status.stage
            if status != told and (is_new_stage or now - told_at >= _REPORT_SECONDS):
                self._reported[folder] = now, status
                for named in self._named(folder, status):
                    self._report(named)

    def _named(self, folder: Path, status: FolderStatus) -> list[FolderStatus]:
        names = [name for name, place in self._folders.items() if place == folder]
        return [msgspec.structs.replace(status, folder=name) for name in names]

    def _statuses(self) -> tuple[FolderStatus, ...]:
        """In the order of the request."""
        result = []
        for name in self._names:
            keeper = self._keepers.get(self._folders[name])
            status = keeper.tally.status() if keeper else FolderStatus(folder="", stage="cancelled")
            result.append(msgspec.structs.replace(status, folder=name))
        return tuple(result)
