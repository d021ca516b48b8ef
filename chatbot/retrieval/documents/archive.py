"""Reads a zip archive that may be out to fill the memory. Unpacks nothing to the disk.

What an archive claims is checked before anything is unpacked, and what comes out of it is
counted against the claim. Archives within it are never opened, and names in it are keys to look
up, never paths. Knows nothing of what is in there.
"""

import io
import zipfile
import zlib
from typing import Final

from chatbot.retrieval.documents.document import DocumentError
from chatbot.wording import memory

MAX_ENTRIES: Final = 10_000
MAX_UNPACKED_BYTES: Final = 512 * 2**20
"""Of all entries together, pictures included."""
MAX_ENTRY_BYTES: Final = 64 * 2**20
"""Of an entry that is read: the text of one with its marks, far above any book."""
MAX_RATIO: Final = 200
"""Unpacked to packed bytes; XML full of repetition reaches 100, a bomb is near 1,000."""
_RATIO_COUNTS_FROM: Final = 2**20
"""An entry below this size is harmless whatever its ratio."""

_ENTRY_MARK: Final = b"PK\x01\x02"
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_IS_ENCRYPTED: Final = 1


class Archive:
    """An archive whose claims are within the limits."""

    def __init__(self, content: bytes) -> None:
        """Check the archive.

        Raises:
            DocumentError: it is damaged or not a zip archive, or its claims exceed the limits.
        """
        # Each entry of the directory has its mark: counting them, in one pass over the bytes,
        # takes less than the objects that zipfile makes of a million entries.
        if content.count(_ENTRY_MARK) > MAX_ENTRIES:
            raise DocumentError(f"It is refused: there are over {MAX_ENTRIES:,} files in it.")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
            raise DocumentError("It is damaged: it cannot be unpacked.") from error
        self._entries = {entry.filename: entry for entry in self._zip.infolist()}
        self._check(len(content))

    def _check(self, num_bytes: int) -> None:
        entries = self._zip.infolist()
        total = sum(entry.file_size for entry in entries)
        if total > MAX_UNPACKED_BYTES:
            raise DocumentError(
                f"It is refused as an archive bomb: it unpacks to over "
                f"{memory(MAX_UNPACKED_BYTES)}."
            )
        # Against the whole file too: entries may overlap, each with a ratio that is fine.
        is_bomb = total > max(_RATIO_COUNTS_FROM, MAX_RATIO * num_bytes) or any(
            entry.file_size > max(_RATIO_COUNTS_FROM, MAX_RATIO * entry.compress_size)
            for entry in entries
        )
        if is_bomb:
            raise DocumentError(
                f"It is refused as an archive bomb: it unpacks to over {MAX_RATIO} times its size."
            )

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def read(self, name: str, limit: int = MAX_ENTRY_BYTES) -> bytes:
        """An entry, unpacked.

        Raises:
            DocumentError: there is no such entry, or it is damaged, encrypted or too large.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise DocumentError("It is damaged: a part of it is missing.")
        if entry.flag_bits & _IS_ENCRYPTED:
            raise DocumentError("It is protected with a password; save it without one.")
        if entry.file_size > limit:
            raise DocumentError(
                f"It is refused: a part of it unpacks to over {memory(limit)}; "
                "split it to have it read."
            )
        if entry.compress_type not in _METHODS:
            raise DocumentError("It is packed in a way that is not read; save it anew.")
        try:
            with self._zip.open(entry) as stream:
                # No more than it claims is even asked for: what is, may be unpacked at once.
                content = stream.read(entry.file_size + 1)
        except (
            *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
            *(ValueError, NotImplementedError, RuntimeError, OverflowError),
        ) as error:
            raise DocumentError("It is damaged: a part of it cannot be unpacked.") from error
        if len(content) > entry.file_size:
            raise DocumentError("It is refused as an archive bomb: it is larger than it claims.")
        return content
