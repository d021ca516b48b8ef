"""Opens a file of a folder so that nothing outside the folder can be reached.

Between the finding of a file and its opening, anything may have been exchanged for a link.
So a path is opened part by part, each refusing to be a link; where a part is one, the whole is
resolved, must lie inside the folder, and the result is opened in the same way. What is open is
then asked what it is. Knows no format.
"""

import errno
import os
import stat
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Final

from chatbot.retrieval.documents.document import DocumentError
from chatbot.wording import memory

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without blocking, because opening a pipe would wait for its other end.
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LINK_ERRORS: Final = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)


def read_bytes(folder: Path, file: str, limit: int) -> bytes:
    """What a file holds.

    Args:
        file: relative to the folder, with ``/``.
        limit: of its size, in bytes.

    Raises:
        DocumentError: the file is gone, lies outside the folder, is not a regular file, is
            empty or larger than the limit, or cannot be read.
    """
    try:
        handle = _open(folder, file)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise DocumentError("It is not a regular file, and is not read.")
            with FileIO(handle, closefd=False) as stream:
                content = _read_up_to(stream, status.st_size, limit)
        finally:
            os.close(handle)
    except FileNotFoundError as error:
        raise DocumentError("The file is no longer there.") from error
    except PermissionError as error:
        raise DocumentError("You may not read it; change its permissions (chmod u+r).") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise DocumentError(f"The file cannot be read ({reason}).") from error
    if not content:
        raise DocumentError("The file is empty.")
    return content


def _read_up_to(stream: FileIO, size: int, limit: int) -> bytes:
    if size <= limit:
        # One more than there should be: a file that grows must not slip past its limit.
        content = stream.read(size + 1) or b""
        while len(content) <= limit and (more := stream.read(min(limit, 2**20))):
            content += more
        if len(content) <= limit:
            return content
    raise DocumentError(
        f"The file is larger than {memory(limit)}, which is the limit for its kind."
    )


def _open(folder: Path, file: str) -> int:
    parts = file.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise DocumentError("Its path leads out of the folder.")
    try:
        return _open_without_links(str(folder), parts)
    except OSError as error:
        if error.errno not in _LINK_ERRORS:
            raise
    root = os.path.realpath(folder, strict=True)
    target = Path(os.path.realpath(os.path.join(root, file), strict=True))
    if not target.is_relative_to(root):
        raise DocumentError("It is a link that leads out of the folder.")
    return _open_without_links(root, target.relative_to(root).parts)


def _open_without_links(root: str, parts: Sequence[str]) -> int:
    """A handle of the file; OSError with one of ``_LINK_ERRORS`` where a part is a link."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(parts[-1], _FILE_FLAGS, dir_fd=folder)
    finally:
        os.close(folder)
