"""Reads files while the index is busy with the ones before. Knows nothing of the index."""

import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

from chatbot.errors import KnowledgeError
from chatbot.retrieval.documents.document import Document, DocumentError

_MAX_WAITING: Final = 16
"""Documents that were read and wait: one may have many megabytes."""

ReadResult = tuple[str, Document | DocumentError]


class DocumentReader(Protocol):
    """What is needed of ``documents.reader.Reader``."""

    def read(self, folder: Path, file: str) -> Document:
        """Read one file."""
        ...

    def read_all(self, folder: Path, files: Iterable[str]) -> Iterator[ReadResult]:
        """Read files, in their order."""
        ...

    def close(self) -> None:
        """End it, from any thread, even in the middle of a file."""
        ...


class ReadAhead:
    """Reads these files in a thread of its own, which never keeps anybody waiting.

    Args:
        reader: is closed with it.
        on_result: called from that thread whenever ``take`` has something new.
    """

    def __init__(
        self,
        reader: DocumentReader,
        folder: Path,
        files: Iterable[str],
        on_result: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._on_result = on_result
        self._results: queue.Queue[ReadResult | KnowledgeError | None] = queue.Queue(_MAX_WAITING)
        self._is_closed = False
        self.is_done = False
        """Whether ``take`` has given everything."""
        threading.Thread(
            target=self._read, args=(folder, tuple(files)), name="reading", daemon=True
        ).start()

    @property
    def is_empty(self) -> bool:
        """Whether ``take`` has nothing just now."""
        return self._results.empty()

    def take(self) -> ReadResult | None:
        """The next file, or None where there is none yet, or none any more.

        Raises:
            KnowledgeError: nothing can be read at all.
        """
        try:
            result = self._results.get_nowait()
        except queue.Empty:
            return None
        if isinstance(result, tuple):
            return result
        self.is_done = True
        if result is not None:
            raise result
        return None

    def close(self) -> None:
        """Stop, even in the middle of a file."""
        self._is_closed = True
        self._reader.close()

    def _read(self, folder: Path, files: tuple[str, ...]) -> None:
        last: KnowledgeError | None = None
        try:
            for result in self._reader.read_all(folder, files):
                if not self._put(result):
                    return
        except KnowledgeError as error:
            last = error
        except BaseException:
            # Nobody else would hear of it, and the update would wait for ever.
            traceback.print_exc(file=sys.stderr)
            last = KnowledgeError("The files cannot be read; see the log, and try again.")
        finally:
            self._reader.close()
        self._put(last)

    def _put(self, result: ReadResult | KnowledgeError | None) -> bool:
        while not self._is_closed:
            try:
                self._results.put(result, timeout=0.5)
            except queue.Full:
                continue
            self._on_result()
            return True
        return False
