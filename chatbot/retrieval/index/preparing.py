"""From a document that was read to the passages that are stored. Imports no torch.

What strangers wrote is cleaned for the terminal here, once, before anything else sees it.
"""

import functools
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from chatbot.retrieval.cutting import CUTTING_VERSION, cut, text_to_embed
from chatbot.retrieval.documents.document import Document
from chatbot.retrieval.embedding import load_tokenizer, read_max_tokens
from chatbot.retrieval.token_counting import TokenCounter
from chatbot.terminal_text import clean, clean_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer


decode_headings: Final = msgspec.json.Decoder(tuple[str, ...]).decode
"""Headings as the index keeps them."""


class NewPassage(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that is to be stored."""

    start: int
    end: int
    start_line: int
    end_line: int
    page: int | None
    headings: tuple[str, ...]
    text: str
    hash: bytes
    """Of what is embedded: passages with the same one share a vector."""


class NewDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document that is to be stored."""

    hash: bytes
    """Of all that was read."""
    kind: str
    title: str
    num_pages: int | None
    num_characters: int
    passages: tuple[NewPassage, ...]


class Cutter:
    """Cuts documents for one embedding model."""

    def __init__(self, tokenizer: "Tokenizer", max_tokens: int) -> None:
        self._counter = TokenCounter(tokenizer)
        self._max_tokens = max_tokens
        # With an example of what is embedded: a hash that was made otherwise finds no vector.
        example = text_to_embed(("Outer", "Inner"), "Title", "Text.")
        parts = (str(CUTTING_VERSION), str(max_tokens), example, tokenizer.to_str())
        self.identity = _digest("\0".join(parts).encode()).hex()
        """Indexes with the same one were cut alike."""

    def prepare(self, document: Document) -> NewDocument:
        """Cut a document and clean what comes of it."""
        title = clean_line(document.title)
        passages = []
        for piece in cut(document, self._counter, max_tokens=self._max_tokens):
            headings = tuple(clean_line(heading) for heading in piece.headings)
            text = clean(document.text[piece.start : piece.end])
            passages.append(
                NewPassage(
                    start=piece.start,
                    end=piece.end,
                    start_line=piece.start_line,
                    end_line=piece.end_line,
                    page=piece.page,
                    headings=headings,
                    text=text,
                    hash=_digest(text_to_embed(headings, title, text).encode()),
                )
            )
        return NewDocument(
            hash=_digest(msgspec.msgpack.encode(document)),
            kind=clean_line(document.kind),
            title=title,
            num_pages=len(document.page_starts) or None,
            num_characters=len(document.text),
            passages=tuple(passages),
        )


@functools.lru_cache(maxsize=4)
def load_cutter(reference: str) -> Cutter:
    """The cutter for an embedding model.

    Raises:
        KnowledgeError: there is no such model.
    """
    return Cutter(load_tokenizer(reference), read_max_tokens(reference))


def embedding_identity(reference: str) -> str:
    """What an index says of the model that made its vectors: others are never mixed in.

    Of a model in a folder it holds size and time of each file, so that one that is trained on
    is taken for another.
    """
    folder = Path(reference).expanduser()
    if not folder.is_dir():
        return reference
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    states = [(str(path.relative_to(folder)), path.stat()) for path in files]
    listing = "\n".join(f"{name} {s.st_size} {s.st_mtime_ns}" for name, s in states)
    return f"{os.path.realpath(folder)} {_digest(listing.encode()).hex()}"


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
