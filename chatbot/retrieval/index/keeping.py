"""Brings the index of one folder up to date, in steps that never take long.

Looks through the folder, has changed files read, cuts and stores them, and keeps the lexical
index in step. Embedding is asked of it by whoever has the model. Knows nothing of requests.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import chatbot
from chatbot.errors import KnowledgeError
from chatbot.paths import data_dir
from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.walking import FoundFile, walk
from chatbot.retrieval.index import schema
from chatbot.retrieval.index.comparing import RECENT_NS, Changes, compare
from chatbot.retrieval.index.opening import WriteLock
from chatbot.retrieval.index.preparing import Cutter, embedding_identity, load_cutter
from chatbot.retrieval.index.reading_ahead import DocumentReader, ReadAhead
from chatbot.retrieval.index.tally import Pace, Tally
from chatbot.retrieval.index.waiting import OtherWriter
from chatbot.retrieval.index.words import Words
from chatbot.retrieval.index.writing import IndexWriter

_STEP_SECONDS: Final = 0.25
"""How long documents are gathered for one transaction."""
_LOCK_SECONDS: Final = 0.3
"""Between two tries to become the one who writes."""
_RETRY_SECONDS: Final = 5.0
"""After a failure, while the folder is watched."""
_WORDS_SHARE: Final = 5.0
"""Committing words may take one part in this many of the time."""
_FILE_BYTES: Final = 20_000
"""What a file costs beside its length, as if it were so much longer."""


class Cancelled(Exception):  # noqa: N818 - no error, but the user's wish
    """The work was ended in the middle of a step."""


class FolderKeeper:
    """The index of one folder, and what is still to be done to it. For one thread.

    Args:
        folder: resolved.
        name: what whoever asked calls it.
        reference: of the embedding model.
        make_reader: starts a reader.
        wake: called, from any thread, when ``step`` has something to do again.
        is_cancelled: asked in the middle of longer work.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        reference: str,
        make_reader: Callable[[], DocumentReader],
        wake: Callable[[], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self.folder = folder
        self.name = name
        self.reference = reference
        self.tally = Tally(folder, name)
        self._make_reader = make_reader
        self._wake = wake
        self._is_cancelled = is_cancelled
        self._lock = WriteLock(folder)
        self._writer: IndexWriter | None = None
        self._words: Words | None = None
        self._cutter: Cutter | None = None
        self._other: OtherWriter | None = None
        self._ahead: ReadAhead | None = None
        self._reading: dict[str, FoundFile] = {}
        self._is_dirty = True
        self._was_scanned = False
        self._scanned_ns = 0
        self._next_try = 0.0
        self._next_scan = 0.0
        self._next_words = 0.0
        self._step_seconds = _STEP_SECONDS

    # -- verbs for any thread

    def mark_changed(self) -> None:
        """Something in the folder has changed, or may have."""
        self._is_dirty = True
        self._next_try = 0.0
        self._wake()

    def stop_reading(self) -> None:
        """Break off a file that is being read; only ``close`` comes after this."""
        if ahead := self._ahead:
            ahead.close()

    # -- verbs for the thread that it belongs to

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left that this program could do."""
        match self.tally.stage:
            case "ready" | "failed":
                return True
            case "waiting":
                return self._other is not None and self._other.is_done
        return False

    @property
    def is_writing(self) -> bool:
        """Whether the right to write the index is ours."""
        return self._writer is not None

    @property
    def is_reading(self) -> bool:
        """Whether files are being read."""
        return self._ahead is not None

    @property
    def wants_vectors(self) -> bool:
        """Whether passages wait to be embedded."""
        is_open = self._writer is not None and self.tally.stage in ("reading", "embedding")
        return is_open and self.tally.num_embedded < self.tally.num_passages

    def step(self) -> bool:
        """Do something for a fraction of a second.

        Returns:
            Whether there is more to do at once.

        Raises:
            Cancelled: it was broken off.
        """
        try:
            return self._step()
        except KnowledgeError as error:
            self.fail(str(error))
        return False

    def fail(self, message: str) -> None:
        """Say what went wrong and let go of everything; a change in the folder tries again."""
        self.close()
        self.tally.enter("failed", error=message)
        self._is_dirty = True
        self._next_try = time.monotonic() + _RETRY_SECONDS

    def close(self) -> None:
        """Let go of the files and of the right to write. ``step`` opens them again."""
        if self._ahead:
            self._ahead.close()
            self._ahead = None
        if self._words:
            self._words.close()
            self._words = None
        if self._writer:
            self._writer.close()
            self._writer = None
        if self._other:
            self._other.close()
            self._other = None
        self._was_scanned = False
        self._lock.release()

    def _step(self) -> bool:
        now = time.monotonic()
        if self._writer is None:
            if now < self._next_try:
                return False
            self._next_try = now + _LOCK_SECONDS
            if self.tally.stage == "failed" and not self.folder.is_dir():
                return False  # it failed because of that, and would only fail again
            if not self._open():
                return False
        assert self._writer is not None
        if self._ahead:
            return self._store_some(self._writer, self._ahead)
        if self._is_dirty and now >= self._next_scan:
            self._look_through(self._writer)
            return True
        return False

    def _open(self) -> bool:
        """Become the one who writes, unless another is."""
        cutter = load_cutter(self.reference)
        if not self._lock.acquire():
            self._watch_other()
            return False
        if self._other:
            self._other.close()
            self._other = None
        self._writer = writer = IndexWriter(self.folder)
        self.tally.notice = writer.notice or self.tally.notice
        self._cutter = cutter
        identity = embedding_identity(self.reference)
        with writer.transaction():
            if writer.get(schema.CUTTING) != cutter.identity:
                writer.clear()
                writer.set(schema.CUTTING, cutter.identity)
            if writer.get(schema.EMBEDDING) != identity:
                writer.drop_vectors()
                writer.set(schema.EMBEDDING, identity)
            if writer.get(schema.PROGRAM) != chatbot.__version__:
                writer.retry_problems()
                writer.set(schema.PROGRAM, chatbot.__version__)
            writer.set(schema.STAGE, "scanning")
        self._words = Words(self.folder, writer)
        self.tally.take(writer.count())
        self.tally.enter("scanning")
        self._is_dirty = True
        self._next_scan = 0.0
        return True

    def _watch_other(self) -> None:
        if self._other is None:
            self._other = OtherWriter(self.folder, embedding_identity(self.reference))
            self.tally.enter("waiting")
        self._other.look(self.tally)

    # -- finding what has changed

    def _look_through(self, writer: IndexWriter) -> None:
        self._is_dirty = False
        started, self._scanned_ns = time.monotonic(), time.time_ns()
        changes = compare(self._walk(), writer.stored_files())
        # A folder that changes all the time is looked through a third of the time at most.
        self._next_scan = time.monotonic() + 2 * (time.monotonic() - started)
        self.tally.num_files = changes.num_files
        self.tally.num_files_done = changes.num_files - len(changes.to_read)
        if changes.gone or changes.problems:
            with writer.transaction():
                writer.remove_files(changes.gone)
                for found in changes.problems:
                    writer.put_problem(found, found.problem, is_recent=self._is_recent(found))
        if changes.to_read:
            self._begin_reading(changes)
        elif changes.gone or changes.problems or not self._was_scanned:
            self._finish(writer)
        self._was_scanned = True

    def _walk(self) -> Iterator[FoundFile]:
        own = os.path.relpath(data_dir().resolve(), self.folder) + "/"
        for number, found in enumerate(walk(self.folder)):
            if number % 256 == 0 and self._is_cancelled():
                raise Cancelled
            # Our own files, where the folder holds them, change whenever we write.
            if not found.file.startswith(own):
                yield found

    def _is_recent(self, found: FoundFile) -> bool:
        return found.modified_ns > self._scanned_ns - RECENT_NS

    # -- reading and storing

    def _begin_reading(self, changes: Changes) -> None:
        self._reading = {found.file: found for found in changes.to_read}
        total = sum(found.num_bytes + _FILE_BYTES for found in changes.to_read)
        self.tally.enter("reading", Pace(total))
        self._ahead = ReadAhead(self._make_reader(), self.folder, self._reading, self._wake)
        self._next_words = 0.0

    def _store_some(self, writer: IndexWriter, ahead: ReadAhead) -> bool:
        result = ahead.take()
        if result is not None:
            deadline = time.monotonic() + self._step_seconds
            with writer.transaction():
                while result is not None:
                    self._store(writer, *result)
                    result = ahead.take() if time.monotonic() < deadline else None
                began = time.monotonic()
            # Where the disk is slow to keep things, more is kept at once.
            self._step_seconds = max(_STEP_SECONDS, 4 * (time.monotonic() - began))
        if ahead.is_done:
            self._ahead = None
            self._finish(writer)
            return True
        if time.monotonic() >= self._next_words:
            self._tell_words()
        return not ahead.is_empty

    def _store(self, writer: IndexWriter, file: str, result: Document | DocumentError) -> None:
        if self._is_cancelled():
            raise Cancelled
        found = self._reading.pop(file)
        self.tally.num_files_done += 1
        if self.tally.pace:
            self.tally.pace.advance(found.num_bytes + _FILE_BYTES)
        problem = (
            self._store_document(writer, found, result)
            if isinstance(result, Document)
            else str(result)
        )
        if not problem:
            return
        if not os.path.lexists(self.folder / file):
            writer.remove_files([file])  # it has gone since the folder was looked through
            return
        writer.put_problem(found, problem, is_recent=self._is_recent(found))
        self.tally.num_problems += 1

    def _store_document(self, writer: IndexWriter, found: FoundFile, document: Document) -> str:
        """Store a document; what keeps it out of the index, or nothing."""
        assert self._cutter is not None
        try:
            prepared = self._cutter.prepare(document)
        except Exception:
            # One strange document must not keep the others out.
            traceback.print_exc(file=sys.stderr)
            return "It cannot be cut into passages; the log says why."
        writer.put_document(found, prepared, is_recent=self._is_recent(found))
        self.tally.num_passages += len(prepared.passages)
        return ""

    def _tell_words(self) -> None:
        assert self._words is not None
        began = time.monotonic()
        self._words.update()
        took = time.monotonic() - began
        self._next_words = time.monotonic() + max(2 * _STEP_SECONDS, _WORDS_SHARE * took)

    def _finish(self, writer: IndexWriter) -> None:
        """All text is stored."""
        self._tell_words()
        writer.drop_released_vectors()
        self.tally.take(writer.count())
        self._settle(writer)

    def _settle(self, writer: IndexWriter) -> None:
        """Go over to embedding, or be ready."""
        if self.tally.num_embedded < self.tally.num_passages:
            self._set_stage(writer, "embedding")
            self.tally.enter("embedding", Pace(writer.num_characters_to_embed()))
        else:
            self._set_stage(writer, "ready")
            self.tally.enter("ready")

    def _set_stage(self, writer: IndexWriter, stage: str) -> None:
        if writer.get(schema.STAGE) != stage:
            writer.set(schema.STAGE, stage)

    # -- embedding

    def texts_to_embed(self, limit: int) -> list[tuple[bytes, str, str, str]]:
        """See ``IndexWriter``."""
        return self._writer.texts_to_embed(limit) if self._writer else []

    def expect_dimensions(self, dimensions: int) -> None:
        """Vectors of this length are going to be stored; others go."""
        if self._writer and self._writer.get(schema.DIMENSIONS) != str(dimensions):
            with self._writer.transaction():
                self._writer.drop_vectors()
                self._writer.set(schema.DIMENSIONS, str(dimensions))
            self.tally.take(self._writer.count())

    def pause(self) -> None:
        """Nothing is being embedded for now."""
        if self.tally.stage == "embedding" and self.tally.pace:
            self.tally.pace.stop()

    def go_on(self) -> None:
        """It is being embedded again."""
        if self.tally.pace:
            self.tally.pace.go()

    def fail_embedding(self, message: str) -> None:
        """Say why nothing can be embedded; words are kept up to date all the same."""
        self.tally.enter("failed", error=message)

    def put_vectors(
        self, hashes: Sequence[bytes], vectors: NDArray[np.float32], num_characters: int
    ) -> None:
        """Store vectors; see ``IndexWriter``.

        Raises:
            KnowledgeError: they cannot be stored.
        """
        if self._writer is None:
            return
        self.tally.num_embedded += self._writer.put_vectors(hashes, vectors)
        if self.tally.stage != "embedding":
            return
        if self.tally.pace:
            self.tally.pace.advance(num_characters)
        if self.tally.num_embedded >= self.tally.num_passages:
            self.tally.take(self._writer.count())
            self._settle(self._writer)
