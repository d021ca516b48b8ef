"""HTML: the text that a reader of the page would see.

The walk over the tree serves EPUB too. Whatever is hidden is left out, because it is where
instructions to a language model are put that no human reader is meant to see.
"""

import re
from typing import Any, Final

from lxml import etree

from chatbot.retrieval.documents.decoding import decode
from chatbot.retrieval.documents.document import Document, DocumentError, fold
from chatbot.retrieval.documents.text_builder import TextBuilder

_HIDDEN: Final = frozenset(
    (
        *("applet", "area", "audio", "base", "canvas", "datalist", "embed", "frame", "frameset"),
        *("head", "iframe", "input", "link", "map", "math", "meta", "noembed", "noframes"),
        *("noscript", "object", "param", "script", "select", "style", "svg", "template"),
        *("textarea", "title", "track", "video"),
    )
)
_LINES: Final = frozenset(
    (
        *("address", "br", "dd", "div", "dt", "figcaption", "legend", "option", "optgroup"),
        "summary",
    )
)
_BLOCKS: Final = frozenset(
    (
        *("article", "aside", "blockquote", "body", "caption", "details", "dialog", "dl"),
        *("fieldset", "figure", "footer", "form", "header", "hgroup", "hr", "main", "nav", "ol"),
        *("p", "pre", "section", "table", "ul"),
    )
)
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_LISTS: Final = frozenset(("ul", "ol", "menu", "dir"))
_HIDING_STYLE: Final = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]*[1-9])|"
    r"opacity\s*:\s*0(?![.\d]*[1-9])",
    re.IGNORECASE,
)
_META_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE
)
_HEAD_BYTES: Final = 4096
_TOO_DEEP: Final = (
    etree.ErrorTypes.ERR_NAME_TOO_LONG,
    etree.ErrorTypes.ERR_RESOURCE_LIMIT,
    etree.ErrorTypes.ERR_INTERNAL_ERROR,
)


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    declared = _META_CHARSET.search(content[:_HEAD_BYTES])
    root = parse_html(decode(content, declared[1].decode("ascii", "replace") if declared else ""))
    builder = TextBuilder()
    add_page(root, builder)
    return builder.build(kind, name, title_of(root))


def parse_html(text: str) -> Any:
    """The tree of a page, however broken its marks are.

    Raises:
        DocumentError: there is nothing in it, or its elements are nested too deeply.
    """
    parser = etree.HTMLParser(
        encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.LxmlError as error:
        raise DocumentError("It is damaged: it cannot be read as a page.") from error
    if any(entry.type in _TOO_DEEP for entry in parser.error_log):
        raise DocumentError("It is refused: its elements are nested too deeply.")
    if root is None:
        raise DocumentError("There is no text in it.")
    return root


def title_of(root: Any) -> str:
    """What stands in the page's title element; empty where there is none."""
    for element in root.iter("{*}title"):
        # Pictures have titles of their own.
        if element.getparent() is None or _name(element.getparent()) in ("head", "html"):
            return fold("".join(element.itertext()))
    return ""


def add_page(root: Any, builder: TextBuilder) -> None:
    """Add what is visible of a page.

    Raises:
        DocumentError: it is too much.
    """
    _Page(builder).walk(root)
    builder.end_block()


class _Page:
    """A walk over a page's elements, without recursion."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._list_marks: list[int | None] = []
        """For each list around, the number of its last item; None for one without numbers."""
        self._pre_depth = 0

    def walk(self, root: Any) -> None:
        walk = etree.iterwalk(root, events=("start", "end"))
        hidden: Any = None
        for event, element in walk:
            if not isinstance(element.tag, str):
                continue
            name = _name(element)
            if event == "start":
                if _is_hidden(name, element):
                    hidden = element
                    walk.skip_subtree()
                else:
                    self._start(name, element)
                    self._add(element.text)
            else:
                if element is hidden:
                    hidden = None
                else:
                    self._end(name)
                if element is not root:
                    self._add(element.tail)

    def _add(self, text: str | None) -> None:
        if text:
            (self._builder.add_lines if self._pre_depth else self._builder.add)(text)

    def _start(self, name: str, element: Any) -> None:
        builder = self._builder
        if name in _HEADINGS:
            builder.start_heading(_HEADINGS[name])
        elif name == "li":
            builder.start_item(max(0, len(self._list_marks) - 1), self._mark())
        elif name == "tr":
            builder.start_row()
        elif name in ("td", "th"):
            builder.start_cell()
        elif name in _LINES:
            builder.end_line()
        elif name in _BLOCKS and not (name in _LISTS and self._list_marks):
            builder.end_block()
        if name in _LISTS:
            self._list_marks.append(0 if name == "ol" else None)
        elif name == "pre":
            self._pre_depth += 1

    def _end(self, name: str) -> None:
        builder = self._builder
        if name in _LISTS:
            self._list_marks.pop()
        elif name == "pre":
            self._pre_depth -= 1
        if name in _HEADINGS:
            builder.end_heading()
        elif name == "li":
            builder.end_item()
        elif name == "tr":
            builder.end_row()
        elif name in _LINES:
            builder.end_line()
        elif name in _BLOCKS and not (name in _LISTS and self._list_marks):
            builder.end_block()

    def _mark(self) -> str:
        if not self._list_marks or self._list_marks[-1] is None:
            return "-"
        self._list_marks[-1] += 1
        return f"{self._list_marks[-1]}."


def _is_hidden(name: str, element: Any) -> bool:
    if name in _HIDDEN:
        return True
    attributes = element.attrib
    if not attributes:
        return False
    return "hidden" in attributes or bool(_HIDING_STYLE.search(attributes.get("style", "")))


def _name(element: Any) -> str:
    """An element's name, without its namespace."""
    return str(element.tag).rpartition("}")[2].lower()
