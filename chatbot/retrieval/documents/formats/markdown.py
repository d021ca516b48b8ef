"""Markdown: the file as it is, with its headings.

Headings are found by the block parser of markdown-it, which knows that a ``#`` in a code fence
is none; the much slower parsing of what is within paragraphs is left out.
"""

import re
from itertools import accumulate
from typing import Final

from markdown_it import MarkdownIt

from chatbot.retrieval.documents.decoding import decode
from chatbot.retrieval.documents.document import Document, Heading, fold
from chatbot.retrieval.documents.limits import MAX_HEADINGS

_FRONT_MATTER: Final = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S | re.M)
_FRONT_MATTER_TITLE: Final = re.compile(r"^title:[ \t]*(['\"]?)(.*?)\1[ \t]*$", re.M)
_HAS_HEADING: Final = re.compile(r"^ {0,3}(?:#|-+[ \t]*$|=+[ \t]*$)", re.M)
"""Lines without which there is no heading, so that the parser need not be asked."""
_MARKS: Final = re.compile(r"\\([^\w\s])|!?\[([^\]]*)\]\([^)]*\)|`+|\*+|(?<!\w)_+|_+(?!\w)|<[^>]*>")
"""Marks within a line: an escape, a link or picture, code, emphasis, a tag."""
_MAX_HEADING_LENGTH: Final = 1_000
_MAX_FRONT_MATTER_LENGTH: Final = 20_000

_parser: Final = MarkdownIt("commonmark")
_parser.core.ruler.enableOnly(["normalize", "block"])


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    text = decode(content)
    front = _FRONT_MATTER.match(text)
    body_start = front.end() if front else 0
    headings = _headings(text, body_start)
    title = front and _FRONT_MATTER_TITLE.search(front[1][:_MAX_FRONT_MATTER_LENGTH])
    return Document(
        kind=kind,
        title=(fold(title[2]) if title else "")
        or (headings[0].text if headings else "")
        or fold(name),
        text=text,
        headings=headings,
    )


def _headings(text: str, body_start: int) -> tuple[Heading, ...]:
    body = text[body_start:]
    if not _HAS_HEADING.search(body):
        return ()
    tokens = _parser.parse(body)
    # Like the parser, and unlike splitlines, take nothing but a newline for the end of a line.
    starts = [0, *accumulate(len(line) + 1 for line in body.split("\n"))]
    headings = []
    for index, token in enumerate(tokens):
        # A heading within a list or a quotation does not divide the document.
        if token.type != "heading_open" or token.level or token.map is None:
            continue
        if title := _title(tokens[index + 1].content):
            start = body_start + starts[token.map[0]]
            headings.append(Heading(start, int(token.tag[1]), title))
            if len(headings) == MAX_HEADINGS:
                break
    return tuple(headings)


def _title(content: str) -> str:
    """A heading's text without marks; cut before, because the search for pairs takes its time."""
    return fold(_MARKS.sub(_unmarked, content[:_MAX_HEADING_LENGTH]))


def _unmarked(mark: re.Match[str]) -> str:
    return mark[1] or mark[2] or ""
