"""What has changed in a folder since the index last looked. Opens no file."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from chatbot.retrieval.documents.walking import FoundFile
from chatbot.retrieval.index.writing import StoredFile

RECENT_NS: Final = 50_000_000
"""File systems count time in steps of up to some milliseconds: of a file that was written less
than this before it was looked at, the next write may leave the same time."""


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What an update has to do."""

    to_read: tuple[FoundFile, ...]
    """New or changed."""
    problems: tuple[FoundFile, ...]
    """New or changed, and not to be read, for the reason that the walk gave."""
    gone: tuple[str, ...]
    num_files: int
    """All files, those that cannot be read and those that are unchanged too."""


def compare(found: Iterable[FoundFile], stored: Mapping[str, StoredFile]) -> Changes:
    """What is new, changed or gone.

    Args:
        found: from a walk.
        stored: what the index knows, by path.
    """
    to_read: list[FoundFile] = []
    problems: list[FoundFile] = []
    seen: set[str] = set()
    for file in found:
        seen.add(file.file)
        known = stored.get(file.file)
        if known and _is_same(file, known):
            continue
        (problems if file.problem else to_read).append(file)
    return Changes(
        to_read=tuple(to_read),
        problems=tuple(problems),
        gone=tuple(file for file in stored if file not in seen),
        num_files=len(seen),
    )


def _is_same(found: FoundFile, known: StoredFile) -> bool:
    return (
        not known.is_recent
        and found.num_bytes == known.num_bytes
        and found.modified_ns == known.modified_ns
        and found.problem == known.found_problem
    )
