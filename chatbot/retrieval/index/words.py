"""Keeps the lexical index in step with the passages.

Passages that come or go are listed in the same transaction; the list is worked through here and
struck off only after the lexical index has kept it. What a program that was killed has told it
already is told again, which changes nothing: out, then in.
"""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chatbot.errors import KnowledgeError
from chatbot.paths import index_dir
from chatbot.retrieval.documents.names import TABLE_KINDS
from chatbot.retrieval.index import schema
from chatbot.retrieval.index.failures import explained
from chatbot.retrieval.index.preparing import decode_headings
from chatbot.retrieval.index.writing import IndexWriter
from chatbot.retrieval.lexical import (
    LEXICAL_VERSION,
    DamagedWordIndexError,
    LexicalEntry,
    LexicalIndex,
)

_MAX_AT_ONCE: Final = 20_000
"""Passages that are held in memory for the lexical index."""


class Words:
    """The lexical index of one folder, open for writing; made anew where it is lost or broken."""

    def __init__(self, folder: Path, writer: IndexWriter) -> None:
        """Open it, and tell it what an earlier program did not come to tell.

        Raises:
            KnowledgeError: it cannot be made.
        """
        self._folder = folder
        self._writer = writer
        self._last_told = writer.last_passage()
        """Ids above this one are new to the lexical index, and need not be taken out first."""
        self._lexical = self._open()
        self.update()
        if self._lexical.num_passages != self._num_passages():
            self._make_anew()

    def update(self) -> None:
        """Tell it what came and went; searches find it from then on.

        Raises:
            KnowledgeError: it cannot be written.
        """
        try:
            self._tell()
        except DamagedWordIndexError:
            self._make_anew()

    def close(self) -> None:
        """Let go of the files."""
        self._lexical.close()

    def _tell(self) -> None:
        while ids := self._writer.pending_words(_MAX_AT_ONCE):
            with _disk_explained(self._folder):
                if told := [number for number in ids if number <= self._last_told]:
                    self._lexical.delete(told)
                self._lexical.add(_entry(*row) for row in self._writer.words_of(ids))
                self._lexical.commit()
            self._writer.settle_words(ids)
            self._last_told = max(self._last_told, ids[-1])

    def _make_anew(self) -> None:
        self.close()
        self._lexical = self._make()
        self._tell()

    def _open(self) -> LexicalIndex:
        name, _, version = self._writer.get(schema.LEXICAL).partition(" ")
        place = index_dir(self._folder)
        if name and version == str(LEXICAL_VERSION) and (place / name).is_dir():
            self._remove_others(name)
            with contextlib.suppress(KnowledgeError):
                return LexicalIndex(place / name, is_writer=True)
        return self._make()

    def _make(self) -> LexicalIndex:
        """Begin an empty one under a name of its own: other programs may read the old one."""
        old = self._writer.get(schema.LEXICAL).partition(" ")[0]
        name = f"lexical-{int(old.rpartition('-')[2] or 0) + 1}"
        self._remove_others(old)
        with self._writer.transaction():
            self._writer.set(schema.LEXICAL, f"{name} {LEXICAL_VERSION}")
            self._writer.tell_all_words()
        self._last_told = 0
        self._remove_others(name)
        with explained(self._folder):
            (index_dir(self._folder) / name).mkdir(mode=0o700, exist_ok=True)
        return LexicalIndex(index_dir(self._folder) / name, is_writer=True)

    def _remove_others(self, kept: str) -> None:
        for path in index_dir(self._folder).glob("lexical-*"):
            if path.name != kept:
                shutil.rmtree(path, ignore_errors=True)

    def _num_passages(self) -> int:
        return int(self._writer.query("SELECT count(*) FROM passages")[0][0])


@contextlib.contextmanager
def _disk_explained(folder: Path) -> Iterator[None]:
    """Tell a full disk, which tantivy only hints at, from a broken index.

    Raises:
        KnowledgeError: the one or the other.
    """
    with explained(folder):
        try:
            yield
        except KnowledgeError as error:
            if "No space left" in str(error.__cause__):
                raise OSError(errno.ENOSPC, "full") from error
            raise


def _entry(number: int, file: str, kind: str, title: str, headings: str, text: str) -> LexicalEntry:
    """A passage with what stands above it.

    Of a table that is the names of the columns, without which its values mean nothing: they count
    as text, else the passage with the line that names them, or prose that has their words, would
    come before the row that is asked for.
    """
    names = decode_headings(headings)
    if kind in TABLE_KINDS and names and not text.startswith(names[-1]):
        text = f"{names[-1]}\n{text}"
    return LexicalEntry(id=number, text=text, context="\n".join((file, title, *names)))
