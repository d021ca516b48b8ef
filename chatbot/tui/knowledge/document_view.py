"""A document of any length, with one stretch of it marked.

Only the rows in sight are ever cleaned, wrapped and drawn, so that a document of many
megabytes opens at once. Knows a text and offsets in it, and nothing of where they are from.
"""

from collections.abc import Collection
from typing import ClassVar, Final, NamedTuple

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget

from chatbot.terminal_text import clean
from chatbot.tui.chat.emphasis import emphasised
from chatbot.tui.keys import bind

MAX_PIECE: Final = 2000
"""Longest stretch of one line, in characters, that is wrapped at a time."""

CONTEXT_ROWS: Final = 3
"""Rows that are shown above the marked stretch, where there are any."""


class Place(NamedTuple):
    """A row of the wrapped text."""

    piece: int
    """Offset of the piece of a line that it belongs to."""
    row: int
    """Which of the piece's rows it is."""


class DocumentView(Widget, can_focus=True):
    """The text with its line numbers, and at the right where in the document one is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("up", "move(-1)"),
        bind("down", "move(1)"),
        bind("page_up", "page(-1)"),
        bind("page_down", "page(1)"),
        bind("start", "to_start"),
        bind("end", "to_end"),
        bind("back_to_passage", "to_mark"),
    ]

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._text = ""
        self._mark = (0, 0)
        self._words: frozenset[str] = frozenset()
        self._page_starts: tuple[int, ...] = ()
        self._top = Place(0, 0)
        self._counted = (0, 1)
        """An offset at the beginning of a line, and the number of that line."""
        self._num_width = 1
        self._is_at_mark = True
        """The user has not moved away from the marked stretch."""
        self._rows: dict[int, list[Content]] = {}

    def show(
        self,
        text: str,
        mark: tuple[int, int] = (0, 0),
        *,
        words: Collection[str] = (),
        page_starts: tuple[int, ...] = (),
    ) -> None:
        """Show a text, not cleaned yet, from a little above the stretch that is marked.

        Args:
            text: the whole document.
            mark: offsets of the marked stretch; twice the same for none.
            words: in lower case, emphasised within the marked stretch.
            page_starts: offset of each page's first character.
        """
        self._text, self._mark = text, mark
        self._words, self._page_starts = frozenset(words), page_starts
        self._counted = (0, 1)
        self._num_width = len(str(text.count("\n") + 1))
        self._rows.clear()
        self.action_to_mark()

    def on_resize(self) -> None:
        row = self._top.row
        self._rows.clear()
        self._top = Place(self._top.piece, min(row, len(self._rows_of(self._top.piece)) - 1))
        if self._is_at_mark:
            self.action_to_mark()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._rows.clear()

    # Moving

    def action_move(self, num_rows: int) -> None:
        """Go down by so many rows, or up where it is negative."""
        self._is_at_mark = False
        for _ in range(abs(num_rows)):
            place = self._after(self._top) if num_rows > 0 else self._before(self._top)
            if place is None:
                break
            self._top = place
        self._keep_full()
        self.refresh()

    def action_page(self, direction: int) -> None:
        """Go down or up by most of what is in sight."""
        self.action_move(direction * max(self.size.height - 2, 1))

    def action_to_start(self) -> None:
        """Go to the beginning of the document."""
        self._is_at_mark = False
        self._top = Place(0, 0)
        self.refresh()

    def action_to_end(self) -> None:
        """Go to the end of the document."""
        self._is_at_mark = False
        self._top = self._last()
        self._keep_full()
        self.refresh()

    def action_to_mark(self) -> None:
        """Go to the marked stretch."""
        self._top = Place(self._piece_at(self._mark[0])[0], 0)
        start = self._mark[0] - self._top.piece
        rows = self._rows_of(self._top.piece)
        seen = 0
        while self._top.row + 1 < len(rows) and seen + len(rows[self._top.row]) <= start:
            seen += len(rows[self._top.row])
            self._top = Place(self._top.piece, self._top.row + 1)
        self.action_move(-CONTEXT_ROWS)
        self._is_at_mark = True

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def on_click(self, event: events.Click) -> None:
        """A click on the strip at the right goes to that place of the document."""
        if event.x == self.size.width - 1 and self.size.height:
            offset = len(self._text) * event.y // self.size.height
            self._is_at_mark = False
            self._top = Place(self._piece_at(offset)[0], 0)
            self._keep_full()
            self.refresh()

    def _keep_full(self) -> None:
        """Leave no empty room below the last row while there is something above the first."""
        height = max(self.size.height, 1)
        place: Place | None = self._top
        for shown in range(height):
            if place is None:
                for _ in range(height - shown):
                    self._top = self._before(self._top) or self._top
                return
            place = self._after(place)

    # Drawing

    def render(self) -> Content:
        height = self.size.height
        bodies: list[Content] = []
        place: Place | None = self._top if self._text else None
        last = self._top
        while place and len(bodies) < height:
            bodies.append(self._row(place))
            last, place = place, self._after(place)
        if place is None and self._top == Place(0, 0):
            return Content("\n").join(bodies)  # all of it is in sight
        shown = self._top.piece, self._piece_at(last.piece)[1]
        bodies += [Content("")] * (height - len(bodies))
        strip = (self._strip_cell(y, height, shown) for y in range(height))
        rows = zip(bodies, strip, strict=True)
        return Content("\n").join(Content.assemble(body, cell) for body, cell in rows)

    def _row(self, place: Place) -> Content:
        """One row with its line number, exactly as wide as there is room."""
        start, end = self._piece_at(place.piece)
        text = self._rows_of(place.piece)[place.row]
        is_first = place.row == 0 and (start == 0 or self._text[start - 1] == "\n")
        number = str(self._line_number(start)) if is_first else ""
        is_marked = self._mark[0] < max(end, start + 1) and start < self._mark[1]
        bar = ("┃ ", "bold $accent") if is_marked else ("│ ", "dim")
        page = next((i for i, p in enumerate(self._page_starts, 1) if start <= p <= end), None)
        if page is not None and place.row == 0:
            number = f"p{page}"
        gutter = f"{number:>{self._num_width}} "
        room = self._text_width()
        return Content.assemble((gutter, "dim"), bar, text.pad_right(room - text.cell_length))

    def _strip_cell(self, y: int, height: int, shown: tuple[int, int]) -> tuple[str, str]:
        """The cell of the strip at the right: what is in sight, and where the mark is.

        Args:
            y: its row.
            height: rows of the strip, which stand for the whole document.
            shown: offsets of what is in sight.
        """
        total = max(len(self._text), 1)
        first, last = total * y // height, total * (y + 1) // height
        if first < self._mark[1] and self._mark[0] < max(last, first + 1):
            return " ◆", "bold $accent"
        is_here = first < shown[1] and shown[0] < max(last, first + 1)
        return (" ┃", "$primary") if is_here else (" │", "dim")

    def _text_width(self) -> int:
        return max(self.size.width - self._num_width - 1 - 2 - 2, 8)

    # The wrapped text

    def _piece_at(self, offset: int) -> tuple[int, int]:
        """Start and end of the piece of a line that holds ``offset``, the newline left off."""
        line_start = self._text.rfind("\n", 0, offset) + 1
        line_end = self._text.find("\n", offset)
        line_end = len(self._text) if line_end < 0 else line_end
        num_before = (min(offset, max(line_end - 1, line_start)) - line_start) // MAX_PIECE
        start = line_start + num_before * MAX_PIECE
        return start, min(start + MAX_PIECE, line_end)

    def _rows_of(self, piece: int) -> list[Content]:
        """The wrapped rows of the piece that begins at ``piece``; at least one."""
        if piece not in self._rows:
            if len(self._rows) > 2000:
                self._rows.clear()
            start, end = self._piece_at(piece)
            first = min(max(self._mark[0], start), end)
            last = min(max(self._mark[1], first), end)
            before, marked, after = (
                _shown(self._text[a:b]) for a, b in ((start, first), (first, last), (last, end))
            )
            content = Content.assemble(before, self._emphasise(marked), after)
            self._rows[piece] = content.wrap(self._text_width()) or [Content("")]
        return self._rows[piece]

    def _emphasise(self, marked: str) -> Content:
        return emphasised(marked, self._words).stylize_before("on $primary 30%")

    def _after(self, place: Place) -> Place | None:
        if place.row + 1 < len(self._rows_of(place.piece)):
            return Place(place.piece, place.row + 1)
        end = self._piece_at(place.piece)[1]
        if end < len(self._text) and self._text[end] == "\n":
            end += 1
        return Place(end, 0) if end < len(self._text) else None

    def _before(self, place: Place) -> Place | None:
        if place.row:
            return Place(place.piece, place.row - 1)
        if not place.piece:
            return None
        piece = self._piece_at(place.piece - 1)[0]
        return Place(piece, len(self._rows_of(piece)) - 1)

    def _last(self) -> Place:
        piece = self._piece_at(max(len(self._text) - 1, 0))[0]
        return Place(piece, len(self._rows_of(piece)) - 1)

    def _line_number(self, offset: int) -> int:
        """The number of the line that begins at ``offset``, counted on from the last one."""
        known, number = self._counted
        if known <= offset:
            number += self._text.count("\n", known, offset)
        else:
            number -= self._text.count("\n", offset, known)
        self._counted = (offset, number)
        return number


def _shown(text: str) -> str:
    """Text of one line, safe to show on one line."""
    return clean(text).replace("\n", " ").replace("\t", "    ")
