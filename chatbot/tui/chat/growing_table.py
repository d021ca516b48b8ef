"""Tables of Markdown: columns aligned as the source says, and no line between rows without need.

Imported only where Markdown is shown. Knows nothing of how the text came to be.
"""

from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Final

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.content import Content
from textual.layout import Layout
from textual.layouts.grid import GridLayout
from textual.widget import AwaitMount, Widget
from textual.widgets import Static
from textual.widgets._markdown import (
    MarkdownBlock,
    MarkdownTable,
    MarkdownTableContent,
    MarkdownTH,
)

PADDING: Final = 2
"""Cells of a column beside its text, without what parts it from the next."""

_SIDES: Final = {f"text-align:{side}": f"-{side}" for side in ("left", "center", "right")}
"""Class of a column, by what the parser says of its cells."""


class GrowingTable(MarkdownTable):
    """A table as its source has it."""

    def compose(self) -> ComposeResult:
        self._headers, self._rows = self._get_headers_and_rows()
        yield TableCells(self._headers, self._rows, [_side(head) for head in _heads(self)])


class TableCells(MarkdownTableContent):
    """The cells, as wide as they need be; where that is too wide, lines tell the rows apart."""

    def __init__(self, headers: list[Content], rows: list[list[Content]], sides: list[str]) -> None:
        """Make the cells; ``sides`` are the classes of the columns."""
        super().__init__(headers, rows)
        self._sides = sides
        self._widths = [0] * len(sides)
        """Cells that each column takes where nothing of it is wrapped."""

    def pre_layout(self, layout: Layout) -> None:
        super().pre_layout(layout)
        if isinstance(layout, GridLayout):
            layout.expand = False

    def mount_all(
        self,
        widgets: Iterable[Widget],
        *,
        before: int | str | Widget | None = None,
        after: int | str | Widget | None = None,
    ) -> AwaitMount:
        """Mount whole rows of cells."""
        cells = list(widgets)
        for cell, column in zip(cells, cycle(range(len(self._sides))), strict=False):
            cell.add_class(self._sides[column])
            if isinstance(cell, Static):
                self._widths[column] = max(cell_len(str(cell.content)), self._widths[column])
        self._tell_rows_apart()
        return super().mount_all(cells, before=before, after=after)

    def on_resize(self) -> None:
        self._tell_rows_apart()

    def _tell_rows_apart(self) -> None:
        room = self.size.width - (PADDING + 1) * len(self._widths)
        wraps = self.size.width > 0 and room < sum(self._widths)
        self.set_class(wraps, "-wraps")
        widths = shared_widths(self._widths, room - 1) if wraps else ()
        self.styles.grid_columns = [width + PADDING for width in widths] or "auto"


def shared_widths(wanted: Sequence[int], room: int) -> list[int]:
    """What each column gets of too little room: those that want less than an equal share get what
    they want, and the others share the rest."""
    given = [0] * len(wanted)
    for number, column in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        share = max((room - sum(given)) // (len(wanted) - number), 1)
        given[column] = min(wanted[column], share)
    return given


def _heads(block: MarkdownBlock) -> Iterable[MarkdownTH]:
    for child in block._blocks:
        if isinstance(child, MarkdownTH):
            yield child
        yield from _heads(child)


def _side(head: MarkdownTH) -> str:
    return _SIDES.get(str(head._token.attrGet("style")), "-left")
