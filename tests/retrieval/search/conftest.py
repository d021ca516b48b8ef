"""What is loaded once for all of these tests."""

import pytest
from tokenizers import Tokenizer

from chatbot.retrieval.embedding import Embedder, load_tokenizer
from chatbot.settings import DEFAULT_EMBEDDING_MODEL


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return load_tokenizer(DEFAULT_EMBEDDING_MODEL)


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return Embedder(DEFAULT_EMBEDDING_MODEL, "cpu")
