"""One token's distributions side by side, as drawn and at several temperatures, as a plot.

Draws what it is given, above the table that has the same columns.
"""

from typing import ClassVar, Final

from textual.app import RenderResult
from textual.reactive import reactive

from chatbot.conversation.token_figures import playground
from chatbot.tokens import TokenRecord
from chatbot.tui.lens.drawing import MARGIN, levels_of, name_width, panel_width, scale_of, spaced
from chatbot.tui.lens.plot import CellPlot

AXIS_ROWS: Final = 2
"""The horizontal axis and the ranks below it."""


class LensDistributions(CellPlot):
    """Probability over rank, one panel a distribution, all on one scale.

    The token that came is a dotted bar as well as one of another colour.
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
        labels = "probability", f"{scale:.0%}"
        at = [0.0, num_rows - 1.0] if num_rows > 1 else [0.0]
        self.plt.yticks(at, [f"{label:>{label_width}}" for label in labels[-len(at) :]])
        ids = [other.token for other in self.record.alternatives]
        came = ids.index(self.record.token) if self.record.token in ids else None
        bars: dict[int, int] = {}
        token: dict[int, int] = {}
        ranks: list[tuple[int, str]] = []
        for number, shares in enumerate(panels):
            shown = shares[: each - 1]
            size = (each - 1) // len(shown)
            levels = levels_of(shown, scale, num_rows)
            for rank, (share, level) in enumerate(zip(shown, levels, strict=True)):
                start = number * each + rank * size
                # Bars of several columns have a gap between them; what was cut has no bar.
                columns = range(start, start + max(size - 1, 1) if size > 2 else start + size)
                where = token if rank == came else bars
                where.update({x: level for x in columns if share > 0})
                if rank in (0, len(shown) - 1):
                    ranks.append((columns[(len(columns) - 1) // 2], str(rank + 1)))
        self.draw_bars(bars, "█", "lens-distributions--bars")
        self.draw_bars(token, "▒", "lens-distributions--token")
        places, numbers = zip(*spaced(ranks), strict=True)
        self.plt.xticks(list(places), list(numbers))
        return super().render()
