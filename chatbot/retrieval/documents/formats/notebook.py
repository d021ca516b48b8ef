"""Jupyter notebooks: their cells as Markdown, code in fences, and below it what it printed.

Pictures, counters and metadata are left out: of the file they are the most, and say nothing.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from chatbot.fencing import fenced
from chatbot.retrieval.documents.decoding import decode
from chatbot.retrieval.documents.document import Document, DocumentError, check_length
from chatbot.retrieval.documents.formats import markdown
from chatbot.retrieval.documents.limits import MAX_TEXT_CHARACTERS

MAX_OUTPUT: Final = 2000
"""Characters of what one cell printed; more is data or a log."""

_LANGUAGE: Final = re.compile(r"[\w+#.-]{1,20}")


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    try:
        notebook = json.loads(decode(content))
        parts = [part for cell in _cells(notebook) for part in _parts(cell, _language(notebook))]
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise DocumentError("It is damaged: a notebook is JSON with cells.") from error
    text = "\n\n".join(part for part in parts if part.strip())
    if not text:
        raise DocumentError("No cell of it holds any text.")
    check_length(len(text), MAX_TEXT_CHARACTERS)
    return markdown.read(name, kind, text.encode("utf-8", "replace"))


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the present format, or of the one before 2014, which had sheets."""
    if "cells" in notebook:
        return list(notebook["cells"])
    return [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata") or {}
    name = (metadata.get("language_info") or {}).get("name", "python")
    return name if isinstance(name, str) and _LANGUAGE.fullmatch(name) else ""


def _parts(cell: dict[str, Any], language: str) -> Iterator[str]:
    source = _text(cell.get("source", cell.get("input", "")))
    if cell.get("cell_type") != "code":
        yield source
        return
    if source.strip():
        yield fenced(source.rstrip(), language)
    printed = "".join(_text(output) for output in map(_printed, cell.get("outputs") or ())).strip()
    if len(printed) > MAX_OUTPUT:
        printed = printed[:MAX_OUTPUT] + "…"
    if printed:
        yield fenced(printed)


def _printed(output: dict[str, Any]) -> Any:
    """What there is to read of an output: its text, or the error that it ended with."""
    if output.get("output_type") in ("error", "pyerr"):
        return f"{output.get('ename', 'Error')}: {output.get('evalue', '')}\n"
    return (output.get("data") or {}).get("text/plain", output.get("text", ""))


def _text(value: Any) -> str:
    """A text, which a notebook may hold line by line."""
    return value if isinstance(value, str) else "".join(map(str, value))
