"""Reads one file: opens it, and hands what it holds to its format. Has no limit on time.

Whoever reads files that others made uses ``reader.Reader`` instead, which does this in a process
with limits.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.names import format_of, max_bytes_of, problem_of
from chatbot.retrieval.documents.opening import read_bytes


def read_document(folder: Path, file: str) -> Document:
    """Read a file.

    Args:
        file: relative to the folder, with ``/``.

    Raises:
        DocumentError: there is no text to be had from it; the text says why.
    """
    name = file.rpartition("/")[2]
    if problem := problem_of(name):
        raise DocumentError(problem)
    form, kind = format_of(name)
    content = read_bytes(folder, file, max_bytes_of(form))
    module = import_module(f"chatbot.retrieval.documents.formats.{form}")
    read: Callable[[str, str, bytes], Document] = module.read
    try:
        return read(name, kind, content)
    except RecursionError as error:
        raise DocumentError("It is refused: what is in it is nested too deeply.") from error
