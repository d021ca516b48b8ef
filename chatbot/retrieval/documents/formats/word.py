"""Word (docx): paragraphs, lists and tables in their order, read from the archive's XML.

The parts are parsed as a stream, so that memory stays small whatever a part unpacks to, and
nothing but the text, its styles and its title is unpacked at all. Text that Word does not show
(deleted, moved away, hidden) is left out.
"""

import io
import posixpath
from typing import Any, Final

from lxml import etree

from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.formats.office import main_part, open_office, title_of
from chatbot.retrieval.documents.formats.word_styles import WordStyles, read_styles
from chatbot.retrieval.documents.formats.xml import (
    SAFE,
    attribute,
    check_xml,
    local_name,
)
from chatbot.retrieval.documents.text_builder import TextBuilder

_WHITE_SPACE: Final = frozenset(("tab", "ptab"))
_LINE_BREAKS: Final = frozenset(("br", "cr"))


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    archive = open_office(content, ".docx")
    main = main_part(archive, "Word document")
    folder = posixpath.dirname(main)
    styles = read_styles(archive, f"{folder}/styles.xml")
    builder = TextBuilder()
    for part in (main, f"{folder}/footnotes.xml", f"{folder}/endnotes.xml"):
        if part in archive:
            _Part(builder, styles).read(archive.read(part))
    return builder.build(kind, name, title_of(archive))


class _Part:
    """One part of the document on its way into the text."""

    def __init__(self, builder: TextBuilder, styles: WordStyles) -> None:
        self._builder = builder
        self._styles = styles
        self._num_fallbacks = 0
        """Around the current element: second versions of what has come already."""
        self._num_tables = 0

    def read(self, content: bytes) -> None:
        check_xml(content)
        events = etree.iterparse(
            io.BytesIO(content),
            events=("start", "end"),
            tag=("{*}p", "{*}tbl", "{*}tr", "{*}tc", "{*}Fallback"),
            **SAFE,
        )
        try:
            for event, element in events:
                if event == "start":
                    self._start(local_name(element))
                else:
                    self._end(local_name(element), element)
        except (etree.LxmlError, ValueError) as error:
            raise DocumentError("It is damaged: its text is not valid XML.") from error
        self._builder.end_block()

    def _start(self, name: str) -> None:
        if name == "Fallback":
            self._num_fallbacks += 1
        elif name == "tbl":
            self._num_tables += 1
            self._builder.end_block()
        elif name == "tr":
            self._builder.start_row()
        elif name == "tc":
            self._builder.start_cell()

    def _end(self, name: str, element: Any) -> None:
        if name == "Fallback":
            self._num_fallbacks -= 1
        elif name == "tbl":
            self._num_tables -= 1
            self._builder.end_block()
        elif name == "tr":
            self._builder.end_row()
        elif name == "p" and not self._num_fallbacks:
            self._add_paragraph(element)
        # Whatever is read can go; an inner paragraph, of a text box, so comes only once.
        if name in ("p", "tr", "tbl"):
            element.clear(keep_tail=False)
            parent = element.getparent()
            while parent is not None and element.getprevious() is not None:
                del parent[0]

    def _add_paragraph(self, paragraph: Any) -> None:
        builder = self._builder
        style = self._styles.of_paragraph(paragraph)
        if style.heading_level and not self._num_tables:
            builder.start_heading(style.heading_level)
            self._add_runs(paragraph)
            builder.end_heading()
        elif style.list_depth is not None:
            builder.start_item(style.list_depth)
            self._add_runs(paragraph)
            builder.end_item()
        elif self._num_tables:
            self._add_runs(paragraph)
            builder.end_line()
        else:
            builder.end_block()
            self._add_runs(paragraph)
            builder.end_block()

    def _add_runs(self, paragraph: Any) -> None:
        for run in paragraph.iter("{*}r"):
            if _is_shown(run):
                for piece in run:
                    self._add_piece(local_name(piece), piece)

    def _add_piece(self, name: str, piece: Any) -> None:
        if name == "t":
            self._builder.add(piece.text or "")
        elif name in _WHITE_SPACE:
            self._builder.add(" ")
        elif name in _LINE_BREAKS:
            self._builder.end_line()
        elif name == "noBreakHyphen":
            self._builder.add("-")


def _is_shown(run: Any) -> bool:
    parent = run.getparent()
    if parent is not None and local_name(parent) in ("del", "moveFrom"):
        return False
    vanish = run.find("{*}rPr/{*}vanish")
    return vanish is None or attribute(vanish, "val") in ("0", "false", "off")
