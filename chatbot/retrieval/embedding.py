"""Embeddings of passages and queries with sentence-transformers.

The library, and torch with it, is imported when an ``Embedder`` is made, so that a tokenizer
can be had without. Knows nothing of documents and of the index.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from chatbot.errors import KnowledgeError
from chatbot.retrieval.cutting import text_to_embed
from chatbot.retrieval.models import (
    find_model_folder,
    first_line,
    load_tokenizer,
    read_max_tokens,
)

__all__ = [
    "EmbeddedBlock",
    "Embedder",
    "Vectors",
    "load_tokenizer",
    "read_max_tokens",
    "text_to_embed",
    "without_baseline",
]

Vectors = NDArray[np.float32]
"""float32 [n, dimensions], each row of length 1, or 0 where there is nothing to embed."""

_MAX_BATCH: Final = {"cpu": 64, "mps": 64, "cuda": 256}
_MIN_BATCH: Final = 8
_CPU_BATCH_CHARACTERS: Final = 8_000
"""Of one batch: what it makes the model keep stays in the processor's caches, which is a sixth
faster than 32 long passages at once. Short texts go together in larger numbers, since each batch
costs something of its own."""
_BLOCK_SECONDS: Final = 1.0
"""What a block takes: often enough to pause or show something."""


_UNRELATED: Final = (
    "The cat slept on the sofa.",
    "Interest rates rose in March.",
    "Bake the bread for forty minutes.",
    "The compiler reports an unused variable.",
    "Volcanoes form above melting rock.",
    "She won the match in three sets.",
    "The treaty was signed in Vienna.",
    "Enzymes speed up chemical reactions.",
)


class EmbeddedBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the texts that were to be embedded."""

    indices: NDArray[np.int64]
    """int64 [n]: which of the texts."""
    vectors: Vectors
    """float32 [n, dimensions]."""


class Embedder:
    """An embedding model, loaded. Several threads may use it; queries go first.

    Args:
        reference: a name of the catalogue, a hub id or a folder.
        device: ``cuda``, ``mps`` or ``cpu``; the best there is, when not given.

    Raises:
        KnowledgeError: it cannot be found, fetched or loaded.
    """

    def __init__(self, reference: str, device: str | None = None) -> None:
        self.reference = reference
        self.device = device or best_device()
        """``cuda``, ``mps`` or ``cpu``."""
        self._model = _load(reference, self.device)
        if self.device == "cuda":
            self._model.half()
        self._is_static = type(self._model[0]).__name__ == "StaticEmbedding"
        """Whether it looks words up and calculates next to nothing."""
        self._turn = threading.Condition()
        self._is_busy = False
        self._num_queries = 0
        unrelated = self.encode_passages(_UNRELATED)
        self.dimensions = unrelated.shape[1]
        """Of a vector."""
        self.baseline = max(0.0, float(np.median(unrelated @ unrelated.T)))
        """Cosine of two texts that have nothing to do with one another: near 0 for some models,
        0.7 for others."""

    def encode_blocks(self, texts: Sequence[str]) -> Iterator[EmbeddedBlock]:
        """Embed passages; yields about once a second, in whatever order is fastest.

        Between two blocks the caller can store, pause, or stop taking more. Give many texts at
        once: those of about the same length are embedded together.
        """
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]), reverse=True)
        position = 0
        while position < len(order):
            until = time.monotonic() + _BLOCK_SECONDS
            first = position
            parts: list[Vectors] = []
            while position < len(order) and (not parts or time.monotonic() < until):
                num = self._batch_size(len(texts[order[position]]))
                batch = order[position : position + num]
                parts.append(self._encode([texts[index] for index in batch], is_query=False))
                position += len(batch)
            indices = np.array(order[first:position], np.int64)
            yield EmbeddedBlock(indices=indices, vectors=np.concatenate(parts))

    def _batch_size(self, num_characters: int) -> int:
        """How many texts of this length, or shorter, are embedded at once."""
        largest = _MAX_BATCH[self.device]
        if self.device != "cpu" or self._is_static:
            return largest
        fitting = _CPU_BATCH_CHARACTERS // max(num_characters, 1)
        return min(max(fitting, _MIN_BATCH), largest)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Embed passages, in their order. float32 [n, dimensions]."""
        blocks = list(self.encode_blocks(texts))
        if not blocks:
            return np.empty((0, self.dimensions), np.float32)
        vectors: Vectors = np.concatenate([block.vectors for block in blocks])
        vectors[np.concatenate([block.indices for block in blocks])] = vectors.copy()
        return vectors

    def encode_query(self, text: str) -> Vectors:
        """Embed a query. float32 [dimensions]."""
        row: Vectors = self._encode([text], is_query=True)[0]
        return row

    def _encode(self, texts: list[str], *, is_query: bool) -> Vectors:
        encode = self._model.encode_query if is_query else self._model.encode_document
        with self._my_turn(is_query=is_query):
            raw = encode(
                texts, batch_size=len(texts), show_progress_bar=False, convert_to_tensor=True
            ).float()
            if self.device == "cuda" and not raw.isfinite().all():
                # Some models overflow in half precision.
                self._model.float()
                raw = encode(
                    texts, batch_size=len(texts), show_progress_bar=False, convert_to_tensor=True
                )
        vectors: Vectors = raw.cpu().numpy()
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        return unit

    @contextmanager
    def _my_turn(self, *, is_query: bool) -> Iterator[None]:
        """One thread at a time, since tokenizers cannot be shared; a query before passages."""
        with self._turn:
            self._num_queries += is_query
            self._turn.wait_for(lambda: not self._is_busy and (is_query or self._num_queries == 0))
            self._num_queries -= is_query
            self._is_busy = True
        try:
            yield
        finally:
            with self._turn:
                self._is_busy = False
                self._turn.notify_all()


def without_baseline(cosines: NDArray[np.float32], baseline: float) -> NDArray[np.float32]:
    """Cosines stretched so that 0 is unrelated, whichever model they are of; 1 stays 1."""
    stretched: NDArray[np.float32] = (cosines - baseline) / max(1 - baseline, 1e-6)
    return stretched


def best_device() -> str:
    """``cuda``, ``mps`` or ``cpu``."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _load(reference: str, device: str) -> Any:
    folder = find_model_folder(reference)
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding

        config = folder / "config.json"
        if not (folder / "modules.json").is_file() and (
            not config.is_file() or '"model2vec"' in config.read_text(encoding="utf-8")
        ):
            # The layout of model2vec itself, which the library reads as a module only.
            module = StaticEmbedding.load(str(folder), local_files_only=True)
            return SentenceTransformer(modules=[module], device=device)
        return SentenceTransformer(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        ).eval()
    except Exception as error:  # libraries raise anything at all on a broken model
        raise KnowledgeError(
            f"The embedding model {reference} cannot be loaded ({first_line(error)}); fetch it "
            "again or choose another."
        ) from error
