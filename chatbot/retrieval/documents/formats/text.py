"""Plain text, and data formats that are text themselves: CSV, JSON, LaTeX. Kept as they are."""

from chatbot.retrieval.documents.decoding import decode
from chatbot.retrieval.documents.document import Document, fold


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    return Document(kind=kind, title=fold(name), text=decode(content))
