"""What can be read out of an index: documents, passages, vectors.

Functions over a connection of ``open_to_read``. Knows nothing of searching.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from chatbot.errors import KnowledgeError
from chatbot.retrieval.index.preparing import decode_headings
from chatbot.retrieval.index.schema import NUM_REMOVALS
from chatbot.retrieval.values import DocumentInfo, Passage
from chatbot.terminal_text import clean_line

_encode_json: Final = msgspec.json.Encoder().encode

_PASSAGE_COLUMNS: Final = (
    "passages.id, file, headings, start_line, end_line, page, start, end, text"
)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much is in an index."""

    num_documents: int
    num_problems: int
    num_passages: int
    num_embedded: int


def count_all(connection: sqlite3.Connection) -> Counts:
    """Count what is there."""
    documents, problems = connection.execute(
        "SELECT count(*), coalesce(sum(problem <> ''), 0) FROM documents"
    ).fetchone()
    (passages,) = connection.execute("SELECT count(*) FROM passages").fetchone()
    (embedded,) = connection.execute(
        "SELECT count(*) FROM passages WHERE hash IN (SELECT hash FROM vectors)"
    ).fetchone()
    return Counts(
        num_documents=documents - problems,
        num_problems=problems,
        num_passages=passages,
        num_embedded=embedded,
    )


def read_state(connection: sqlite3.Connection) -> dict[str, str]:
    """The table ``state``."""
    return dict(connection.execute("SELECT name, value FROM state").fetchall())


def num_removals(state: dict[str, str]) -> int:
    """How often something went; see ``schema.NUM_REMOVALS``."""
    return int(state.get(NUM_REMOVALS) or 0)


def list_documents(connection: sqlite3.Connection) -> tuple[DocumentInfo, ...]:
    """Every file, by path."""
    rows = connection.execute(
        "SELECT file, num_bytes, kind, title, num_pages, num_characters, problem, "
        "count(passages.id), count(vectors.id) FROM documents "
        "LEFT JOIN passages ON passages.document = documents.id "
        "LEFT JOIN vectors ON vectors.hash = passages.hash GROUP BY documents.id ORDER BY file"
    ).fetchall()
    return tuple(
        DocumentInfo(
            file=file,
            num_bytes=num_bytes,
            kind=kind,
            title=title,
            num_pages=num_pages,
            num_characters=num_characters,
            problem=problem,
            num_passages=num_passages,
            num_embedded=num_embedded,
        )
        for (
            file,
            num_bytes,
            kind,
            title,
            num_pages,
            num_characters,
            problem,
            num_passages,
            num_embedded,
        ) in rows
    )


def list_problems(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The files that are not in the index, by path, each with the reason."""
    query = "SELECT file, problem FROM documents WHERE problem <> '' ORDER BY file"
    return connection.execute(query).fetchall()


def list_passages(connection: sqlite3.Connection, folder: str, file: str) -> tuple[Passage, ...]:
    """The passages of one file, in order.

    Raises:
        KnowledgeError: the index has no such file.
    """
    require_file(connection, folder, file)
    rows = connection.execute(
        f"SELECT {_PASSAGE_COLUMNS} FROM passages JOIN documents ON documents.id = document "
        "WHERE file = ? ORDER BY start",
        (file,),
    ).fetchall()
    return tuple(passage_of(row, folder) for row in rows)


def require_file(connection: sqlite3.Connection, folder: str, file: str) -> None:
    """Make sure that the index has a document of that name.

    Raises:
        KnowledgeError: it has none, or one that could not be read.
    """
    found = connection.execute("SELECT problem FROM documents WHERE file = ?", (file,)).fetchone()
    if found is None:
        raise KnowledgeError(
            f"There is no document {clean_line(file)} in the index of {clean_line(folder)}."
        )
    if found[0]:
        raise KnowledgeError(f"{clean_line(file)} is not in the index: {found[0]}")


def read_passages(
    connection: sqlite3.Connection, folder: str, ids: Sequence[int]
) -> dict[int, Passage]:
    """Passages by id, without those that have gone."""
    rows = connection.execute(
        f"SELECT {_PASSAGE_COLUMNS} FROM passages JOIN documents ON documents.id = document "
        "WHERE passages.id IN (SELECT value FROM json_each(?))",
        (_ids(ids),),
    ).fetchall()
    return {row[0]: passage_of(row, folder) for row in rows}


def read_vectors(
    connection: sqlite3.Connection, ids: Sequence[int]
) -> dict[int, NDArray[np.float32]]:
    """Vectors by passage, float32 [dimensions], without those that there are not."""
    rows = connection.execute(
        "SELECT passages.id, vector FROM passages JOIN vectors USING (hash) "
        "WHERE passages.id IN (SELECT value FROM json_each(?))",
        (_ids(ids),),
    ).fetchall()
    return {number: np.frombuffer(vector, np.float32) for number, vector in rows}


def embedded_ids(connection: sqlite3.Connection) -> NDArray[np.int64]:
    """Passages that have a vector: int64 [n], ascending."""
    rows = connection.execute(
        "SELECT id FROM passages WHERE hash IN (SELECT hash FROM vectors) ORDER BY id"
    ).fetchall()
    return np.fromiter((row[0] for row in rows), np.int64, len(rows))


def passage_of(row: tuple[Any, ...], folder: str) -> Passage:
    """The passage of a row of ``_PASSAGE_COLUMNS``."""
    _, file, headings, start_line, end_line, page, start, end, text = row
    return Passage(
        folder=folder,
        file=file,
        headings=decode_headings(headings),
        start_line=start_line,
        end_line=end_line,
        page=page,
        start=start,
        end=end,
        text=text,
    )


def _ids(ids: Sequence[int]) -> str:
    return _encode_json([int(number) for number in ids]).decode()
