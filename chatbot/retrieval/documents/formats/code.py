"""Source code: the file as it is; of Python also the definitions, as headings."""

import ast
import warnings
from itertools import accumulate
from typing import Final

from chatbot.retrieval.documents.decoding import decode
from chatbot.retrieval.documents.document import Document, Heading, fold
from chatbot.retrieval.documents.limits import MAX_HEADINGS

_MAX_PARSED_CHARACTERS: Final = 1_000_000
"""Python's parser takes a hundred times a source in memory; longer ones are data anyway."""


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    text = decode(content)
    is_parsed = kind == "Python" and len(text) <= _MAX_PARSED_CHARACTERS
    headings = _python_headings(text) if is_parsed else ()
    return Document(kind=kind, title=fold(name), text=text, headings=headings)


def _python_headings(text: str) -> tuple[Heading, ...]:
    """Top-level functions and classes, and the methods of these; none where it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the escapes in somebody's strings
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()  # MemoryError is what Python's parser calls nesting beyond its stack
    # ast counts lines by newlines, and by nothing else.
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    headings = []
    for node, level in _definitions(tree):
        first_line = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        word = "class" if isinstance(node, ast.ClassDef) else "def"
        headings.append(Heading(starts[first_line - 1], level, fold(f"{word} {node.name}")))
    return tuple(headings[:MAX_HEADINGS])


def _definitions(
    tree: ast.Module,
) -> list[tuple[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = []
    for node in tree.body:
        if isinstance(node, kinds):
            found.append((node, 1))
        if isinstance(node, ast.ClassDef):
            found += [(inner, 2) for inner in node.body if isinstance(inner, kinds)]
    return found
