"""PowerPoint (pptx): the slides in their order, each a page with its title, text and notes.

Slides and shapes that are hidden are left out, as is what the master puts on every slide.
"""

from collections.abc import Iterator
from typing import Any, Final

from chatbot.retrieval.documents.archive import MAX_ENTRY_BYTES, Archive
from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.formats.office import (
    main_part,
    open_office,
    relations,
    title_of,
)
from chatbot.retrieval.documents.formats.xml import attribute, local_name, parse_xml
from chatbot.retrieval.documents.text_builder import TextBuilder
from chatbot.wording import memory

_TITLES: Final = ("title", "ctrTitle")
_ON_EVERY_SLIDE: Final = ("dt", "ftr", "hdr", "sldNum", "sldImg")
_OUTLINES: Final = ("", "body", "obj")
"""Places for text whose paragraphs are points of a list; an empty name means ``obj``."""


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    archive = open_office(content, ".pptx")
    main = main_part(archive, "PowerPoint presentation")
    parts = relations(archive, main)
    reading = _Reading(archive)
    for element in parse_xml(archive.read(main)).iterfind("{*}sldIdLst/{*}sldId"):
        # An id without a namespace is beside the one that names the slide.
        names = (value for value in element.attrib.values() if value in parts)
        reading.add_slide(next((parts[found].part for found in names), ""))
    return reading.builder.build(kind, name, title_of(archive))


class _Reading:
    """A presentation on its way into the text."""

    def __init__(self, archive: Archive) -> None:
        self.builder = TextBuilder()
        self._archive = archive
        self._num_slides = 0
        self._num_bytes = 0

    def add_slide(self, part: str) -> None:
        self._num_slides += 1
        self.builder.start_page()
        slide = self._parse(part)
        if attribute(slide, "show") in ("0", "false"):
            return
        shapes = list(_shown_shapes(slide))
        titles = [shape for shape in shapes if _place_of(shape) in _TITLES]
        rest = [shape for shape in shapes if shape not in titles]
        self._add_title(titles, rest)
        related = relations(self._archive, part)
        for shape in rest:
            self._add_shape(shape)
            for element in shape.iter("{*}relIds"):  # a drawing of boxes and arrows: SmartArt
                if (data := related.get(attribute(element, "dm"))) is not None:
                    self._add_paragraphs(self._parse(data.part), is_list=True)
        for relation in related.values():
            if relation.kind == "notesSlide":
                self._add_notes(self._parse(relation.part))

    def _parse(self, part: str) -> Any:
        content = self._archive.read(part)
        self._num_bytes += len(content)
        if self._num_bytes > MAX_ENTRY_BYTES:
            raise DocumentError(
                f"It is refused: its slides unpack to over {memory(MAX_ENTRY_BYTES)}; "
                "split it to have it read."
            )
        return parse_xml(content)

    def _add_title(self, titles: list[Any], rest: list[Any]) -> None:
        """The slide's title as a heading, else its number, where there is any text."""
        title = " ".join(_text_of(shape) for shape in titles).strip()
        if not title and any(_text_of(shape).strip() for shape in rest):
            title = f"Slide {self._num_slides}"
        self.builder.start_heading(1)
        self.builder.add(title)
        self.builder.end_heading()

    def _add_shape(self, shape: Any) -> None:
        builder = self.builder
        builder.end_block()
        if (table := shape.find(".//{*}tbl")) is None:
            self._add_paragraphs(shape, is_list=_place_of(shape) in _OUTLINES)
            return
        for row in table.iterfind("{*}tr"):
            builder.start_row()
            for cell in row.iterfind("{*}tc"):
                builder.start_cell()
                self._add_paragraphs(cell, is_list=False)
            builder.end_row()
        builder.end_block()

    def _add_notes(self, notes: Any) -> None:
        """What the speaker wanted to say."""
        shapes = [shape for shape in _shown_shapes(notes) if _place_of(shape) == "body"]
        if any(_text_of(shape).strip() for shape in shapes):
            self.builder.end_block()
            self.builder.add("Notes: ")
            for shape in shapes:
                self._add_paragraphs(shape, is_list=False)

    def _add_paragraphs(self, parent: Any, *, is_list: bool) -> None:
        builder = self.builder
        for paragraph in parent.iter("{*}p"):
            if not _text_of(paragraph).strip():
                continue
            if is_list:
                properties = paragraph.find("{*}pPr")
                depth = "" if properties is None else attribute(properties, "lvl")
                builder.start_item(int(depth) if depth.isdecimal() else 0)
            for piece in paragraph.iter("{*}t", "{*}br"):
                if local_name(piece) == "t":
                    builder.add(piece.text or "")
                else:
                    builder.end_line()
            builder.end_item() if is_list else builder.end_line()


def _shown_shapes(slide: Any) -> Iterator[Any]:
    """Shapes and frames that can be seen, those in groups too, without what is on every slide."""
    for shape in slide.iter("{*}sp", "{*}graphicFrame"):
        is_shown = not any(_is_hidden(element) for element in (shape, *shape.iterancestors()))
        if is_shown and _place_of(shape) not in _ON_EVERY_SLIDE:
            yield shape


def _is_hidden(element: Any) -> bool:
    """Whether it is hidden, or a second version of what has come already."""
    facts = element.find("*/{*}cNvPr")
    is_hidden = facts is not None and attribute(facts, "hidden") in ("1", "true")
    return is_hidden or local_name(element) == "Fallback"


def _place_of(shape: Any) -> str | None:
    """The kind of place that a shape fills, as its layout has it; None for a shape of its own."""
    place = shape.find("*/{*}nvPr/{*}ph")
    return None if place is None else attribute(place, "type")


def _text_of(element: Any) -> str:
    """Its text, in one line."""
    return " ".join(piece.text or "" for piece in element.iter("{*}t"))
