"""What Word's styles say of a paragraph: whether it is a heading, or an item of a list."""

import re
from typing import Any, Final

import msgspec

from chatbot.retrieval.documents.archive import Archive
from chatbot.retrieval.documents.formats.xml import attribute, parse_xml

_HEADING_NAME: Final = re.compile(r"heading (\d)", re.IGNORECASE)
_MAX_BASES: Final = 10
"""Styles that a style rests on, one on the other; more are a loop."""
_BODY_LEVEL: Final = 9
"""The outline level that means: no heading."""
_NO_LIST: Final = "0"


class ParagraphStyle(msgspec.Struct, frozen=True):
    """What matters of a paragraph's style."""

    heading_level: int = 0
    """1 to 6; 0 for none."""
    list_depth: int | None = None
    """From 0; None where it is not in a list."""


class WordStyles:
    """The styles of a document."""

    def __init__(self, styles: dict[str, ParagraphStyle]) -> None:
        self._styles = styles

    def of_paragraph(self, paragraph: Any) -> ParagraphStyle:
        """What a paragraph is, by its style and by what is set on itself."""
        properties = paragraph.find("{*}pPr")
        if properties is None:
            return _PLAIN
        named = properties.find("{*}pStyle")
        style = _PLAIN
        if named is not None:
            style = self._styles.get(attribute(named, "val"), _PLAIN)
        return _with_own(style, properties)


def read_styles(archive: Archive, part: str) -> WordStyles:
    """The styles out of their part of the archive; none where there is no such part.

    Raises:
        DocumentError: the part is damaged.
    """
    if part not in archive:
        return WordStyles({})
    elements = {
        attribute(element, "styleId"): element
        for element in parse_xml(archive.read(part)).iter("{*}style")
    }
    return WordStyles({key: _resolve(key, elements) for key in elements})


_PLAIN: Final = ParagraphStyle()


def _resolve(key: str, elements: dict[str, Any]) -> ParagraphStyle:
    """A style with what it takes over from those that it rests on."""
    bases: list[Any] = []
    while key in elements and len(bases) < _MAX_BASES:
        bases.append(elements[key])
        base = elements[key].find("{*}basedOn")
        key = attribute(base, "val") if base is not None else ""
    style = _PLAIN
    for element in reversed(bases):
        name = element.find("{*}name")
        named = attribute(name, "val").lower() if name is not None else ""
        if found := _HEADING_NAME.fullmatch(named):
            style = ParagraphStyle(heading_level=max(1, min(int(found[1]), 6)))
        elif named == "title":
            style = ParagraphStyle(heading_level=1)
        properties = element.find("{*}pPr")
        if properties is not None:
            style = _with_own(style, properties)
    return style


def _with_own(style: ParagraphStyle, properties: Any) -> ParagraphStyle:
    """A style, changed by paragraph properties."""
    outline = properties.find("{*}outlineLvl")
    if outline is not None and (level := attribute(outline, "val")).isdecimal():
        heading_level = 0 if int(level) >= _BODY_LEVEL else min(int(level) + 1, 6)
        style = msgspec.structs.replace(style, heading_level=heading_level)
    numbering = properties.find("{*}numPr")
    if numbering is not None:
        list_id, depth = numbering.find("{*}numId"), numbering.find("{*}ilvl")
        is_list = list_id is None or attribute(list_id, "val") != _NO_LIST
        number = attribute(depth, "val") if depth is not None else "0"
        list_depth = int(number) if number.isdecimal() else 0
        style = msgspec.structs.replace(style, list_depth=list_depth if is_list else None)
    return style
