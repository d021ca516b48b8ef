"""Embeddings of passages and queries with sentence-transformers.

The library, and torch with it, is imported when an ``Embedder`` is made, so that a tokenizer
can be had without. Knows nothing of documents and of the index.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]
"""float32 [n, dimensions], each row of length 1."""


class EmbeddedBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the texts that were to be embedded."""

    indices: NDArray[np.int64]
    """int64 [n]: which of the texts."""
    vectors: Vectors
    """float32 [n, dimensions]."""


def load_tokenizer(reference: str) -> "Tokenizer":
    """The tokenizer of an embedding model, without truncation and padding; imports no torch.

    Raises:
        KnowledgeError: there is no such model, or it cannot be read.
    """
    raise NotImplementedError


def read_max_tokens(reference: str) -> int:
    """How many tokens of a text the model sees, special ones included; imports no torch.

    Raises:
        KnowledgeError: there is no such model, or it cannot be read.
    """
    raise NotImplementedError


class Embedder:
    """An embedding model, loaded.

    Raises:
        KnowledgeError: on making one: it cannot be found, fetched or loaded.
    """

    def __init__(self, reference: str, device: str | None = None) -> None:
        self.reference = reference
        self.dimensions: int = 0
        self.device: str = ""
        """``cuda``, ``mps`` or ``cpu``."""
        raise NotImplementedError

    def encode_blocks(self, texts: Sequence[str]) -> Iterator[EmbeddedBlock]:
        """Embed passages; yields about once a second, in whatever order is fastest.

        Between two blocks the caller can store, pause, or stop taking more.
        """
        raise NotImplementedError

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Embed passages, in their order. float32 [n, dimensions]."""
        raise NotImplementedError

    def encode_query(self, text: str) -> Vectors:
        """Embed a query. float32 [dimensions]."""
        raise NotImplementedError
