"""The text of an answer as its tokens: each in the shade of its probability, one under the cursor.

Lays out and draws what it is given; knows no message and no engine.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from rich.cells import cell_len, get_character_cell_size
from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.conversation.token_figures import surprise
from chatbot.conversation.token_text import in_a_row
from chatbot.tokens import TokenRecord
from chatbot.tui.keys import bind
from chatbot.tui.lens.drawing import height_mark, shade_of

END: Final = "■"
"""Stands for a token at the end that has no text: it ended the answer."""
LINE_END: Final = "⏎"

Piece = tuple[int | None, str]
"""A stretch of one row: the token it is of, and its text. None: a mark of the program's."""


class LensText(Widget, can_focus=True):
    """Tokens in rows, with a cursor that goes from one to the next."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("lens_up", "move_row(-1)"),
        bind("lens_down", "move_row(1)"),
    ]

    cursor = reactive(0)
    """Index of the token that is looked at."""
    has_marks = reactive(False)
    """Whether each row has another one below it that shows the surprise as heights."""

    class Moved(Message):
        """The cursor should go to another token."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._records: Sequence[TokenRecord] = ()
        self._marks: Mapping[int, str] = {}
        self._rows: list[list[Piece]] = []
        self._row_of: dict[int, int] = {}
        self._top = 0
        self._goal: tuple[int, int] | None = None
        """Where a move by rows went, and the column that the next one is to keep."""

    def show(self, records: Sequence[TokenRecord], marks: Mapping[int, str]) -> None:
        """Show these tokens.

        Args:
            records: the tokens.
            marks: what the program says before a token, by the token's index.
        """
        self._records, self._marks = records, marks
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        pieces: list[Piece] = []
        for index, record in enumerate(self._records):
            if mark := self._marks.get(index):
                pieces.append(
                    (None, f" ⟦{mark}⟧ "[:-1] if record.text[:1].isspace() else f" ⟦{mark}⟧ ")
                )
            text = in_a_row(record.text)
            if not text and index == len(self._records) - 1 and index:
                text = END
            pieces.append((index, text))
        self._rows = wrap(pieces, max(self.size.width - 1, 8))
        self._row_of = {}
        for number, row in enumerate(self._rows):
            for at, _ in row:
                if at is not None:
                    self._row_of.setdefault(at, number)
        # Half a character stands where the whole one does.
        for index in range(len(self._records) - 2, -1, -1):
            self._row_of.setdefault(index, self._row_of.get(index + 1, 0))
        self._keep_in_sight()
        self.refresh()

    def watch_cursor(self) -> None:
        if self._goal and self._goal[0] != self.cursor:
            self._goal = None
        self._keep_in_sight()

    def watch_has_marks(self) -> None:
        self._keep_in_sight()

    @property
    def num_rows(self) -> int:
        """Rows that all of the text takes, with heights below it if they are shown."""
        return len(self._rows) * (2 if self.has_marks else 1)

    @property
    def _num_shown(self) -> int:
        return max(self.size.height // (2 if self.has_marks else 1), 1)

    def _keep_in_sight(self) -> None:
        row = self._row_of.get(self.cursor, 0)
        margin = 1 if self._num_shown > 2 else 0
        self._top = min(self._top, max(row - margin, 0))
        self._top = max(self._top, row - self._num_shown + 1 + margin)
        self._top = max(min(self._top, len(self._rows) - self._num_shown), 0)

    def _shown_index(self, index: int) -> int:
        """The token whose text stands for this one: of half a character, the other half."""
        while index + 1 < len(self._records) and not self._records[index].text:
            index += 1
        return index

    def action_move_row(self, step: int) -> None:
        """Go to the token above or below."""
        number = self._row_of.get(self.cursor, 0)
        shown = self._shown_index(self.cursor)
        column = self._goal[1] if self._goal else self._column_of(shown, number)
        target = number + step
        while 0 <= target < len(self._rows):
            index = self._token_at(target, column)
            if index is not None and index != shown:  # a token may fill several rows
                self._goal = (index, column)
                self.post_message(self.Moved(index))
                return
            target += step

    def _column_of(self, shown: int, number: int) -> int:
        """The cells before a token in a row."""
        column = 0
        for at, text in self._rows[number] if self._rows else []:
            if at == shown:
                break
            column += cell_len(text)
        return column

    def _token_at(self, number: int, column: int) -> int | None:
        """The token in a row at a column, or the last one before it."""
        found: int | None = None
        left = 0
        for at, text in self._rows[number]:
            if at is not None:
                if left > column and found is not None:
                    break
                found = at
            left += cell_len(text)
        return found

    def on_click(self, event: events.Click) -> None:
        number = self._top + event.y // (2 if self.has_marks else 1)
        if number < len(self._rows):
            index = self._token_at(number, event.x)
            if index is not None:
                self.post_message(self.Moved(index))

    def render(self) -> Content:
        shown = self._shown_index(self.cursor)
        lines: list[Content] = []
        for row in self._rows[self._top : self._top + self._num_shown]:
            lines.append(Content.assemble(*(self._styled(piece, shown) for piece in row)))
            if self.has_marks:
                lines.append(Content.assemble(*map(self._mark, row)))
        return Content("\n").join(lines)

    def _styled(self, piece: Piece, shown: int) -> tuple[str, str]:
        index, text = piece
        if index is None:
            return text, "italic dim"
        if index == shown:
            return text, "reverse bold"
        return text, shade_of(self._records[index])

    def _mark(self, piece: Piece) -> tuple[str, str]:
        index, text = piece
        width = cell_len(text)
        if index is None or not width:
            return " " * width, ""
        return height_mark(surprise(self._records[index])) * width, "dim"


def wrap(pieces: Sequence[Piece], width: int) -> list[list[Piece]]:
    """Pieces in rows of at most ``width`` cells, broken before words where that is possible.

    Each line end is seen as a sign of its own, so that its token can be pointed at.
    """
    rows: list[list[Piece]] = [[]]
    used = 0
    word: list[Piece] = []
    word_width = 0

    def end_word() -> None:
        nonlocal used, word_width
        if used and used + word_width > width:
            rows.append([])
            used = 0
        for at, text in word:
            _add(rows[-1], at, text)
        used += word_width
        word.clear()
        word_width = 0

    for at, text in pieces:
        for character in text.replace("\t", "    "):
            if character == "\n":
                _add(word, at, LINE_END)
                end_word()
                rows.append([])
                used = 0
                continue
            if character == " " and word and not word[-1][1].endswith(" "):
                end_word()
            size = get_character_cell_size(character)
            if word_width + size > width:
                end_word()
            _add(word, at, character)
            word_width += size
    end_word()
    if not rows[-1] and len(rows) > 1:
        rows.pop()
    return rows


def _add(row: list[Piece], at: int | None, text: str) -> None:
    if row and row[-1][0] == at:
        row[-1] = (at, row[-1][1] + text)
    else:
        row.append((at, text))
