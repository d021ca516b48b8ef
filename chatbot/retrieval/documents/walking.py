"""Finds the files of a folder. Opens none of them; knows nothing of what is in them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec


class FoundFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the folder, or something that cannot be read as one."""

    file: str
    """Relative to the folder, with ``/``; unique, and safe to show and to store. Where there is
    no problem, it is the file's real name."""
    num_bytes: int
    modified_ns: int
    """Nanoseconds since 1970, UTC."""
    problem: str = ""
    """Why it cannot be read, in one sentence; else empty."""


def walk(folder: Path) -> Iterator[FoundFile]:
    """Yield what is in the folder and below it, always in the same order.

    Raises:
        KnowledgeError: there is no such folder, or it cannot be read.
    """
    raise NotImplementedError
