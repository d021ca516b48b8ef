"""One token's distributions side by side, as drawn and at several temperatures, as a plot.

Draws what it is given, above the table that has the same columns.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import RenderResult
from textual.reactive import reactive

from chatbot.conversation.token_figures import playground
from chatbot.tokens import TokenRecord
from chatbot.tui.lens.drawing import (
    MARGIN,
    bar_places,
    levels_of,
    name_width,
    panel_width,
    scale_of,
    spaced,
)
from chatbot.tui.lens.plot import CellPlot

AXIS_ROWS: Final = 2
"""The horizontal axis and the ranks below it."""

CAME: Final = "●"
"""Stands below the bar of the token that came, as beside its name in the table."""

HALVED_ROWS: Final = 8
"""Rows from which half the scale is labelled too."""


class LensDistributions(CellPlot):
    """Probability over rank, one panel a distribution, all on one scale.

    The token that came is a dotted bar as well as one of another colour, with a sign below it for
    where the bar is too low to be dotted.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "lens-distributions--bars",
        "lens-distributions--token",
    }

    record: reactive[TokenRecord | None] = reactive(None)

    def render(self) -> RenderResult:
        num_rows = self.size.height - AXIS_ROWS
        if self.record is None or not self.record.alternatives or num_rows < 1:
            return ""
        panels = [shares for _, shares in playground(self.record)]
        scale = scale_of(share for shares in panels for share in shares)
        label_width = name_width(self.size.width) + MARGIN - 1
        each = panel_width(self.size.width, len(panels))
        self.begin(self.size.width - label_width - 1, num_rows)
        self.plt.xaxes(True, False)
        self.plt.yaxes(True, False)
        self.plt.yticks(*self._ticks(scale, num_rows, label_width))
        self._draw_panels(panels, scale, each, num_rows)
        return super().render()

    def _draw_panels(
        self, panels: Sequence[Sequence[float]], scale: float, each: int, num_rows: int
    ) -> None:
        if self.record is None:
            return
        ids = [other.token for other in self.record.alternatives]
        came = ids.index(self.record.token) if self.record.token in ids else None
        places = bar_places(len(ids), each)
        # The sign first, so that it is not what is left out where labels would touch.
        labelled = [rank for rank in (came, 0, len(places) - 1) if rank is not None]
        bars: dict[int, int] = {}
        token: dict[int, int] = {}
        ranks: list[tuple[int, str]] = []
        for number, shares in enumerate(panels):
            start = number * each
            for rank, place in enumerate(places):
                [level] = levels_of([shares[rank]], scale, num_rows)
                where = token if rank == came else bars
                if shares[rank] > 0:  # what was cut has no bar
                    where.update({start + x: level for x in place})
            for rank in dict.fromkeys(labelled):
                if rank < len(places):
                    sign = CAME if rank == came else f"{rank + 1}"
                    ranks.append((start + middle_of(places[rank]), sign))
        self.draw_bars(bars, "█", "lens-distributions--bars")
        self.draw_bars(token, "▒", "lens-distributions--token")
        at, signs = zip(*spaced(ranks), strict=True)
        self.plt.xticks(list(at), list(signs))

    def _ticks(
        self, scale: float, num_rows: int, label_width: int
    ) -> tuple[list[float], list[str]]:
        """Rows of the vertical axis that are labelled, and with what."""
        ticks = {0: "probability", num_rows - 1: f"{scale:.0%}"}
        if num_rows >= HALVED_ROWS:
            ticks[num_rows // 2 - 1] = f"{scale * 50:g}%"
        return list(map(float, ticks)), [f"{label:>{label_width}}" for label in ticks.values()]


def middle_of(place: range) -> int:
    """The middle one of some columns, or the one before the middle."""
    return place[(len(place) - 1) // 2]
