"""The owner of the process in which files are read. Knows no format."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from chatbot.retrieval.documents.document import Document, DocumentError

READER_COMMAND: Final = (sys.executable, "-m", "chatbot.retrieval.documents")

MAX_SECONDS_PER_FILE: Final = 20.0
"""After which a file is given up."""


class Reader:
    """Reads files in a process with limits, started when it is needed and after each death.

    For one thread at a time; only ``close`` may be called from any.
    """

    def __init__(
        self,
        command: Sequence[str] = READER_COMMAND,
        max_seconds_per_file: float = MAX_SECONDS_PER_FILE,
    ) -> None:
        self._command = command
        self._max_seconds = max_seconds_per_file

    def read(self, folder: Path, file: str) -> Document:
        """Read one file.

        Args:
            file: relative to the folder, with ``/``.

        Raises:
            DocumentError: the file cannot be read; the text says why.
            KnowledgeError: the reading process cannot be started, or the reader is closed.
        """
        raise NotImplementedError

    def read_all(
        self, folder: Path, files: Iterable[str]
    ) -> Iterator[tuple[str, Document | DocumentError]]:
        """Read files, in their order; the process works ahead while the caller stores.

        Raises:
            KnowledgeError: the reading process cannot be started, or the reader is closed.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End the process, even in the middle of a file."""

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
