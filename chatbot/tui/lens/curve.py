"""The entropy of each token of an answer as a plot; a click goes there. Draws what it is given."""

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import events
from textual.app import RenderResult
from textual.message import Message
from textual.reactive import reactive

from chatbot.tui.lens.drawing import column_of, columns_of, levels_of, round_step, spaced
from chatbot.tui.lens.plot import CellPlot

LABEL_WIDTH: Final = 8
"""Cells before the vertical axis."""

HIGH: Final = 6
"""Rows from which there is room for a horizontal axis, and the words below it."""

NUM_PLACES: Final = 5
"""How many of the most uncertain places are numbered at most."""

LEAST_BITS: Final = 0.1
"""What a bar of full height stands for at least: less is as good as certain."""

HEADING: Final = f"entropy at each token · 1 to {NUM_PLACES}: where it is highest"


class LensCurve(CellPlot):
    """Bars from left to right, between axes.

    What a colour says, a shape says too: the cursor's bar is dotted and has a line above it, and
    the most uncertain places have numbers, in the order in which ``n`` goes to them.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "lens-curve--bars",
        "lens-curve--cursor",
        "lens-curve--place",
    }

    cursor = reactive(0)

    class Chosen(Message):
        """The cursor should go to another token."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._bits: Sequence[float] = ()
        self._order: Sequence[int] = ()

    def show(self, bits: Sequence[float], order: Sequence[int]) -> None:
        """Show the entropies of these tokens.

        Args:
            bits: one a token.
            order: indices of the most uncertain tokens, those first.
        """
        self._bits = bits
        self._order = order
        self.refresh()

    @property
    def _is_high(self) -> bool:
        return self.size.height >= HIGH

    @property
    def _num_rows(self) -> int:
        return self.size.height - (3 if self._is_high else 0)

    @property
    def _highest(self) -> float:
        return max(*self._bits, LEAST_BITS)

    def _columns(self) -> list[tuple[float, int]]:
        return columns_of(self._bits, self.size.width - LABEL_WIDTH - 1)

    def on_click(self, event: events.Click) -> None:
        columns = self._columns()
        x = event.x - LABEL_WIDTH - 1
        if 0 <= x < len(columns):
            self.post_message(self.Chosen(columns[x][1]))

    def render(self) -> RenderResult:
        columns = self._columns()
        if not columns or self._num_rows < 1:
            return ""
        self.begin(self.size.width - LABEL_WIDTH - 1, self._num_rows)
        self.plt.xaxes(self._is_high, False)
        self.plt.yaxes(True, False)
        self._draw_ticks(columns)
        self._draw_tokens(columns)
        return super().render()

    def _draw_ticks(self, columns: Sequence[tuple[float, int]]) -> None:
        rows, num, highest = self._num_rows, len(self._bits), self._highest
        if not self._is_high:
            labels = "entropy", f"{highest:.1f} bit"
            self.plt.yticks([0.0, rows - 1.0], [f"{label:>{LABEL_WIDTH}}" for label in labels])
            self.plt.xticks([], [])
            return
        # Three steps at least, so that there is a number: without one the axis would move.
        step = round_step(highest, max(rows * 5 // 8, 3))
        ticks = [number * step for number in range(1, int(highest / step) + 1)]
        # Beside the row that a bar of this height ends in; 0 is the axis.
        at = [float((level - 1) // 8) for level in levels_of(ticks, highest, rows)]
        self.plt.yticks(at, [f"{f'{bits:g} bit':>{LABEL_WIDTH}}" for bits in ticks])
        each = max(int(round_step(num, max(self.size.width // 12, 1))), 1)
        # The cursor's number first: what would come too near to it is left out.
        tokens = dict.fromkeys((self.cursor, 0, num - 1, *range(each - 1, num, each)))
        marks = [(self._middle(columns, token), f"{token + 1:,}") for token in tokens]
        places, numbers = zip(*spaced(marks), strict=True)
        self.plt.xticks(list(places), list(numbers))
        self.plt.xlabel(HEADING)

    def _draw_tokens(self, columns: Sequence[tuple[float, int]]) -> None:
        num, rows = len(self._bits), self._num_rows
        each = max(len(columns) // num, 1)
        levels = levels_of([value for value, _ in columns], self._highest, rows)
        # Bars of several columns have a gap between them.
        bars = {x: level for x, level in enumerate(levels) if each < 3 or (x + 1) % each}
        first = column_of(columns, self.cursor, num) or 0
        [level] = levels_of([self._bits[self.cursor]], self._highest, rows)
        here = {x: level for x in range(first, first + each) if x in bars}
        self.draw_bars({x: bars[x] for x in bars if x not in here}, "█", "lens-curve--bars")
        self.draw_bars(here, "▒", "lens-curve--cursor")
        middle = self._middle(columns, self.cursor)
        above = [(middle, y) for y in range(-(-level // 8), rows)]
        self.draw_cells(above, "│", "lens-curve--cursor")
        self._draw_places(columns, levels)

    def _draw_places(self, columns: Sequence[tuple[float, int]], levels: Sequence[int]) -> None:
        taken: set[tuple[int, int]] = set()
        order = self._order[: min(NUM_PLACES, len(self._bits) // 2)]
        for number, index in enumerate(order, 1):
            x = self._middle(columns, index)
            y = min((levels[x] + 7) // 8, self._num_rows - 1)
            # Two numbers side by side would be read as one.
            if not {(x - 1, y), (x, y), (x + 1, y)} & taken:
                taken.add((x, y))
                colour = self.colour("lens-curve--place")
                self.plt.text(str(number), x, y, colour, "default", "bold")

    def _middle(self, columns: Sequence[tuple[float, int]], index: int) -> int:
        """The middle one of the columns of a token."""
        num = len(self._bits)
        return (column_of(columns, index, num) or 0) + (max(len(columns) // num, 1) - 1) // 2
