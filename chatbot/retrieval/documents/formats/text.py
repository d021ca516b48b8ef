"""Plain text, and data formats that are text themselves: CSV, JSON, LaTeX. Kept as they are.

The names of a table's columns are its heading: a passage from far down is nothing but values, which
neither a search for a column's name finds nor a model can make sense of.
"""

import csv
from typing import Final

from chatbot.retrieval.documents.decoding import decode
from chatbot.retrieval.documents.document import Document, Heading, fold

_TABLES: Final = ("CSV", "TSV")
_MAX_HEADER: Final = 2000
"""Characters of the line with the columns' names; a longer one is none."""


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    text = decode(content)
    headings: tuple[Heading, ...] = ()
    if kind in _TABLES and (columns := _columns(text)):
        headings = (Heading(0, 1, fold(columns)),)
    return Document(kind=kind, title=fold(name), text=text, headings=headings)


def _columns(text: str) -> str:
    """The first line, if it can be that of the columns' names, as it stands; else empty."""
    line = text[: text.find("\n") + 1].strip()
    if not line or len(line) > _MAX_HEADER:
        return ""
    delimiter = max(",;\t|", key=line.count)
    # The first column may be a number without a name; what else begins with no letter is a value.
    first, *names = (cell.strip() for cell in next(csv.reader([line], delimiter=delimiter)))
    is_header = names and all(name[:1].isalpha() or name[:1] == "_" for name in names)
    return line if is_header and not first[:1].isdigit() else ""
