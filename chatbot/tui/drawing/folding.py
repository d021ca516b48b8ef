"""Which part of which line of a text stands in which row, where rows are narrower than lines.

Knows text and cells; nothing of widgets and of what the text means.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from textual._wrap import compute_wrap_offsets
from textual.content import Content


class Row(NamedTuple):
    """What stands in a row."""

    line: int
    start: int
    """The first character, of those of the line."""
    end: int
    """The one after the last."""


class Folding:
    """Lines in rows; of lines that grow, only the end is folded anew."""

    def __init__(self) -> None:
        self._width = 0
        self._rows: list[Row] = []
        self._num_lines = 0
        """Leading lines that are in rows."""

    def rows(self, lines: Sequence[Content], width: int) -> Sequence[Row]:
        """All rows of ``lines``, at least one for each.

        Args:
            lines: the text; the leading ones are as they were, but for what was forgotten.
            width: of a row, in cells; 0: a line is one row, as long as it is.
        """
        if width != self._width:
            self.forget(0)
            self._width = width
        for number in range(self._num_lines, len(lines)):
            line = lines[number]
            breaks: list[int] = []
            if width and line.cell_length > width:
                breaks = compute_wrap_offsets(line.plain, width, tab_size=1)
            ends = [0, *breaks, len(line)]
            self._rows += (Row(number, start, end) for start, end in pairwise(ends))
        self._num_lines = len(lines)
        return self._rows

    def first_row(self, line: int) -> int:
        """Where ``line`` begins; of one that is not in rows yet, how many rows there are."""
        return bisect_left(self._rows, (line,))

    def forget(self, line: int) -> None:
        """Fold ``line`` and all that follow it anew."""
        del self._rows[self.first_row(line) :]
        self._num_lines = min(self._num_lines, line)
