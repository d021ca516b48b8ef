"""How fast a big folder is searched and a folder is indexed, beside the obvious ways."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from chatbot.retrieval import ranking
from chatbot.retrieval.benchmark.collections import Collection
from chatbot.retrieval.benchmark.harness import Harness
from chatbot.retrieval.benchmark.memory_folder import MemoryFolder
from chatbot.retrieval.client import RetrievalClient
from chatbot.retrieval.cutting import cut, text_to_embed
from chatbot.retrieval.models import find_model_folder
from chatbot.retrieval.values import IndexOptions, Passage

_NOISE: Final = 0.6
"""Length of what is added to a real vector to make another: the two are then as near to each
other as passages on one subject are."""
_NUM_RECALLED: Final = 10
_NUM_RESCORED: Final = 100
_MAX_QUERIES: Final = 100
_NUM_ROUNDS: Final = 3
"""Of bare encoding and of indexing, in turns: the machine is not as fast all the time."""


class SearchFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Search in one big folder, beside the embedding of the query. Medians, milliseconds."""

    num_passages: int
    search_ms: float
    """In all: words, meaning, fusion, duplicates."""
    words_ms: float
    scan_ms: float
    float_scan_ms: float
    """numpy, float32, the ten best picked."""
    recall: float
    """Of the ten that the exact search finds, after the second scoring."""
    memory_share: float
    """Of what float32 takes."""


class IndexingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Indexing end to end, beside bare encoding of the same passages."""

    num_files: int
    num_passages: int
    index_seconds: float
    """Reading, cutting, embedding and storing, the model being loaded. Median."""
    encode_seconds: float
    """``SentenceTransformer.encode`` alone. Median."""

    @property
    def ratio(self) -> float:
        """Throughput to that of bare encoding."""
        return self.encode_seconds / self.index_seconds


def measure_search(
    folder: MemoryFolder, queries: list[str], harness: Harness, scratch: Path, num_passages: int
) -> SearchFigures:
    """Over ``num_passages`` made of the passages of ``folder``."""
    harness.say(f"making {num_passages:,} passages")
    big = _enlarge(folder, num_passages, scratch)
    queries = queries[:_MAX_QUERIES]
    vectors = []
    times: dict[str, list[float]] = {"search": [], "words": [], "scan": [], "float": []}
    recalls: list[float] = []
    harness.search(queries[0], [big], 10)  # the first one opens files
    for query in queries:
        # As in the program: right after the query was embedded, which leaves the caches full of
        # the model.
        vectors.append(harness.embedder.encode_query(query))
        started = time.perf_counter()
        ranking.search(query, vectors[-1], [big], num_hits=10)
        times["search"].append(time.perf_counter() - started)
    for query, vector in zip(queries, vectors, strict=True):
        started = time.perf_counter()
        big.search_words(query, ranking.NUM_BY_WORDS, {})
        times["words"].append(time.perf_counter() - started)
        started = time.perf_counter()
        near, _ = big.search_vectors(vector, _NUM_RESCORED)
        rescored = near[np.argsort(-(big.vectors[near] @ vector))][:_NUM_RECALLED]
        times["scan"].append(time.perf_counter() - started)
        started = time.perf_counter()
        exact = np.argpartition(-(big.vectors @ vector), _NUM_RECALLED)[:_NUM_RECALLED]
        times["float"].append(time.perf_counter() - started)
        recalls.append(len(set(exact.tolist()) & set(rescored.tolist())) / _NUM_RECALLED)
    big.close()
    median = {name: 1000 * statistics.median(row) for name, row in times.items()}
    return SearchFigures(
        num_passages=num_passages,
        search_ms=median["search"],
        words_ms=median["words"],
        scan_ms=median["scan"],
        float_scan_ms=median["float"],
        recall=statistics.fmean(recalls),
        memory_share=big.scanned.num_bytes / big.vectors.nbytes,
    )


def measure_indexing(collection: Collection, harness: Harness, reference: str) -> IndexingFigures:
    """Through the retrieval process, into an index of its own."""
    texts = [
        text_to_embed(piece.headings, document.title, document.text[piece.start : piece.end])
        for document in collection.documents.values()
        for piece in cut(document, harness.counter, max_tokens=harness.max_tokens)
    ]
    encode = _make_bare_encoder(reference, harness.embedder.device)
    encode(texts[:64])  # the first call is slower
    encode_seconds: list[float] = []
    index_seconds: list[float] = []
    num_passages = 0
    for number in range(1, _NUM_ROUNDS + 1):
        harness.say(f"encoding {len(texts):,} passages, round {number} of {_NUM_ROUNDS}")
        started = time.perf_counter()
        encode(texts)
        encode_seconds.append(time.perf_counter() - started)
        harness.say(f"indexing {len(collection.documents):,} files, round {number}")
        with tempfile.TemporaryDirectory() as data:
            seconds, num_passages = asyncio.run(
                _time_indexing(collection.folder, Path(data), reference)
            )
        index_seconds.append(seconds)
    return IndexingFigures(
        num_files=len(collection.documents),
        num_passages=num_passages,
        index_seconds=statistics.median(index_seconds),
        encode_seconds=statistics.median(encode_seconds),
    )


def make_vectors(
    real: NDArray[np.float32], num: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """float32 [num, d] of length 1, spread as the real ones are."""
    chosen = generator.integers(0, len(real), num)
    noise = generator.standard_normal((num, real.shape[1]), dtype=np.float32)
    noise *= _NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
    made: NDArray[np.float32] = real[chosen] + noise
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def _enlarge(folder: MemoryFolder, num: int, scratch: Path) -> MemoryFolder:
    """A folder with words and vectors like those of ``folder``, but many more of them."""
    generator = np.random.default_rng(0)
    words = [passage.text.split() for passage in folder.passages]
    pairs = generator.integers(0, len(words), (num, 2)).tolist()
    passages = [
        _join(folder.passages[first], words[first], words[second], number)
        for number, (first, second) in enumerate(pairs)
    ]
    vectors = make_vectors(folder.vectors, num, generator)
    return MemoryFolder(scratch / "big", passages, vectors)


def _join(passage: Passage, first: list[str], second: list[str], number: int) -> Passage:
    text = " ".join((*first[: len(first) // 2], *second[len(second) // 2 :]))
    return msgspec.structs.replace(passage, text=text, start=number)


def _make_bare_encoder(reference: str, device: str) -> Callable[[list[str]], object]:
    """The library's own way, with nothing of ours."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        str(find_model_folder(reference)), device=device, local_files_only=True
    )
    if device == "cuda":
        model.half()
    return lambda texts: model.encode(texts, show_progress_bar=False)


async def _time_indexing(folder: Path, data: Path, reference: str) -> tuple[float, int]:
    before = os.environ.get("CHATBOT_DATA_DIR")
    os.environ["CHATBOT_DATA_DIR"] = str(data)
    client = RetrievalClient(data / "retrieval.log")
    try:
        options = IndexOptions(embedding_model=reference)
        await client.warm(options)
        started = time.perf_counter()
        (status,) = await client.index([str(folder.resolve())], options, watch=False)
        return time.perf_counter() - started, status.num_embedded
    finally:
        await client.close()
        if before is None:
            del os.environ["CHATBOT_DATA_DIR"]
        else:
            os.environ["CHATBOT_DATA_DIR"] = before
