"""Finds what has changed in a folder, has it read, and stores it, in steps that never take long.

Knows nothing of models, of requests, and of other programs that may want the same index.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from chatbot.paths import data_dir
from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.walking import FoundFile, find_root, walk
from chatbot.retrieval.index.comparing import RECENT_NS, Changes, compare
from chatbot.retrieval.index.preparing import Cutter
from chatbot.retrieval.index.reading_ahead import DocumentReader, ReadAhead
from chatbot.retrieval.index.tally import Pace, Tally
from chatbot.retrieval.index.words import Words
from chatbot.retrieval.index.writing import IndexWriter

_STEP_SECONDS: Final = 0.25
"""How long documents are gathered for one transaction."""
_WORDS_SHARE: Final = 5.0
"""Committing words may take one part in this many of the time."""
_FILE_BYTES: Final = 20_000
"""What a file costs beside its length, as if it were so much longer."""


class Cancelled(Exception):  # noqa: N818 - no error, but the user's wish
    """The work was ended in the middle of a step."""


class FolderUpdate:
    """The text of one folder on its way into the index. For one thread.

    Args:
        folder: resolved.
        writer: its index, open for writing.
        words: its lexical index, open for writing; closed with this.
        cutter: of the index.
        tally: is told what is done.
        make_reader: starts a reader.
        wake: called, from any thread, when ``step`` has something to do again.
        is_cancelled: asked in the middle of longer work.
    """

    def __init__(
        self,
        folder: Path,
        writer: IndexWriter,
        words: Words,
        cutter: Cutter,
        tally: Tally,
        make_reader: Callable[[], DocumentReader],
        wake: Callable[[], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._folder = folder
        self._writer = writer
        self._words = words
        self._cutter = cutter
        self._tally = tally
        self._make_reader = make_reader
        self._wake = wake
        self._is_cancelled = is_cancelled
        self._ahead: ReadAhead | None = None
        self._reading: dict[str, FoundFile] = {}
        self._vanished: list[str] = []
        """Were to be read, and had gone."""
        self._scanned_ns = 0
        self._next_words = 0.0
        self._step_seconds = _STEP_SECONDS

    @property
    def is_reading(self) -> bool:
        """Whether files are being read."""
        return self._ahead is not None

    def stop_reading(self) -> None:
        """Break off a file that is being read, from any thread; only ``close`` comes after it."""
        if ahead := self._ahead:
            ahead.close()

    def close(self) -> None:
        """Let go of the reader and of the lexical index."""
        self.stop_reading()
        self._ahead = None
        self._words.close()

    # -- finding what has changed

    def look_through(self) -> bool:
        """Compare the folder with the index, and begin to read what is new in it.

        Returns:
            Whether anything has changed.

        Raises:
            KnowledgeError: the folder cannot be read, or the index not written.
            Cancelled: it was broken off.
        """
        self._scanned_ns = time.time_ns()
        self._tally.num_ignored = 0
        changes = compare(self._walk(), self._writer.stored_files())
        find_root(self._folder)  # else what seems to be deleted went with it, and is kept
        self._tally.num_files = changes.num_files
        self._tally.num_files_done = changes.num_files - len(changes.to_read)
        if changes.gone or changes.problems:
            with self._writer.transaction():
                self._writer.remove_files(changes.gone)
                for found in changes.problems:
                    self._put_problem(found, found.problem)
        if changes.to_read:
            self._begin_reading(changes)
        return bool(changes.gone or changes.problems or changes.to_read)

    def _walk(self) -> Iterator[FoundFile]:
        own = os.path.relpath(data_dir().resolve(), self._folder) + "/"
        for number, found in enumerate(walk(self._folder)):
            if number % 256 == 0 and self._is_cancelled():
                raise Cancelled
            # Our own files, where the folder holds them, change whenever we write.
            if found.is_ignored:
                self._tally.num_ignored += 1
            elif not found.file.startswith(own):
                yield found

    def _begin_reading(self, changes: Changes) -> None:
        self._reading = {found.file: found for found in changes.to_read}
        total = sum(found.num_bytes + _FILE_BYTES for found in changes.to_read)
        self._tally.enter("reading", Pace(total))
        self._ahead = ReadAhead(self._make_reader(), self._folder, self._reading, self._wake)
        self._next_words = 0.0

    # -- storing what was read

    def step(self) -> bool:
        """Store what was read meanwhile.

        Returns:
            Whether there is more to do at once.

        Raises:
            KnowledgeError: nothing can be read, or the index not written.
            Cancelled: it was broken off.
        """
        ahead = self._ahead
        if ahead is None:
            return False
        self._store_some(ahead)
        if ahead.is_done:
            self._ahead = None
            return True
        if time.monotonic() >= self._next_words:
            self._tell_words()
        return not ahead.is_empty

    def finish(self) -> None:
        """All is stored: have the words found, and vectors go that no text has any more.

        Raises:
            KnowledgeError: the folder has gone meanwhile, or the index cannot be written.
        """
        self._tell_words()
        find_root(self._folder)
        if self._vanished:
            with self._writer.transaction():
                self._writer.remove_files(self._vanished)
            self._vanished.clear()
            self._tell_words()
        self._writer.drop_released_vectors()
        self._tally.take(self._writer.count())

    def _store_some(self, ahead: ReadAhead) -> None:
        result = ahead.take()
        if result is None:
            return
        deadline = time.monotonic() + self._step_seconds
        with self._writer.transaction():
            while result is not None:
                self._store(*result)
                result = ahead.take() if time.monotonic() < deadline else None
            began = time.monotonic()
        # Where the disk is slow to keep things, more is kept at once.
        self._step_seconds = max(_STEP_SECONDS, 4 * (time.monotonic() - began))

    def _store(self, file: str, result: Document | DocumentError) -> None:
        if self._is_cancelled():
            raise Cancelled
        found = self._reading.pop(file)
        self._tally.num_files_done += 1
        if self._tally.pace:
            self._tally.pace.advance(found.num_bytes + _FILE_BYTES)
        if isinstance(result, Document):
            problem = self._store_document(found, result)
        else:
            problem = str(result)
        if not problem:
            return
        if os.path.lexists(self._folder / file):
            self._put_problem(found, problem)
            self._tally.num_problems += 1
        else:
            # Perhaps with the whole folder, of which all that is known is kept: seen at the end.
            self._vanished.append(file)

    def _store_document(self, found: FoundFile, document: Document) -> str:
        """Store a document; what keeps it out of the index, or nothing."""
        try:
            prepared = self._cutter.prepare(document)
        except BaseException:
            # One strange document must not keep the others out; what a tokenizer gives up on it
            # with is no Exception.
            traceback.print_exc(file=sys.stderr)
            return "It cannot be cut into passages; the log says why."
        self._writer.put_document(found, prepared, is_recent=self._is_recent(found))
        self._tally.num_passages += len(prepared.passages)
        return ""

    def _put_problem(self, found: FoundFile, problem: str) -> None:
        self._writer.put_problem(found, problem, is_recent=self._is_recent(found))

    def _is_recent(self, found: FoundFile) -> bool:
        return found.modified_ns > self._scanned_ns - RECENT_NS

    def _tell_words(self) -> None:
        began = time.monotonic()
        self._words.update()
        took = time.monotonic() - began
        self._next_words = time.monotonic() + max(2 * _STEP_SECONDS, _WORDS_SHARE * took)
