"""Looks on while another program writes the index of a folder. Writes nothing."""

import contextlib
import sqlite3
from pathlib import Path

from chatbot.errors import KnowledgeError
from chatbot.retrieval.index import reading, schema
from chatbot.retrieval.index.opening import open_to_read
from chatbot.retrieval.index.tally import Tally


class OtherWriter:
    """What another running program makes of the index.

    Args:
        folder: resolved.
        embedding: which model this program would use; see ``preparing.embedding_identity``.
    """

    def __init__(self, folder: Path, embedding: str) -> None:
        self._folder = folder
        self._embedding = embedding
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self.is_done = False
        """Whether the other one has, for now, nothing more to do."""

    def look(self, tally: Tally) -> None:
        """Take the other's figures over, where they have changed."""
        # What goes wrong here is the other's to report.
        with contextlib.suppress(KnowledgeError, sqlite3.Error):
            if self._connection is None:
                self._connection = open_to_read(self._folder)
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                self._take(self._connection, tally)
                self._version = version

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _take(self, connection: sqlite3.Connection, tally: Tally) -> None:
        state = reading.read_state(connection)
        is_same = state.get(schema.EMBEDDING) == self._embedding
        self.is_done = state.get(schema.STAGE) == "ready" or not is_same
        tally.notice = (
            ""
            if is_same
            else "Another running chatbot keeps this index with another embedding model: it is "
            "searched by words only until that one is closed."
        )
        counts = reading.count_all(connection)
        tally.take(counts)
        tally.num_files = tally.num_files_done = counts.num_documents + counts.num_problems
