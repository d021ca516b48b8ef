"""PDF: the text of its pages, with the places of the entries of its outline as headings."""

import re
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

import pypdfium2
import pypdfium2.raw

from chatbot.retrieval.documents.document import (
    SURROGATES,
    Document,
    DocumentError,
    Heading,
    check_length,
    fold,
)
from chatbot.retrieval.documents.limits import MAX_TEXT_CHARACTERS

MAX_PAGES: Final = 20_000
MAX_OUTLINE_ENTRIES: Final = 2_000

_SEARCHED_CHARACTERS: Final = 20_000
"""Of a page, in the search for the title of an entry."""

_HYPHEN: Final = re.compile("(?:\x02|\ufffe)[ \t]*(?:\r?\n)?")
"""How PDFium gives a hyphen at the end of a line, where it parts a word."""
_PAGE_GAP: Final = "\n\n"
_NO_TITLE: Final = re.compile(
    r"untitled.*|microsoft word.*|.*\.(?:docx?|dvi|indd|odt|pdf|pptx?|ps|qxd|tex|txt|xlsx?)|\W*",
    re.IGNORECASE | re.DOTALL,
)
"""What programs put into the place of a title."""


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    pdf = _open(content)
    try:
        if len(pdf) > MAX_PAGES:
            raise DocumentError(f"It has more than {MAX_PAGES:,} pages; split it to have it read.")
        pages = _read_pages(pdf)
        if not any(pages):
            raise DocumentError(
                "There is no text in it, only pictures of pages; run it through text recognition "
                "(OCR) to have it read."
            )
        starts = _starts(pages)
        text = _PAGE_GAP.join(pages)
        headings = _headings(pdf, text, starts)
        title = fold(_decoded(lambda: pdf.get_metadata_value("Title")))
        if _NO_TITLE.fullmatch(title):
            title = headings[0].text if headings else fold(name)
        return Document(kind=kind, title=title, text=text, headings=headings, page_starts=starts)
    except pypdfium2.PdfiumError as error:
        raise DocumentError("It is damaged: a page of it cannot be read.") from error
    finally:
        pdf.close()


def _open(content: bytes) -> Any:
    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise DocumentError(
                "It is protected with a password; save it without one to have it read."
            ) from error
        if code == pypdfium2.raw.FPDF_ERR_SECURITY:
            raise DocumentError("It is encrypted in a way that is not read.") from error
        raise DocumentError("It is damaged or no PDF, whatever its name says.") from error


def _read_pages(pdf: Any) -> list[str]:
    pages = []
    num_characters = 0
    for index in range(len(pdf)):
        page = pdf[index]
        text_page = page.get_textpage()
        pages.append(_tidy(_text_of(text_page)))
        text_page.close()
        page.close()
        num_characters += len(pages[-1])
        check_length(num_characters, MAX_TEXT_CHARACTERS)
    return pages


def _text_of(text_page: Any) -> str:
    return str(text_page.get_text_range(errors="replace"))


def _tidy(text: str) -> str:
    """A page's text with parted words joined, and with newlines as lines end elsewhere."""
    text = _HYPHEN.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    text = "\n".join(map(str.rstrip, text.split("\n"))).strip()
    return SURROGATES.sub("\ufffd", text)


def _starts(pages: list[str]) -> tuple[int, ...]:
    starts, start = [], 0
    for page in pages:
        starts.append(start)
        start += len(page) + len(_PAGE_GAP)
    return tuple(starts)


def _headings(pdf: Any, text: str, starts: tuple[int, ...]) -> tuple[Heading, ...]:
    """The entries of the outline, each at its title on its page, else where the page begins."""
    headings = []
    for bookmark in islice(pdf.get_toc(), MAX_OUTLINE_ENTRIES):
        title = fold(_decoded(bookmark.get_title))
        target = bookmark.get_dest()
        page = target.get_index() if target else None
        if not title or page is None or not 0 <= page < len(starts):
            continue
        start = starts[page]
        end = starts[page + 1] if page + 1 < len(starts) else len(text)
        words = r"\s+".join(map(re.escape, title.split()))
        line = re.compile(rf"^[^\w\n]*(?:[\d.]+[ \t]+)?{words}", re.IGNORECASE | re.MULTILINE)
        found = line.search(text, start, min(end, start + _SEARCHED_CHARACTERS))
        headings.append(
            Heading(found.start() if found else start, min(bookmark.level + 1, 6), title)
        )
    return tuple(sorted(headings, key=lambda heading: heading.start))


def _decoded(get: Callable[[], str]) -> str:
    """A text of the file's own data; empty where it is none."""
    try:
        return get()
    except UnicodeDecodeError:
        return ""
