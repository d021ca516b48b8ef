"""One folder's index as ranking searches it, in step with whoever writes it.

The writer may be a thread of this process or another program; what it has committed is noticed
before each search. Imports torch when vectors are first searched, not before. For one thread.
"""

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from chatbot.errors import NotIndexedError
from chatbot.paths import index_dir
from chatbot.retrieval.index import reading, schema
from chatbot.retrieval.index.failures import explained
from chatbot.retrieval.index.opening import FILE_NAME, open_to_read
from chatbot.retrieval.lexical import LEXICAL_VERSION, LexicalIndex
from chatbot.retrieval.values import Passage

if TYPE_CHECKING:
    from chatbot.retrieval.vectors import VectorIndex

_ROWS_AT_ONCE: Final = 8192
"""Vectors in memory as float32 while they are loaded."""


class SearchedIndex:
    """The index of one folder, open for reading. Ids are those of its passages.

    Args:
        folder: resolved.
        name: what the folder is called in its passages.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Open it.

        Raises:
            KnowledgeError: the folder is not indexed yet, or its index cannot be read.
        """
        self.folder = folder
        self.name = name
        self._file = index_dir(folder) / FILE_NAME
        self._embedding: str | None = None
        self._device = "cpu"
        self._lexical: LexicalIndex | None = None
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._version = -1
        self._state: dict[str, str] = {}
        self._lexical_name = ""
        self._vectors: VectorIndex | None = None
        self._are_vectors_current = False
        self._loaded_as: tuple[str, str, int] | None = None
        self._loaded_ids = np.empty(0, np.int64)
        self._last_passage = self._last_vector = self._num_removals = 0
        self.refresh()

    def close(self) -> None:
        """Let go of the files."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lexical is not None:
            self._lexical.close()
            self._lexical = None

    def refresh(self) -> None:
        """Notice what was written since; to be called before each search.

        Raises:
            KnowledgeError: there is no index any more, or it cannot be read.
        """
        with explained(self.folder):
            if self._connection is None or self._identity_of_file() != self._identity:
                self._open()
            version = self._opened.execute("PRAGMA data_version").fetchone()[0]
            if version == self._version:
                return
            self._version = version
            self._state = reading.read_state(self._opened)
            self._open_words()
            self._are_vectors_current = False

    @property
    def connection(self) -> sqlite3.Connection:
        """For ``reading``."""
        return self._opened

    @property
    def embedding(self) -> str:
        """Which model made the vectors; see ``preparing.embedding_identity``."""
        return self._state.get(schema.EMBEDDING, "")

    @property
    def has_vectors(self) -> bool:
        """Whether anything is embedded."""
        with explained(self.folder):
            return bool(self._opened.execute("SELECT 1 FROM vectors LIMIT 1").fetchall())

    def use_vectors(self, embedding: str | None, device: str) -> None:
        """Search by meaning with this model, or, with None, not at all.

        Vectors that another model made are not searched.
        """
        if embedding is None or embedding != self.embedding:
            self._embedding = None
            return
        self._embedding, self._device = embedding, device

    # -- what ranking asks for

    @property
    def num_passages(self) -> int:
        """See ``SearchedFolder``."""
        return self._lexical.num_passages if self._lexical else 0

    def count_passages_with(self, terms: Sequence[str]) -> dict[str, int]:
        """See ``SearchedFolder``."""
        return self._lexical.count_passages_with(terms) if self._lexical else {}

    def search_words(
        self, query: str, num: int, weights: Mapping[str, float]
    ) -> list[tuple[int, float]]:
        """See ``SearchedFolder``."""
        return self._lexical.search(query, num, weights=weights) if self._lexical else []

    def score_words(
        self, query: str, ids: Sequence[int], weights: Mapping[str, float]
    ) -> dict[int, float]:
        """See ``SearchedFolder``."""
        return self._lexical.score(query, ids, weights=weights) if self._lexical else {}

    def find_terms_in(self, ids: Sequence[int], terms: Iterable[str]) -> dict[int, set[str]]:
        """See ``SearchedFolder``."""
        return self._lexical.find_terms_in(ids, terms) if self._lexical else {}

    def search_vectors(
        self, query: NDArray[np.float32], num: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See ``SearchedFolder``."""
        if self._embedding is None:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        with explained(self.folder):
            vectors = self._current_vectors(self._embedding, len(query))
        return vectors.search(query, num)

    def read_vectors(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """See ``SearchedFolder``."""
        if self._embedding is None:
            return {}
        with explained(self.folder):
            return reading.read_vectors(self._opened, ids)

    def read_passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """See ``SearchedFolder``."""
        with explained(self.folder):
            return reading.read_passages(self._opened, self.name, ids)

    # -- keeping in step

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise NotIndexedError(f"The folder {self.folder} is not indexed yet.")
        return self._connection

    def _identity_of_file(self) -> tuple[int, int] | None:
        """A damaged index is replaced by another file under the same name."""
        try:
            status = os.stat(self._file)
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _open(self) -> None:
        self.close()
        self._identity = self._identity_of_file()
        self._connection = open_to_read(self.folder)
        self._version, self._state = -1, {}
        self._lexical_name = ""
        self._vectors, self._are_vectors_current = None, False

    def _open_words(self) -> None:
        name, _, version = self._state.get(schema.LEXICAL, "").partition(" ")
        if name == self._lexical_name and self._lexical is not None:
            self._lexical.reload()
            return
        if self._lexical is not None:
            self._lexical.close()
        place = index_dir(self.folder) / name
        # Its writer makes it; a reader that did would get in the way.
        is_ours = bool(name) and version == str(LEXICAL_VERSION)
        is_there = is_ours and (place / "meta.json").exists()
        self._lexical = LexicalIndex(place) if is_there else None
        self._lexical_name = name if is_there else ""

    def _current_vectors(self, embedding: str, dimensions: int) -> "VectorIndex":
        """All vectors in memory, with what came and without what went since the last search."""
        from chatbot.retrieval.vectors import VectorIndex

        wanted = (embedding, self._device, dimensions)
        if self._vectors is None or self._loaded_as != wanted:
            self._vectors, self._loaded_as = VectorIndex(dimensions, self._device), wanted
            self._loaded_ids = np.empty(0, np.int64)
            self._last_passage = self._last_vector = self._num_removals = 0
            self._are_vectors_current = False
        if not self._are_vectors_current:
            # One view of the index for all of it.
            self._opened.execute("BEGIN")
            try:
                self._catch_up(self._vectors, dimensions)
            finally:
                self._opened.execute("ROLLBACK")
            self._are_vectors_current = True
        return self._vectors

    def _catch_up(self, vectors: "VectorIndex", dimensions: int) -> None:
        state = reading.read_state(self._opened)
        removals = reading.num_removals(state)
        if removals != self._num_removals:
            gone = np.setdiff1d(self._loaded_ids, reading.embedded_ids(self._opened))
            vectors.delete(gone)
            self._loaded_ids = np.setdiff1d(self._loaded_ids, gone)
            self._num_removals = removals
        if state.get(schema.EMBEDDING) != self._embedding:
            return  # another model's, since this search began
        rows = self._opened.execute(
            "SELECT passages.id, vector FROM vectors JOIN passages USING (hash) "
            "WHERE vectors.id > ?1 UNION ALL "
            "SELECT passages.id, vector FROM passages JOIN vectors USING (hash) "
            "WHERE passages.id > ?2 AND vectors.id <= ?1",
            (self._last_vector, self._last_passage),
        )
        while block := rows.fetchmany(_ROWS_AT_ONCE):
            ids = np.fromiter((row[0] for row in block), np.int64, len(block))
            full = np.frombuffer(bytearray().join(row[1] for row in block), np.float32)
            vectors.add(ids, full.reshape(len(block), dimensions))
            self._loaded_ids = np.concatenate((self._loaded_ids, ids))
        self._last_passage, self._last_vector = (
            self._opened.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
            for table in ("passages", "vectors")
        )
