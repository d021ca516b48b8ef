"""When Python looks for cyclic garbage: while nobody types and nothing is written.

Looking through all that the screen is made of takes longer than a key may take to be seen.
"""

import gc
from collections.abc import Callable
from time import monotonic
from typing import Final

from textual.app import App

IDLE_SECONDS: Final = 2.0
"""Without a key for so long, nobody waits for one to be seen."""

MIN_ROUNDS: Final = 10
"""Rounds of young garbage after which looking through everything pays: Python's own measure."""

MAX_ROUNDS: Final = 1_000
"""Rounds after which it is done in any case, so that memory stays bounded."""


class IdleCollector:
    """Looks through everything when the user would not notice."""

    def __init__(self, app: App[int], is_busy: Callable[[], bool]) -> None:
        """Do nothing yet.

        Args:
            app: gives the time of day to it.
            is_busy: whether something is written on the screen.
        """
        self._app = app
        self._is_busy = is_busy
        self._last_input = 0.0

    def start(self) -> None:
        """Take over from Python; the collector was off while the program started."""
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, MAX_ROUNDS)
        gc.freeze()  # what start-up made is kept
        gc.enable()
        self._app.set_interval(IDLE_SECONDS, self._collect)

    def note_input(self) -> None:
        """Say that the user does something."""
        self._last_input = monotonic()

    def _collect(self) -> None:
        is_idle = monotonic() - self._last_input >= IDLE_SECONDS and not self._is_busy()
        if is_idle and gc.get_count()[2] >= MIN_ROUNDS:
            gc.collect()
