"""From a document to its passages. Knows nothing of files, of embeddings or of the index."""

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from chatbot.retrieval.documents.document import Document

CUTTING_VERSION: Final = 1
"""Goes up whenever the same document would be cut otherwise: an index then has to be made anew."""


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Where one passage stands in its document: ``document.text[start:end]``."""

    start: int
    end: int
    headings: tuple[str, ...] = ()
    """The headings above it, the outermost first; as the document has them, not cleaned."""
    start_line: int
    """First line, from 1."""
    end_line: int
    """Last line, included."""
    page: int | None = None
    """From 1: the page that it begins on."""


def cut(document: "Document", tokenizer: "Tokenizer", *, max_tokens: int) -> list[Cut]:
    """The passages of ``document``, in order; none for one without visible text.

    Args:
        document: read from a file.
        tokenizer: of the embedding model; see ``embedding.load_tokenizer``.
        max_tokens: what the embedding model sees of a text, special tokens included;
            see ``embedding.read_max_tokens``.
    """
    raise NotImplementedError


def text_to_embed(headings: tuple[str, ...], title: str, text: str) -> str:
    """What of a passage is embedded: the headings above it tell what it is about."""
    raise NotImplementedError
