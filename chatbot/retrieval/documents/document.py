"""What reading a file results in. Imports nothing heavy; knows no format."""

import re
from typing import Final

import msgspec

from chatbot.errors import KnowledgeError

SURROGATES: Final = re.compile("[\ud800-\udfff]")
"""Halves of characters, which cannot be encoded: they come out of broken PDFs and file names."""

MAX_TITLE_LENGTH: Final = 200
"""Characters of a title or a heading; what is longer is no title but a paragraph."""


class Heading(msgspec.Struct, frozen=True):
    """A heading within a document's text."""

    start: int
    """Characters of the text before the line that it stands in."""
    level: int
    """1 (outermost) to 6."""
    text: str
    """Without the format's marks; white space folded, not cleaned for the terminal."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A file as text.

    For Markdown, plain text, reStructuredText, code, CSV and JSON the text is the decoded file,
    character by character, with line ends as Python's text mode has them: ``\\r\\n`` and ``\\r``
    are one ``\\n``, and a byte order mark is left out. Offsets into it are therefore offsets into
    ``Path.read_text``. For all other formats it is what was extracted.

    Nothing here is cleaned for the terminal, because offsets count the text as it is: passages
    are cleaned when they are made.
    """

    kind: str
    """The format, as users call it: ``Markdown``, ``PDF``, ``Python``."""
    title: str
    """What the document calls itself, else the file's name; one line."""
    text: str
    """Never empty, and without lone surrogates, so that it can be encoded."""
    headings: tuple[Heading, ...] = ()
    """In the order of the text."""
    page_starts: tuple[int, ...] = ()
    """Offset of each page's first character, where there are pages; slides and sheets are some."""
    has_rows: bool = False
    """Whether its pages are sheets, each a line with its name and then its rows, one a line."""


class DocumentError(KnowledgeError):
    """A file cannot be a document; the text is the reason, in one sentence."""


def check_length(num_characters: int, most: int) -> None:
    """Refuse a text of more than ``most`` characters.

    Raises:
        DocumentError: it is longer.
    """
    if num_characters > most:
        raise DocumentError(
            f"It holds more than {most:,} characters of text; split it to have it read."
        )


def fold(text: str) -> str:
    """A title or heading on one line, cut where it is too long, without lone surrogates."""
    line = " ".join(SURROGATES.sub("\ufffd", text[: 8 * MAX_TITLE_LENGTH]).split())
    return line if len(line) <= MAX_TITLE_LENGTH else line[: MAX_TITLE_LENGTH - 1] + "…"
