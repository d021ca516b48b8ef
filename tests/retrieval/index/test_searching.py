"""An open index stays in step with whoever writes it."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chatbot.retrieval.documents.walking import FoundFile
from chatbot.retrieval.index import schema
from chatbot.retrieval.index.preparing import NewDocument, NewPassage
from chatbot.retrieval.index.searching import SearchedIndex
from chatbot.retrieval.index.words import Words
from chatbot.retrieval.index.writing import IndexWriter

AXES = np.eye(4, dtype=np.float32)


def found(file: str) -> FoundFile:
    return FoundFile(file=file, num_bytes=1, modified_ns=1)


def document(*texts: str) -> NewDocument:
    return NewDocument(
        hash=" ".join(texts).encode(),
        kind="Markdown",
        title="Title",
        num_pages=None,
        num_characters=1,
        passages=tuple(
            NewPassage(
                start=number,
                end=number + 1,
                start_line=1,
                end_line=1,
                page=None,
                headings=(),
                text=text,
                hash=text.encode(),
            )
            for number, text in enumerate(texts)
        ),
    )


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[IndexWriter]:
    writer = IndexWriter(tmp_path)
    writer.set(schema.EMBEDDING, "model")
    yield writer
    writer.close()


def texts_near(index: SearchedIndex, axis: int) -> list[str]:
    """Of all passages with a vector, the nearest first."""
    index.refresh()
    index.use_vectors("model", "cpu")
    ids = index.search_vectors(AXES[axis], 10)[0].tolist()
    passages = index.read_passages(ids)
    assert passages.keys() == index.read_vectors(ids).keys() == set(ids)
    return [passages[number].text for number in ids]


def test_vectors_come_and_go_while_it_is_open(tmp_path: Path, writer: IndexWriter) -> None:
    writer.put_document(found("a"), document("zero", "one"), is_recent=False)
    index = SearchedIndex(tmp_path, "name")
    assert texts_near(index, 0) == []
    assert writer.put_vectors([b"zero"], AXES[:1]) == 1
    assert texts_near(index, 0) == ["zero"]
    writer.put_vectors([b"one"], AXES[1:2])
    assert texts_near(index, 1) == ["one", "zero"]
    # A passage whose text has a vector already is there without being embedded.
    writer.put_document(found("b"), document("one", "two"), is_recent=False)
    assert texts_near(index, 1)[:2] == ["one", "one"]
    writer.remove_files(["a"])
    writer.drop_released_vectors()
    assert texts_near(index, 1) == ["one"]
    assert writer.query("SELECT hash FROM vectors") == [(b"one",)]
    # Nothing is stored for a text that has gone.
    assert writer.put_vectors([b"zero", b"two"], AXES[[0, 2]]) == 1
    assert texts_near(index, 2) == ["two", "one"]
    index.close()


def test_vectors_of_another_model_are_never_searched(tmp_path: Path, writer: IndexWriter) -> None:
    writer.put_document(found("a"), document("zero", "one"), is_recent=False)
    writer.put_vectors([b"zero", b"one"], AXES[:2])
    index = SearchedIndex(tmp_path, "name")
    assert texts_near(index, 0) == ["zero", "one"]
    with writer.transaction():
        writer.drop_vectors()
        writer.set(schema.EMBEDDING, "other")
    writer.put_vectors([b"zero"], AXES[1:2])
    assert texts_near(index, 0) == []
    assert index.embedding == "other"
    index.close()


def test_words_are_told_twice_without_harm(tmp_path: Path, writer: IndexWriter) -> None:
    writer.put_document(found("a"), document("anchor", "bell"), is_recent=False)
    words = Words(tmp_path, writer)
    index = SearchedIndex(tmp_path, "name")
    assert [number for number, _ in index.search_words("bell", 9, {})] == [2]
    # As after a program that was killed between the two.
    writer.tell_all_words()
    words.update()
    index.refresh()
    assert index.num_passages == 2
    writer.put_document(found("a"), document("anchor", "candle"), is_recent=False)
    words.update()
    index.refresh()
    assert index.search_words("bell", 9, {}) == []
    assert [number for number, _ in index.search_words("candle", 9, {})] == [4]
    words.close()
    index.close()


def test_words_of_another_version_are_not_searched(tmp_path: Path, writer: IndexWriter) -> None:
    writer.put_document(found("a"), document("anchor"), is_recent=False)
    words = Words(tmp_path, writer)
    now = writer.get(schema.LEXICAL)
    for lexical, num in ((now, 1), (now.partition(" ")[0] + " 0", 0)):
        writer.set(schema.LEXICAL, lexical)
        index = SearchedIndex(tmp_path, "name")
        assert (index.num_passages, len(index.search_words("anchor", 9, {}))) == (num, num)
        index.close()
    words.close()


def test_what_a_transaction_broke_off_leaves_nothing(tmp_path: Path, writer: IndexWriter) -> None:
    with contextlib.suppress(ZeroDivisionError), writer.transaction():
        writer.put_document(found("a"), document("zero"), is_recent=False)
        assert 1 / 0
    counts = writer.count()
    assert (counts.num_documents, counts.num_passages) == (0, 0)
    assert writer.pending_words(9) == []


def test_a_large_index_opens_at_once(tmp_path: Path, writer: IndexWriter) -> None:
    with writer.transaction():
        for number in range(300):
            texts = [f"{number} {part}" for part in range(20)]
            writer.put_document(found(str(number)), document(*texts), is_recent=False)
            writer.put_vectors([text.encode() for text in texts], AXES[[0] * 20])
    started = time.monotonic()
    IndexWriter(tmp_path).close()
    assert time.monotonic() - started < 5
