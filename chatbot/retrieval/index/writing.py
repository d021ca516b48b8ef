"""All that is written into an index, by the one program that holds its lock.

Whatever belongs together is one transaction, so that a program that is killed leaves every
passage in the index once or not at all. Knows nothing of the files and of the lexical index,
for which it keeps a list of what is still to be told.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from chatbot.retrieval.documents.walking import FoundFile
from chatbot.retrieval.index import schema
from chatbot.retrieval.index.failures import explained
from chatbot.retrieval.index.opening import open_to_write
from chatbot.retrieval.index.preparing import NewDocument
from chatbot.retrieval.index.reading import Counts, count_all

_encode_json = msgspec.json.Encoder().encode


class StoredFile(msgspec.Struct, frozen=True):
    """A file as it was when the index last looked at it."""

    num_bytes: int
    modified_ns: int
    found_problem: str
    is_recent: bool


class IndexWriter:
    """The index of one folder, open for writing. For one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Open it; see ``open_to_write``.

        Raises:
            KnowledgeError: it cannot be opened.
        """
        self._folder = folder
        self._connection, self.notice = open_to_write(folder)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is kept, or nothing of it. One inside another joins it.

        Raises:
            KnowledgeError: it could not be kept.
        """
        if self._connection.in_transaction:
            yield
            return
        with explained(self._folder):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def query(self, sql: str, values: Sequence[object] = ()) -> list[tuple]:  # type: ignore[type-arg]
        """The rows of a SELECT.

        Raises:
            KnowledgeError: the file cannot be read.
        """
        with explained(self._folder):
            return self._connection.execute(sql, values).fetchall()

    # -- what the index is

    def get(self, name: str) -> str:
        """An entry of the table ``state``; empty where there is none."""
        found = self.query("SELECT value FROM state WHERE name = ?", (name,))
        return str(found[0][0]) if found else ""

    def set(self, name: str, value: str) -> None:
        """Make an entry of the table ``state``."""
        with self.transaction():
            self._connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def count(self) -> Counts:
        """Count what is there."""
        with explained(self._folder):
            return count_all(self._connection)

    # -- documents and their passages

    def stored_files(self) -> dict[str, StoredFile]:
        """Every file that the index knows, by path."""
        rows = self.query(
            "SELECT file, num_bytes, modified_ns, found_problem, is_recent FROM documents"
        )
        return {
            file: StoredFile(num_bytes, modified_ns, found_problem, bool(is_recent))
            for file, num_bytes, modified_ns, found_problem, is_recent in rows
        }

    def put_document(self, found: FoundFile, document: NewDocument, *, is_recent: bool) -> None:
        """Store a file that was read, in place of what was known of it.

        Its passages stay as they are when nothing that is in it has changed.
        """
        with self.transaction():
            known = self.query("SELECT hash FROM documents WHERE file = ?", (found.file,))
            is_same = bool(known) and known[0][0] == document.hash
            number = self._put_file(found, is_recent, "", document)
            if is_same:
                return
            self._drop_passages(number)
            self._connection.executemany(
                "INSERT INTO passages (document, start, end, start_line, end_line, page, headings, "
                "text, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        number,
                        passage.start,
                        passage.end,
                        passage.start_line,
                        passage.end_line,
                        passage.page,
                        _encode_json(passage.headings).decode(),
                        passage.text,
                        passage.hash,
                    )
                    for passage in document.passages
                ),
            )
            self._connection.execute(
                "INSERT OR IGNORE INTO pending_words SELECT id FROM passages WHERE document = ?",
                (number,),
            )

    def put_problem(self, found: FoundFile, problem: str, *, is_recent: bool) -> None:
        """Store why a file is not in the index; its passages go."""
        with self.transaction():
            self._drop_passages(self._put_file(found, is_recent, problem, None))

    def remove_files(self, files: Sequence[str]) -> None:
        """Take files out, with their passages."""
        with self.transaction():
            for file in files:
                for (number,) in self.query("SELECT id FROM documents WHERE file = ?", (file,)):
                    self._drop_passages(number)
                    self._connection.execute("DELETE FROM documents WHERE id = ?", (number,))

    def clear(self) -> None:
        """Take everything out but the vectors, which are found again where the text is the same."""
        with self.transaction():
            self._release("SELECT id, hash FROM passages")
            self._connection.execute("DELETE FROM passages")
            self._connection.execute("DELETE FROM documents")

    def retry_problems(self) -> None:
        """Have the files that could not be read tried again, though they have not changed."""
        with self.transaction():
            self._connection.execute("UPDATE documents SET is_recent = 1 WHERE problem <> ''")

    def _put_file(
        self, found: FoundFile, is_recent: bool, problem: str, document: NewDocument | None
    ) -> int:
        row = (
            found.file,
            found.num_bytes,
            found.modified_ns,
            found.problem,
            problem,
            document and document.hash,
            document.kind if document else "",
            document.title if document else "",
            document and document.num_pages,
            document.num_characters if document else 0,
            is_recent,
        )
        # Not REPLACE, which would give the row another id.
        return int(
            self._connection.execute(
                "INSERT INTO documents (file, num_bytes, modified_ns, found_problem, problem, "
                "hash, kind, title, num_pages, num_characters, is_recent) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (file) DO UPDATE SET "
                "num_bytes = excluded.num_bytes, modified_ns = excluded.modified_ns, "
                "found_problem = excluded.found_problem, problem = excluded.problem, "
                "hash = excluded.hash, kind = excluded.kind, title = excluded.title, "
                "num_pages = excluded.num_pages, num_characters = excluded.num_characters, "
                "is_recent = excluded.is_recent RETURNING id",
                row,
            ).fetchall()[0][0]
        )

    def _drop_passages(self, document: int) -> None:
        self._release("SELECT id, hash FROM passages WHERE document = ?", (document,))
        self._connection.execute("DELETE FROM passages WHERE document = ?", (document,))

    def _release(self, which: str, values: Sequence[object] = ()) -> None:
        rows = self._connection.execute(which, values).fetchall()
        if not rows:
            return
        self._connection.executemany(
            "INSERT OR IGNORE INTO pending_words VALUES (?)", [(number,) for number, _ in rows]
        )
        self._connection.executemany(
            "INSERT OR IGNORE INTO released VALUES (?)", [(digest,) for _, digest in rows]
        )
        self._count_removal()

    def _count_removal(self) -> None:
        self.set(schema.NUM_REMOVALS, str(int(self.get(schema.NUM_REMOVALS) or 0) + 1))

    # -- vectors

    def texts_to_embed(self, limit: int) -> list[tuple[bytes, str, str, str]]:
        """Passages without a vector: hash, headings, title, text; several may be of one text.

        Args:
            limit: how many at most.
        """
        return self.query(
            "SELECT passages.hash, headings, title, text FROM passages "
            "JOIN documents ON documents.id = document "
            "WHERE passages.hash NOT IN (SELECT hash FROM vectors) ORDER BY passages.id LIMIT ?",
            (limit,),
        )

    def num_characters_to_embed(self) -> int:
        """Of all passages without a vector."""
        return int(
            self.query(
                "SELECT coalesce(sum(length(text)), 0) FROM passages "
                "WHERE hash NOT IN (SELECT hash FROM vectors)"
            )[0][0]
        )

    def put_vectors(self, hashes: Sequence[bytes], vectors: NDArray[np.float32]) -> int:
        """Store vectors, but for those whose text has gone meanwhile.

        Args:
            hashes: n of them.
            vectors: float32 [n, dimensions].

        Returns:
            How many passages have a vector now that had none.
        """
        rows = [(digest, row.tobytes()) for digest, row in zip(hashes, vectors, strict=True)]
        with self.transaction():
            num_passages = 0
            for digest, vector in rows:
                found = self._connection.execute(
                    "SELECT count(*) FROM passages WHERE hash = ?", (digest,)
                ).fetchone()[0]
                if found:
                    changes = self._connection.execute(
                        "INSERT OR IGNORE INTO vectors (hash, vector) VALUES (?, ?)",
                        (digest, vector),
                    ).rowcount
                    num_passages += found if changes > 0 else 0
        return num_passages

    def drop_vectors(self) -> None:
        """Take all vectors out: another model is to make them."""
        with self.transaction():
            self._connection.execute("DELETE FROM vectors")
            self._connection.execute("DELETE FROM released")
            self._count_removal()

    def drop_released_vectors(self) -> None:
        """Take out the vectors whose text is nowhere in the folder any more."""
        if self.query("SELECT 1 FROM released LIMIT 1"):
            with self.transaction():
                self._connection.execute(
                    "DELETE FROM vectors WHERE hash IN (SELECT hash FROM released) "
                    "AND hash NOT IN (SELECT hash FROM passages)"
                )
                self._connection.execute("DELETE FROM released")

    # -- what the lexical index does not know yet

    def pending_words(self, limit: int) -> list[int]:
        """Ids of passages that the lexical index has to take in or out."""
        rows = self.query("SELECT passage FROM pending_words ORDER BY passage LIMIT ?", (limit,))
        return [row[0] for row in rows]

    def words_of(self, ids: Sequence[int]) -> list[tuple[int, str, str, str, str, str]]:
        """Those of the passages that are there: id, file, kind, title, headings, text."""
        return self.query(
            "SELECT passages.id, file, kind, title, headings, text FROM passages "
            "JOIN documents ON documents.id = document "
            "WHERE passages.id IN (SELECT value FROM json_each(?))",
            (_encode_json(ids).decode(),),
        )

    def settle_words(self, ids: Sequence[int]) -> None:
        """The lexical index knows of these now."""
        with self.transaction():
            self._connection.executemany(
                "DELETE FROM pending_words WHERE passage = ?", [(number,) for number in ids]
            )

    def tell_all_words(self) -> None:
        """Have the lexical index, which is empty, take in every passage."""
        with self.transaction():
            self._connection.execute("DELETE FROM pending_words")
            self._connection.execute("INSERT INTO pending_words SELECT id FROM passages")

    def last_passage(self) -> int:
        """The highest id ever given."""
        found = self.query("SELECT seq FROM sqlite_sequence WHERE name = 'passages'")
        return int(found[0][0]) if found else 0
