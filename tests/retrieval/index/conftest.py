"""Folders and processes for the tests of the index."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import chatbot.retrieval.index.preparing as preparing
from chatbot.retrieval.client import RetrievalClient
from tests.retrieval.index import helpers
from tests.retrieval.index.child import use_fake_models


@pytest.fixture(autouse=True)
def fake_models() -> Iterator[None]:
    """The same tokenizers here as in the processes that the tests start."""
    originals = preparing.load_tokenizer, preparing.read_max_tokens
    use_fake_models()
    yield
    preparing.load_tokenizer, preparing.read_max_tokens = originals
    preparing.load_cutter.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return helpers.make_folder(tmp_path / "notes", 12)


@pytest.fixture
async def retrieval(tmp_path: Path) -> AsyncIterator[RetrievalClient]:
    client = helpers.client(tmp_path)
    yield client
    await client.close()
