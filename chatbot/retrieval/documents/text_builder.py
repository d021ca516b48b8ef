"""Puts extracted text together: lines, blocks, lists, tables and headings, of bounded size.

White space that is asked for comes before the next text only, so that nothing begins or ends
with it and no gap is wider than a blank line. Knows no format.
"""

from typing import Final

from chatbot.retrieval.documents.document import (
    SURROGATES,
    Document,
    DocumentError,
    Heading,
    check_length,
    fold,
)
from chatbot.retrieval.documents.limits import MAX_HEADINGS, MAX_TEXT_CHARACTERS

_CELL_SEPARATOR: Final = " | "
_MAX_INDENT: Final = 8
"""Lists within lists, beyond which no list is set further in."""


class TextBuilder:
    """A text under construction."""

    def __init__(self, max_characters: int = MAX_TEXT_CHARACTERS) -> None:
        self._max_characters = max_characters
        self._parts: list[str] = []
        self._num_characters = 0
        self._headings: list[Heading] = []
        self._heading_level = 0
        self._heading_part: int | None = None
        self._heading_start = 0
        self._page_starts: list[int] = []
        self._num_pages_due = 0
        """Begun since the last text; those before the last of them are empty."""
        self._num_newlines_due = 0
        self._is_space_due = False
        self._prefix = ""
        self._is_opening = False
        """An item, row or cell has no text yet: blocks in it begin where it does."""
        self._row_start = 0
        self._is_cell_due = False

    def add(self, text: str) -> None:
        """Running text, in which any white space is one space."""
        words = text.split()
        if not words:
            self._is_space_due = self._is_space_due or bool(text)
            return
        if text[0].isspace():
            self._is_space_due = True
        self._put(" ".join(words))
        self._is_space_due = text[-1].isspace()

    def add_lines(self, text: str) -> None:
        """Text whose lines and spaces stay as they are."""
        if text:
            self._put(text)
            self._is_space_due = False

    def end_line(self) -> None:
        """What follows begins on a new line."""
        if not self._is_opening:
            self._num_newlines_due = max(self._num_newlines_due, 1)

    def end_block(self) -> None:
        """What follows is set off by a blank line."""
        if not self._is_opening:
            self._num_newlines_due = 2

    def start_item(self, depth: int, mark: str = "-") -> None:
        """What follows is an item of a list, ``depth`` lists deep, from 0."""
        self._is_opening = False
        self.end_line()
        if depth:
            self._num_newlines_due = 1
        self._prefix = "  " * min(depth, _MAX_INDENT) + mark + " "
        self._is_opening = True

    def end_item(self) -> None:
        """The item is complete; the next one follows without a blank line."""
        self._prefix, self._is_opening = "", False
        self._num_newlines_due = 1

    def start_row(self) -> None:
        """What follows is a row of a table."""
        self.end_line()
        self._row_start = self._num_characters
        self._is_cell_due, self._is_opening = False, True

    def end_row(self) -> None:
        """The row is complete; the next one follows without a blank line."""
        self._is_cell_due = self._is_opening = False
        self._num_newlines_due = 1

    def start_cell(self) -> None:
        """What follows is a cell of a row; it goes on in the line of the last one."""
        self._is_cell_due = self._num_characters > self._row_start
        self._is_opening = True

    def start_page(self) -> None:
        """What follows is on a new page, which may stay empty."""
        self._is_opening = False
        self.end_block()
        self._num_pages_due += 1

    def start_heading(self, level: int) -> None:
        """What follows, up to ``end_heading``, is a heading."""
        self._is_opening = False
        self.end_block()
        self._heading_level = max(1, min(level, 6))
        self._heading_part = None

    def end_heading(self) -> None:
        """The heading is complete; one without text is none."""
        if self._heading_level and self._heading_part is not None:
            text = fold("".join(self._parts[self._heading_part :]))
            if len(self._headings) < MAX_HEADINGS:
                self._headings.append(Heading(self._heading_start, self._heading_level, text))
        self._heading_level = 0
        self.end_block()

    def build(self, kind: str, name: str, title: str) -> Document:
        """The document.

        Args:
            name: the file's, which is the title where there is neither a title nor a heading.
            title: as the document itself gives it; may be empty.

        Raises:
            DocumentError: there is no text.
        """
        if not self._num_characters:
            raise DocumentError("There is no text in it.")
        text = "".join(self._parts)
        first_heading = self._headings[0].text if self._headings else ""
        title = fold(title) or first_heading or fold(name)
        starts = (*self._page_starts, *[len(text)] * self._num_pages_due)
        return Document(
            kind=kind, title=title, text=text, headings=tuple(self._headings), page_starts=starts
        )

    def _put(self, text: str) -> None:
        before = self._white_space()
        if self._heading_level and self._heading_part is None:
            self._heading_part = len(self._parts) + 1
            self._heading_start = self._num_characters + len(before)
        self._page_starts += [self._num_characters + len(before)] * self._num_pages_due
        self._num_pages_due = 0
        text = SURROGATES.sub("\ufffd", text)
        self._parts += (before, text)
        self._num_characters += len(before) + len(text)
        check_length(self._num_characters, self._max_characters)

    def _white_space(self) -> str:
        """What has to come before the next text; nothing of it is due afterwards."""
        if self._is_cell_due:
            before = _CELL_SEPARATOR
        elif self._num_newlines_due and self._parts:
            before = "\n" * self._num_newlines_due + self._prefix
        elif self._num_newlines_due or not self._parts:
            before = self._prefix
        else:
            before = self._prefix or " " * self._is_space_due
        self._num_newlines_due, self._is_space_due = 0, False
        self._prefix, self._is_cell_due, self._is_opening = "", False, False
        return before
