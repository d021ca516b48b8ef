"""Notices when something in a folder changes. Knows nothing of indexes; reads no file."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import watchfiles

from chatbot.paths import data_dir
from chatbot.retrieval.documents.ignoring import GIT_IGNORE_FILE, IGNORE_FILE, Ignores
from chatbot.retrieval.documents.names import is_left_out

_DEBOUNCE_MS: Final = 500
"""Changes that come one after the other are told of together, this much later at most."""
_STEP_MS: Final = 100
_POLL_SECONDS: Final = 0.3
"""How often it is looked whether the folder itself is still the same."""
_SLOW_SECONDS: Final = 60.0
"""How often the folder is looked through all the same: changes that another machine makes on a
network drive are not told of."""
_FALLBACK_SECONDS: Final = 1.5
"""And how often where nothing can be told of at all."""

Watch = Callable[..., Iterator[set[Any]]]


class FolderWatcher:
    """Watches one folder in a thread of its own, also while it does not exist.

    Args:
        folder: resolved.
        on_change: called from that thread, soon after something changed or may have.
        watch: as ``watchfiles.watch``.
    """

    def __init__(
        self, folder: Path, on_change: Callable[[], None], watch: Watch = watchfiles.watch
    ) -> None:
        self._folder = folder
        self._on_change = on_change
        self._watch = watch
        self._own = str(data_dir().resolve()) + os.sep
        self._ignores = Ignores(folder)
        self._stop = threading.Event()
        self.notice = ""
        """One sentence, where the folder cannot be watched and is looked through instead."""
        threading.Thread(target=self._run, name="watching", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stop.set()

    def _run(self) -> None:
        was_there = True
        while not self._stop.is_set():
            identity = self._identity()
            if identity is None:
                if was_there:
                    self._on_change()
                was_there = False
                self._stop.wait(_POLL_SECONDS)
                continue
            was_there = True
            try:
                self._watch_this(identity)
            except FileNotFoundError:
                continue  # it went in that moment
            except (OSError, RuntimeError) as error:
                print(f"{self._folder} cannot be watched: {error}", file=sys.stderr, flush=True)
                self.notice = (
                    "The system cannot watch so many files, so the folder is looked through every "
                    "few seconds instead; raise fs.inotify.max_user_watches to have it watched."
                )
                self._on_change()
                self._stop.wait(_FALLBACK_SECONDS)

    def _watch_this(self, identity: tuple[int, int]) -> None:
        """Watch until the folder is another one or gone: the system watches what it was."""
        is_begun = False
        looked_at = time.monotonic()
        for changes in self._watch(
            self._folder,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=self._stop,
            rust_timeout=int(_POLL_SECONDS * 1000),
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            self.notice = ""
            is_slow_due = time.monotonic() - looked_at > _SLOW_SECONDS
            # What changed before the watch began was not told of.
            if not is_begun or is_slow_due or any(self._matters(path) for _, path in changes):
                looked_at = time.monotonic()
                self._on_change()
            is_begun = True
            if self._identity() != identity:
                self._on_change()
                return

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._folder)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _matters(self, path: str) -> bool:
        """Whether a change can concern a document: none in hidden folders, in what the user
        leaves out, or of our own files."""
        if path.startswith(self._own):
            return False
        file = os.path.relpath(path, self._folder)
        *above, name = file.split(os.sep)
        if any(is_left_out(part, True) for part in above):
            return False
        is_of_patterns = file == IGNORE_FILE or name == GIT_IGNORE_FILE
        if is_of_patterns:
            self._ignores = Ignores(self._folder)
        places = ["/".join(above[:depth]) for depth in range(1, len(above) + 1)]
        if any(self._ignores.is_ignored(place, is_folder=True) for place in places):
            return False
        if name == "." or is_of_patterns:
            return True
        # What has gone may have been a folder or a file.
        is_out = is_left_out(name, True) and is_left_out(name, False)
        return not is_out and not self._ignores.is_ignored(file, is_folder=False)
