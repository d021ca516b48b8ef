"""Folders to index, processes to do it, and a look at what came of it."""

import asyncio
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from chatbot.paths import index_dir
from chatbot.retrieval.client import RetrievalClient
from chatbot.retrieval.cutting import text_to_embed
from chatbot.retrieval.documents.reading import read_document
from chatbot.retrieval.index.preparing import decode_headings, load_cutter
from chatbot.retrieval.index.searching import SearchedIndex
from chatbot.retrieval.values import FolderStatus, IndexOptions
from tests.retrieval.index.child import vector_of

CHILD = (sys.executable, "-m", "tests.retrieval.index.child")
OPTIONS = IndexOptions(embedding_model="fake")
WORDS = ["anchor", "bell", "candle", "delta", "ember", "fjord", "gale", "harbour", "island", "jetty", "keel", "lamp", "mast"]

QUERY = " ".join(["part", "zeppelin", "submarine", "text", *WORDS])
"""Has a word of every passage that these tests write."""

Row = tuple[str, int, int, str]
"""File, start, end and text of a passage."""


def some_text(chance: random.Random, num_sections: int = 3) -> str:
    sections = [
        f"## Part {number}\n\n" + " ".join(chance.choices(WORDS, k=120)) + ".\n"
        for number in range(num_sections)
    ]
    return f"# Title {chance.randrange(10**6)}\n\n" + "\n".join(sections)


def make_folder(folder: Path, num_files: int, seed: int = 1) -> Path:
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(num_files):
        file = folder / f"sub{number % 3}" / f"file{number}.md"
        file.parent.mkdir(exist_ok=True)
        file.write_text(some_text(chance))
    return folder


def client(tmp_path: Path) -> RetrievalClient:
    return RetrievalClient(tmp_path / "retrieval.log", CHILD)


async def index_once(
    folder: Path, tmp_path: Path, options: IndexOptions = OPTIONS
) -> FolderStatus:
    retrieval = client(tmp_path)
    try:
        (status,) = await retrieval.index([str(folder)], options, watch=False)
        return status
    finally:
        await retrieval.close()


async def until(condition: Callable[[], object], seconds: float = 20.0) -> float:
    """Wait until it holds; how long that took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it never came to be"
        await asyncio.sleep(0.02)
    return time.monotonic() - started


def read_rows(folder: Path, sql: str) -> list[tuple]:
    connection = sqlite3.connect(index_dir(folder) / "index.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def stored_rows(folder: Path) -> Counter[Row]:
    return Counter(
        read_rows(
            folder,
            "SELECT file, start, end, text FROM passages JOIN documents ON documents.id = document",
        )
    )


def expected_rows(folder: Path, reference: str = "fake") -> Counter[Row]:
    """What a fresh index would hold, worked out without one."""
    cutter = load_cutter(reference)
    rows: Counter[Row] = Counter()
    for path in sorted(folder.rglob("*.md")):
        file = path.relative_to(folder).as_posix()
        for passage in cutter.prepare(read_document(folder, file)).passages:
            rows[file, passage.start, passage.end, passage.text] += 1
    return rows


def check_whole(folder: Path, reference: str = "fake") -> None:
    """Every passage is there once: in SQLite, among the words and among the vectors."""
    assert read_rows(folder, "PRAGMA quick_check") == [("ok",)]
    assert stored_rows(folder) == expected_rows(folder, reference)
    assert read_rows(folder, "SELECT * FROM pending_words") == []
    assert read_rows(folder, "SELECT * FROM released") == []
    ids = sorted(row[0] for row in read_rows(folder, "SELECT id FROM passages"))
    dimensions = 32 if reference == "wide" else 16
    index = SearchedIndex(folder, str(folder))
    try:
        assert index.num_passages == len(ids)
        found = index.search_words(QUERY, 2 * len(ids) + 10, {})
        assert sorted(number for number, _ in found) == ids
        index.use_vectors(reference, "cpu")
        query = vector_of("query", dimensions)
        near, _ = index.search_vectors(query, 2 * len(ids) + 10)
        assert sorted(near.tolist()) == ids
        check_vectors(folder, index, dimensions)
    finally:
        index.close()


def check_vectors(folder: Path, index: SearchedIndex, dimensions: int) -> None:
    rows = read_rows(
        folder,
        "SELECT passages.id, headings, title, text FROM passages "
        "JOIN documents ON documents.id = document",
    )
    vectors = index.read_vectors([row[0] for row in rows])
    for number, headings, title, text in rows:
        embedded = text_to_embed(decode_headings(headings), title, text)
        np.testing.assert_array_equal(vectors[number], vector_of(embedded, dimensions))
    hashes = read_rows(folder, "SELECT count(DISTINCT hash) FROM passages")
    assert read_rows(folder, "SELECT count(*) FROM vectors") == hashes


def has_words(folder: Path, words: str) -> bool:
    """Whether a search finds a passage with these words, as another program would see it."""
    index = SearchedIndex(folder, str(folder))
    try:
        ids = [number for number, _ in index.search_words(words, 5, {})]
        return bool(index.read_passages(ids))
    finally:
        index.close()
