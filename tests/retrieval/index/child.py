"""The retrieval process with a stand-in for the embedding model: no torch, vectors from hashes.

``FAKE_BLOCK_SECONDS`` says how long a block of eight takes, and ``FAKE_LOAD_SECONDS`` the model;
a reference that begins with ``broken`` cannot be loaded.
"""

import hashlib
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence

import numpy as np

import chatbot.retrieval.index.preparing as preparing
from chatbot.errors import KnowledgeError
from chatbot.retrieval.__main__ import prepare_process
from chatbot.retrieval.embedding import EmbeddedBlock, Vectors, load_tokenizer, read_max_tokens
from chatbot.retrieval.protocol import RetrievalRequest
from chatbot.retrieval.server import Server
from chatbot.settings import DEFAULT_EMBEDDING_MODEL
from chatbot.worker.server import Channel

BLOCK = 8


def vector_of(text: str, dimensions: int) -> Vectors:
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    row = np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)
    return row / np.linalg.norm(row)


class FakeEmbedder:
    baseline = 0.0

    def __init__(self, reference: str) -> None:
        time.sleep(float(os.environ.get("FAKE_LOAD_SECONDS", "0")))
        if reference.startswith("broken"):
            raise KnowledgeError("The embedding model is broken; name another one.")
        self.reference = reference
        self.dimensions = 32 if reference == "wide" else 16
        self.device = "cpu"

    def encode_blocks(self, texts: Sequence[str]) -> Iterator[EmbeddedBlock]:
        for start in range(0, len(texts), BLOCK):
            time.sleep(float(os.environ.get("FAKE_BLOCK_SECONDS", "0")))
            vectors = self.encode_passages(texts[start : start + BLOCK])
            yield EmbeddedBlock(
                indices=np.arange(start, start + len(vectors), dtype=np.int64), vectors=vectors
            )

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return np.stack([vector_of(text, self.dimensions) for text in texts])

    def encode_query(self, text: str) -> Vectors:
        return vector_of(text, self.dimensions)


def use_fake_models() -> None:
    """Every reference has the built-in model's tokenizer; ``narrow`` cuts shorter passages."""
    preparing.load_tokenizer = lambda reference: load_tokenizer(DEFAULT_EMBEDDING_MODEL)
    preparing.read_max_tokens = lambda reference: (
        100 if reference == "narrow" else read_max_tokens(DEFAULT_EMBEDDING_MODEL)
    )


def main() -> None:
    prepare_process()
    use_fake_models()
    channel: Channel[RetrievalRequest] = Channel(RetrievalRequest)
    status = 1
    try:
        server = Server(channel.send, load_embedder=FakeEmbedder)  # type: ignore[arg-type]
        for request in channel.requests():
            server.accept(request)
        status = 0
    except Exception:
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
