"""Keeps the index of one folder: becomes the one who writes it, updates it, settles it.

Works in steps that never take long. Embedding is asked of it by whoever has the model. Knows
nothing of requests.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import chatbot
from chatbot.errors import KnowledgeError
from chatbot.retrieval.documents.walking import find_root
from chatbot.retrieval.index import schema
from chatbot.retrieval.index.opening import WriteLock
from chatbot.retrieval.index.preparing import Cutter, embedding_identity, load_cutter
from chatbot.retrieval.index.reading_ahead import DocumentReader
from chatbot.retrieval.index.tally import Pace, Tally
from chatbot.retrieval.index.updating import FolderUpdate
from chatbot.retrieval.index.waiting import OtherWriter
from chatbot.retrieval.index.words import Words
from chatbot.retrieval.index.writing import IndexWriter

_LOCK_SECONDS: Final = 0.3
"""Between two tries to become the one who writes."""
_RETRY_SECONDS: Final = 5.0
"""After a failure, while the folder is watched."""


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
        self.reference = reference
        self.tally = Tally(folder, name)
        self._make_reader = make_reader
        self._wake = wake
        self._is_cancelled = is_cancelled
        self._lock = WriteLock(folder)
        self._writer: IndexWriter | None = None
        self._update: FolderUpdate | None = None
        self._other: OtherWriter | None = None
        self._is_dirty = True
        self._is_settled = False
        """Whether the stage after reading was entered since it was opened."""
        self._no_vectors = ""
        """Why nothing can be embedded, since the folder was last looked through."""
        self._next_try = 0.0
        self._next_scan = 0.0

    # -- verbs for any thread

    def mark_changed(self) -> None:
        """Something in the folder has changed, or may have."""
        self._is_dirty = True
        self._next_try = 0.0
        self._wake()

    def stop_reading(self) -> None:
        """Break off a file that is being read; only ``close`` comes after this."""
        if update := self._update:
            update.stop_reading()

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
        return self._update is not None and self._update.is_reading

    @property
    def wants_vectors(self) -> bool:
        """Whether passages wait to be embedded."""
        is_open = self._writer is not None and self.tally.stage in ("reading", "embedding")
        is_behind = self.tally.num_embedded < self.tally.num_passages
        return is_open and is_behind and not self._no_vectors

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
        if self._update:
            self._update.close()
            self._update = None
        if self._writer:
            self._writer.close()
            self._writer = None
        if self._other:
            self._other.close()
            self._other = None
        self._lock.release()

    def _step(self) -> bool:
        now = time.monotonic()
        if self._writer is None or self._update is None:
            if now < self._next_try:
                return False
            self._next_try = now + _LOCK_SECONDS
            if self.tally.stage == "failed" and not self.folder.is_dir():
                return False  # it failed because of that, and would only fail again
            opened = self._open()
            if opened is None:
                return False
            self._writer, self._update = opened
        writer, update = self._writer, self._update
        if update.is_reading:
            is_busy = update.step()
            if not update.is_reading:
                self._finish(writer, update)
            return is_busy
        if not self._is_dirty or now < self._next_scan:
            return False
        self._is_dirty = False
        self._no_vectors = ""
        has_changed = update.look_through()
        # A folder that changes all the time is looked through a third of the time at most.
        self._next_scan = time.monotonic() + 2 * (time.monotonic() - now)
        if not update.is_reading and (has_changed or not self._is_settled):
            self._finish(writer, update)
        return True

    # -- becoming the one who writes

    def _open(self) -> tuple[IndexWriter, FolderUpdate] | None:
        """Open the index for writing, unless another program has."""
        cutter = load_cutter(self.reference)
        if not self._lock.acquire():
            self._watch_other()
            return None
        if self._other:
            self._other.close()
            self._other = None
        # At once in its place, so that it is closed whatever goes wrong below.
        self._writer = writer = IndexWriter(self.folder)
        self.tally.notice = writer.notice
        self._prepare(writer, cutter)
        update = FolderUpdate(
            self.folder,
            writer,
            Words(self.folder, writer),
            cutter,
            self.tally,
            self._make_reader,
            self._wake,
            self._is_cancelled,
        )
        self.tally.take(writer.count())
        self.tally.enter("scanning")
        self._is_dirty, self._is_settled = True, False
        self._next_scan = 0.0
        return writer, update

    def _prepare(self, writer: IndexWriter, cutter: Cutter) -> None:
        """Take out what was made otherwise than it is to be made now."""
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

    def _watch_other(self) -> None:
        if self._other is None:
            self._other = OtherWriter(self.folder, embedding_identity(self.reference))
            self.tally.enter("waiting")
        self._other.look(self.tally)

    # -- settling

    def _finish(self, writer: IndexWriter, update: FolderUpdate) -> None:
        update.finish()
        self._is_settled = True
        self._settle(writer)

    def _settle(self, writer: IndexWriter) -> None:
        """Go over to embedding, or be ready.

        Raises:
            KnowledgeError: the folder has gone meanwhile.
        """
        if self.tally.num_embedded < self.tally.num_passages:
            self._set_stage(writer, "embedding")
            self.tally.enter("embedding", Pace(writer.num_characters_to_embed()))
            if self._no_vectors:
                self.tally.enter("failed", error=self._no_vectors)
        else:
            find_root(self.folder)  # embedding takes long, and needs no file
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
        self._no_vectors = message
        if self.tally.stage == "embedding":  # else it is said when all is read
            self.tally.enter("failed", error=message)

    def put_vectors(
        self, hashes: Sequence[bytes], vectors: NDArray[np.float32], num_characters: int
    ) -> None:
        """Store vectors; see ``IndexWriter``.

        Raises:
            KnowledgeError: they cannot be stored, or the folder has gone meanwhile.
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
