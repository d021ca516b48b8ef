"""Writes exported chats; a file that exists is never overwritten."""

from collections.abc import Iterable
from pathlib import Path

from chatbot.errors import FormatError
from chatbot.terminal_text import clean_line


def write_new(file: Path, pieces: Iterable[bytes]) -> None:
    """Write a new file.

    Raises:
        FormatError: it exists, or cannot be written.
    """
    name = clean_line(str(file))
    try:
        with file.expanduser().open("xb") as out:
            out.writelines(pieces)
    except FileExistsError:
        raise FormatError(f"{name} exists already; name another file.") from None
    except OSError as error:
        raise FormatError(f"{name} cannot be written: {error.strerror}.") from error
