"""Room that is kept free below what grows, by how fast it grows."""

from time import monotonic
from typing import Final

RESERVE_SECONDS: Final = 0.4
"""What comes within this time has room below what grows: laying out the whole screen for each line
takes longer than all else."""

SLOWEST: Final = 4.0
"""Lines a second below which each is laid out when it comes."""

MOST_RESERVED: Final = 0.3
"""Of the screen's height."""


class Pace:
    """How fast lines come, one after the other, in whatever blocks."""

    def __init__(self) -> None:
        self._grown_at = 0.0
        self._speed = 0.0
        """Lines a second."""

    def grow(self, num_lines: int = 1) -> None:
        """Say that there are more lines."""
        now = monotonic()
        speed = num_lines / max(now - self._grown_at, 0.001)
        # Lines come in bursts; after a pause, only what comes now counts.
        self._speed = speed if speed < SLOWEST else (self._speed + speed) / 2
        self._grown_at = now

    def num_expected(self, height: int) -> int:
        """Lines that are to be expected soon, on a screen that is so many lines high."""
        if self._speed < SLOWEST:
            return 0
        return min(round(self._speed * RESERVE_SECONDS), round(height * MOST_RESERVED))


class Reserve:
    """How many lines something takes that grows."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._num_used = 0
        self.num_lines = 0

    def fits(self, num_lines: int, height: int) -> bool:
        """Whether there is room for so many lines; makes room where there is not, on a screen of
        that height.
        """
        if num_lines > self._num_used:
            self._pace.grow(num_lines - self._num_used)
            self._num_used = num_lines
        if num_lines <= self.num_lines:
            return True
        self.num_lines = num_lines + self._pace.num_expected(height)
        return False

    def expect(self, height: int) -> int:
        """Lines that something new takes whose first line is there; 0 where more come slowly."""
        self._pace.grow()
        self._num_used = 1
        num_expected = self._pace.num_expected(height)
        self.num_lines = 1 + num_expected
        return self.num_lines if num_expected else 0
