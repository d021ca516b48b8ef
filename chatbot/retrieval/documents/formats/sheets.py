"""Spreadsheets (Excel, OpenDocument): each sheet a page, each of its rows a line.

The lines of a sheet are counted from the one with its name, so that the number of each is that of
its row. Of a cell there is the value that was last computed. Hidden sheets are left out.
"""

import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from python_calamine import (
    CalamineError,
    CalamineWorkbook,
    PasswordError,
    SheetVisibleEnum,
    load_workbook,
)

from chatbot.retrieval.documents.archive import Archive
from chatbot.retrieval.documents.document import (
    Document,
    DocumentError,
    Heading,
    check_length,
    fold,
)
from chatbot.retrieval.documents.formats.office import OLE_MARK
from chatbot.retrieval.documents.limits import MAX_HEADINGS, MAX_TEXT_CHARACTERS

_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
"""What the container of the old formats has in it where it is around one of the new ones."""
_LOCKED: Final = "It is protected with a password; save it without one to have it read."
_SEPARATOR: Final = " | "
_GAP: Final = re.compile(r"(?: \| ){10,}")
"""More empty cells on end than anybody counts: before a value far to the right they would be
passages of nothing else."""
_MAX_WHOLE: Final = 1e15
"""Whole numbers below it are written in full, and numbers have no more digits that count."""


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    if not content.startswith(OLE_MARK):
        Archive(content)  # refuses what would fill the memory
    elif _ENCRYPTED in content:
        raise DocumentError(_LOCKED)
    try:
        return _Reading().read(load_workbook(io.BytesIO(content))).build(name, kind)
    except PasswordError as error:
        raise DocumentError(_LOCKED) from error
    except CalamineError as error:
        raise DocumentError("It is damaged or no spreadsheet, whatever its name says.") from error


class _Reading:
    """A workbook on its way into the text."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._num_characters = 0
        self._headings: list[Heading] = []
        self._page_starts: list[int] = []

    def read(self, book: CalamineWorkbook) -> "_Reading":
        for sheet in book.sheets_metadata:
            if sheet.visible == SheetVisibleEnum.Visible:
                self._page_starts.append(self._num_characters)
                self._add_sheet(sheet.name, book.get_sheet_by_name(sheet.name).iter_rows())
        return self

    def build(self, name: str, kind: str) -> Document:
        if not self._lines:
            raise DocumentError("There is no text in it.")
        return Document(
            kind=kind,
            title=fold(name),
            text="\n".join(self._lines),
            headings=tuple(self._headings[:MAX_HEADINGS]),
            page_starts=tuple(self._page_starts),
            has_rows=True,
        )

    def _add_sheet(self, name: str, rows: Iterator[Sequence[Any]]) -> None:
        is_named = is_header_due = True
        for row in rows:
            if is_named:  # one with no row at all is not named
                self._add_line(fold(name), 1)
                is_named = False
            cells = [_shown(value) for value in row]
            if is_header_due and sum(map(bool, cells)) > 1:
                is_header_due = False
                self._add_line(_joined(cells), 2 if _is_header(row) else 0)
            else:
                self._add_line(_joined(cells))
        if not is_named:
            self._add_line("")

    def _add_line(self, line: str, heading_level: int = 0) -> None:
        if heading_level:
            self._headings.append(Heading(self._num_characters, heading_level, fold(line)))
        self._lines.append(line)
        self._num_characters += len(line) + 1
        check_length(self._num_characters, MAX_TEXT_CHARACTERS)


def _joined(cells: list[str]) -> str:
    while cells and not cells[-1]:
        cells.pop()
    return _GAP.sub(" | … | ", _SEPARATOR.join(cells))


def _is_header(row: Sequence[Any]) -> bool:
    """Whether a row can be that of the columns' names: it has no value but words."""
    values = [value for value in row if value != ""]
    return all(isinstance(v, str) and (v[:1].isalpha() or v[:1] == "_") for v in values)


def _shown(value: Any) -> str:
    """A cell's value, as a spreadsheet shows it without a format of its own."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < _MAX_WHOLE else f"{value:.15g}"
    return str(value)  # dates and times, as ISO 8601 has them
