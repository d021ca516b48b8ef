"""OpenDocument texts and slides (odt, odp), as LibreOffice writes them, from the archive's XML.

Slides are pages, each with its title, its text and its notes. What is not shown is left out:
deleted and hidden text, comments, hidden slides. Footnotes come last.
"""

from typing import Any, Final

from lxml import etree

from chatbot.retrieval.documents.archive import Archive
from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.formats.xml import attribute, local_name, parse_xml
from chatbot.retrieval.documents.text_builder import TextBuilder

_MANIFEST: Final = "META-INF/manifest.xml"
_LEFT_OUT: Final = frozenset(
    (
        *("annotation", "binary-data", "desc", "forms", "hidden-paragraph", "hidden-text"),
        *("script", "table-of-content", "title", "tracked-changes"),
    )
)
_ON_EVERY_SLIDE: Final = ("date-time", "footer", "header", "page-number")
_TITLE: Final = "title"
"""What a slide calls the frame with its title; a text's style of that name is capitalised."""


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    archive = Archive(content)
    if "content.xml" not in archive:
        raise DocumentError("It is no OpenDocument file, whatever its name says.")
    if _MANIFEST in archive:
        for _ in parse_xml(archive.read(_MANIFEST)).iter("{*}encryption-data"):
            raise DocumentError("It is protected with a password; save it without one.")
    root = parse_xml(archive.read("content.xml"))
    builder = TextBuilder()
    _Reading(builder, root).read()
    return builder.build(kind, name, _title_of(archive))


def _title_of(archive: Archive) -> str:
    if "meta.xml" not in archive:
        return ""
    titles = parse_xml(archive.read("meta.xml")).iterfind("{*}meta/{*}title")
    return next(("".join(title.itertext()) for title in titles), "")


class _Reading:
    """A document on its way into the text: a walk over its elements, without recursion."""

    def __init__(self, builder: TextBuilder, root: Any) -> None:
        self._builder = builder
        self._root = root
        self._hiding: set[str] = set()
        """Names of styles that hide a text or a slide."""
        self._titles = {"Title"}
        """Names of styles of the title."""
        for style in root.iter("{*}style"):
            name = attribute(style, "name")
            if attribute(style, "parent-style-name") == "Title":
                self._titles.add(name)
            if any(_is_hiding(properties) for properties in style):
                self._hiding.add(name)
        self._notes: list[Any] = []
        self._num_slides = self._list_depth = self._table_depth = 0

    def read(self) -> None:
        for body in self._root.iterfind("{*}body"):
            self._walk(body)
        for note in self._notes:
            self._builder.end_block()
            self._walk(note)

    def _walk(self, root: Any) -> None:
        walk = etree.iterwalk(root, events=("start", "end"))
        left_out: Any = None
        for event, element in walk:
            name = local_name(element)
            if event == "start":
                if element is not root and self._is_left_out(name, element):
                    left_out = element
                    walk.skip_subtree()
                else:
                    self._start(name, element)
                    self._builder.add(element.text or "")
            else:
                if element is left_out:
                    left_out = None
                else:
                    self._end(name, element)
                if element is not root:
                    self._builder.add(element.tail or "")

    def _is_left_out(self, name: str, element: Any) -> bool:
        if name == "note":
            self._notes += element.iterfind("{*}note-body")
            return True
        if name == "notes":
            return not _text_of(element)
        if name == "frame" and (place := attribute(element, "class")):
            return place == _TITLE or place in _ON_EVERY_SLIDE
        is_hidden = attribute(element, "style-name") in self._hiding or _is_hiding(element)
        if name == "page" and is_hidden:
            self._start_slide()
        return is_hidden or name in _LEFT_OUT

    def _start(self, name: str, element: Any) -> None:
        builder = self._builder
        if level := self._heading_level(name, element):
            builder.start_heading(level)
        elif name in ("p", "h"):
            builder.end_line() if self._table_depth else builder.end_block()
        elif name in ("s", "tab"):
            builder.add(" ")
        elif name == "line-break":
            builder.end_line()
        elif name == "list":
            self._list_depth += 1
        elif name == "list-item":
            builder.start_item(self._list_depth - 1)
        elif name == "table":
            self._table_depth += 1
            builder.end_block()
        elif name == "table-row":
            builder.start_row()
        elif name == "table-cell":
            builder.start_cell()
        elif name == "page":
            self._start_slide()
            self._add_slide_title(element)
        elif name == "notes":
            builder.end_block()
            builder.add("Notes: ")

    def _end(self, name: str, element: Any) -> None:
        builder = self._builder
        if self._heading_level(name, element):
            builder.end_heading()
        elif name in ("p", "h"):
            builder.end_line() if self._table_depth else builder.end_block()
        elif name == "list":
            self._list_depth -= 1
            if not self._list_depth:
                builder.end_block()
        elif name == "list-item":
            builder.end_item()
        elif name == "table":
            self._table_depth -= 1
            builder.end_block()
        elif name == "table-row":
            builder.end_row()

    def _heading_level(self, name: str, element: Any) -> int:
        """1 to 6; 0 where an element is no heading."""
        if self._table_depth or name not in ("p", "h"):
            return 0
        if name == "p":
            return int(attribute(element, "style-name") in self._titles)
        level = attribute(element, "outline-level")
        return int(level) if level.isdecimal() and len(level) < 3 else 1

    def _start_slide(self) -> None:
        self._num_slides += 1
        self._builder.start_page()

    def _add_slide_title(self, slide: Any) -> None:
        """As a heading, else its number, where there is any text."""
        frames = (f for f in slide.iterfind("{*}frame") if attribute(f, "class") == _TITLE)
        title = " ".join(map(_text_of, frames)).strip()
        if not title and _text_of(slide):
            title = f"Slide {self._num_slides}"
        self._builder.start_heading(1)
        self._builder.add(title)
        self._builder.end_heading()


def _is_hiding(element: Any) -> bool:
    """Whether an element, or the properties of a style, says that something is not shown."""
    return attribute(element, "display") == "none" or attribute(element, "visibility") == "hidden"


def _text_of(element: Any) -> str:
    """Its text, in one line."""
    return " ".join(" ".join(element.itertext()).split())
