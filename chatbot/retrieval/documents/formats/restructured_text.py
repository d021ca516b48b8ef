"""reStructuredText: the file as it is, with its section titles.

A title is a line underlined, or over- and underlined, with a repeated mark at least as long as
itself. Which marks stand for which level is for each document to choose: the first that occurs
is the outermost.
"""

import re
from typing import Final

from chatbot.retrieval.documents.decoding import decode
from chatbot.retrieval.documents.document import Document, Heading, fold
from chatbot.retrieval.documents.limits import MAX_HEADINGS

_ADORNMENT: Final = re.compile(r"([!-/:-@\[-`{-~])\1+[ \t]*", re.ASCII)
_ROLES: Final = re.compile(r":[\w:.-]+:(?=`)|`__?|[`*|]+|(?<=\w)_+(?=\W|$)")

_MAX_TITLE_LENGTH: Final = 1_000


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    text = decode(content)
    headings = tuple(_headings(text))
    title = headings[0].text if headings else fold(name)
    return Document(kind=kind, title=title, text=text, headings=headings)


def _headings(text: str) -> list[Heading]:
    levels: dict[tuple[str, bool], int] = {}
    headings: list[Heading] = []
    above, above_start = "", 0
    title, title_start = "", 0
    start = 0
    for line in text.split("\n"):
        next_start = start + len(line) + 1
        if _is_title(title, line):
            has_overline = bool(_ADORNMENT.fullmatch(above)) and above.rstrip() == line.rstrip()
            # Without an overline, a line above means that this is the end of a paragraph or
            # a table; only the beginning of the text and a blank line let a title follow.
            # An indented title has to have both.
            if has_overline or (not above.strip() and not title[0].isspace()):
                style = (line[0], has_overline)
                level = levels.setdefault(style, len(levels) + 1)
                at = above_start if has_overline else title_start
                headings.append(Heading(at, min(level, 6), _text(title)))
                if len(headings) == MAX_HEADINGS:
                    break
                line = ""  # an underline is used up: it cannot be the overline of the next
        above, above_start, title, title_start = title, title_start, line, start
        start = next_start
    return headings


def _text(title: str) -> str:
    return fold(_ROLES.sub("", title[:_MAX_TITLE_LENGTH]))


def _is_title(title: str, underline: str) -> bool:
    """Whether the second line underlines the first."""
    return bool(
        title.strip()
        and _ADORNMENT.fullmatch(underline)
        and len(underline.rstrip()) >= len(title.rstrip())
        and not _ADORNMENT.fullmatch(title)
    )
