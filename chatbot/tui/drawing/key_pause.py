"""A moment in which nothing is drawn but what the user types."""

from time import monotonic
from typing import Final

KEY_SECONDS: Final = 0.03
"""From a key to its letter on the screen, with room to spare."""

MAX_WAIT: Final = 0.25
"""Seconds that all else waits at most for somebody who types fast."""

TYPING_SECONDS: Final = 1.0
"""So long after a key somebody types."""


class KeyPause:
    """Says whether it is such a moment, to somebody who draws something else."""

    def __init__(self) -> None:
        self._until = 0.0
        self._worked_at = 0.0
        self._typed_at = 0.0

    def begin(self) -> None:
        """A key was pressed."""
        self._typed_at = monotonic()
        self._until = min(self._typed_at + KEY_SECONDS, self._worked_at + MAX_WAIT)

    def end(self) -> None:
        """What the key did is on the screen."""
        self._until = 0.0

    @property
    def is_on(self) -> bool:
        """Whether to wait."""
        return monotonic() < self._until

    @property
    def is_typing(self) -> bool:
        """Whether more keys are to be expected."""
        return monotonic() < self._typed_at + TYPING_SECONDS

    def note_work(self) -> None:
        """What had to wait is being done."""
        self._worked_at = monotonic()
