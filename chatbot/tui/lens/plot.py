"""A plot in cells: bars that are whole cells and eighths of one, in colours of the style sheet.

What both plots of the lens share; knows nothing of what the bars stand for.
"""

from collections.abc import Mapping, Sequence

from textual_plotext import PlotextPlot

from chatbot.tui.lens.drawing import eighths


class CellPlot(PlotextPlot):
    """Bars at whole columns. Axes, ticks and limits are for whoever is derived from it."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        # Without colours of its own: axes and words take those of the style sheet.
        self.theme = "textual-clear"

    def begin(self, num_columns: int, num_rows: int) -> None:
        """Clear everything, and let a unit be a cell on both axes.

        In cells, not in tokens and bits: so a bar is as high as eighths of a cell can show.

        Args:
            num_columns: cells beside the vertical axis.
            num_rows: cells above the horizontal one.
        """
        self.plt.clear_figure()
        self.plt.xlim(0, max(num_columns - 1, 1))
        self.plt.ylim(0, max(num_rows - 1, 1))

    def draw_bars(self, levels: Mapping[int, int], fill: str, style: str) -> None:
        """Draw whole cells, and on them what is left of the eighths.

        Args:
            levels: eighths of a cell, by the column.
            fill: the character of whole cells.
            style: component class that has the colour.
        """
        full = [(x, y) for x, level in levels.items() for y in range(level // 8)]
        self.draw_cells(full, fill, style)
        for rest in range(1, 8):
            ends = [(x, level // 8) for x, level in levels.items() if level % 8 == rest]
            self.draw_cells(ends, eighths(rest), style)

    def draw_cells(self, cells: Sequence[tuple[int, int]], mark: str, style: str) -> None:
        """Draw one character at these columns and rows."""
        if cells:
            xs, ys = zip(*cells, strict=True)
            self.plt.scatter(list(xs), list(ys), marker=mark, color=self.colour(style))

    def colour(self, style: str) -> tuple[int, int, int]:
        """The colour of a component class."""
        return self.get_component_styles(style).color.rgb
