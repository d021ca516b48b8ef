"""The entropy of each token of an answer as a curve; a click goes there. Draws what it is given."""

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.tui.lens.drawing import column_of, columns_of, draw_curve

LABEL_WIDTH = 9


class LensCurve(Widget):
    """Bars from left to right, with the highest number of bits beside them."""

    cursor = reactive(0)

    class Chosen(Message):
        """The cursor should go to another token."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._bits: Sequence[float] = ()

    def show(self, bits: Sequence[float]) -> None:
        """Show the entropies of these tokens."""
        self._bits = bits
        self.refresh()

    def _columns(self) -> list[tuple[float, int]]:
        return columns_of(self._bits, self.size.width - LABEL_WIDTH)

    def on_click(self, event: events.Click) -> None:
        columns = self._columns()
        if 0 <= event.x - LABEL_WIDTH < len(columns):
            self.post_message(self.Chosen(columns[event.x - LABEL_WIDTH][1]))

    def render(self) -> Content:
        columns = self._columns()
        height = max(self.size.height, 1)
        highest = max((value for value, _ in columns), default=0.0)
        cursor = column_of(columns, self.cursor, len(self._bits)) if self._bits else None
        curve = draw_curve(columns, cursor, height, highest).split("\n")
        labels = [f"{highest:.1f} bit", *[""] * (height - 2), "entropy"][:height]
        rows = zip(labels, curve, strict=False)
        return Content("\n").join(
            Content.assemble((f"{label:>{LABEL_WIDTH - 1}} ", "dim"), row) for label, row in rows
        )
