"""A list in the sidebar: a line each for what can be switched on and off, and a cursor.

What stands in a line, and what a switch means, is for those that are lists of something.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.tui.drawing.cells import OFF, ON, fitted
from chatbot.tui.keys import with_keys

Row = TypeVar("Row")


class RowList(Widget, Generic[Row], can_focus=True):
    """Rows; Space, Enter and clicks switch the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("space,enter", "switch", show=False),
    ]

    HINT: ClassVar[str]
    """The line below the rows: what its keys do; see ``with_keys``."""
    EMPTY: ClassVar[str] = ""
    """What stands there when there are no rows."""

    # A reactive is of the class, which knows no rows yet.
    rows: reactive[tuple[Any, ...]] = reactive((), layout=True)
    cursor: reactive[int] = reactive(0)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(max(width, 1)))

    def render(self) -> Content:
        return Content("\n").join(self._lines(max(self.size.width, 1)))

    def _lines(self, width: int) -> list[Content]:
        lines = [self.line(row, width) for row in self.rows]
        if self.has_focus and self.cursor < len(lines):
            lines[self.cursor] = lines[self.cursor].stylize("on $primary 30%")
        if not lines and self.EMPTY:
            lines = [Content.styled(with_keys(self.app, self.EMPTY), "dim")]
        hint = with_keys(self.app, self.HINT)
        return [*lines, *self.more_lines(width), Content.styled(hint, "dim")]

    def line(self, row: Row, width: int) -> Content:
        """How a row is shown, in ``width`` columns."""
        raise NotImplementedError

    def more_lines(self, width: int) -> Sequence[Content]:
        """What stands below the rows and cannot be chosen."""
        return ()

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show how the rows stand; the cursor stays where it is."""
        self.rows = tuple(rows)
        self.cursor = min(self.cursor, max(len(rows) - 1, 0))

    @property
    def chosen(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    def action_move(self, step: int) -> None:
        """Go up or down the list."""
        self.cursor = min(max(self.cursor + step, 0), max(len(self.rows) - 1, 0))

    def action_switch(self) -> None:
        """Have the row under the cursor on, or off."""
        if (row := self.chosen) is not None:
            self.switch(row)

    def switch(self, row: Row) -> None:
        """Tell whoever wants to know that ``row`` is wanted on, or off."""
        raise NotImplementedError

    def on_click(self, event: events.Click) -> None:
        if event.y < len(self.rows):
            event.stop()
            self.cursor = event.y
            self.action_switch()


def switch_line(name: str, about: str, colour: str, width: int, *, is_on: bool) -> Content:
    """``☑ calculate            allow``: what is switched, and in ``colour`` how it stands."""
    shown = fitted(name, max(width - cell_len(about) - 3, 6))
    gap = " " * max(width - 2 - cell_len(shown) - cell_len(about), 1)
    return Content.assemble(
        (f"{ON if is_on else OFF} ", "$text-accent"),
        (shown, "" if is_on else "dim"),
        gap,
        (about, colour if is_on else "dim"),
    )
