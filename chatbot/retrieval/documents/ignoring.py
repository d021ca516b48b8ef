"""What the user leaves out of a folder: the patterns in its ``.chatbotignore``.

They are written and mean the same as those in a ``.gitignore``. Opens that one file; knows
nothing of the others but their names.
"""

import os
import re
import stat
from pathlib import Path
from typing import Final

from pathspec.gitignore import GitIgnoreSpec

from chatbot.wording import memory

IGNORE_FILE: Final = ".chatbotignore"

_MAX_BYTES: Final = 64 * 1024
_MAX_LINES: Final = 1000
"""Each is held against each name in the folder."""
_MAX_STARS: Final = 4
"""Of a pattern, between two slashes: each one more multiplies the time that a name may take."""
_STARS: Final = re.compile(r"\*+")
_MAX_JUMPS: Final = 2
"""Of a pattern, parts that are ``**`` alone: with three, a deep path may take a minute."""


class Ignores:
    """The patterns of one folder, as they were when they were read."""

    def __init__(self, lines: list[str]) -> None:
        """Take patterns over; those that mean nothing are not in force, and named in ``problem``.

        Args:
            lines: of a ``.chatbotignore``.
        """
        self.problem = ""
        """What is wrong with the file, in one sentence; else empty."""
        usable: list[str] = []
        for number, line in enumerate(lines, 1):
            if _is_usable(line):
                usable.append(line)
            elif not self.problem:
                self.problem = (
                    f"Line {number} is no pattern that can be used; write it as for .gitignore, "
                    f"with at most {_MAX_STARS} stars between two slashes and {_MAX_JUMPS} times "
                    "**."
                )
        self._spec = GitIgnoreSpec.from_lines(usable)
        self._is_empty = not usable

    def is_ignored(self, file: str, *, is_folder: bool) -> bool:
        """Whether the user leaves this out.

        Args:
            file: relative to the folder, with ``/``.
            is_folder: what is in it is left out too.
        """
        if self._is_empty:
            return False
        return self._spec.match_file(f"{file}/" if is_folder else file)


def read_ignores(folder: str | Path) -> Ignores:
    """The patterns of a folder; none where it has no ``.chatbotignore``."""
    path = os.path.join(folder, IGNORE_FILE)
    try:
        # Not through a link, which may lead anywhere, and never waiting for a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
                return _unread(f"It is no file of at most {memory(_MAX_BYTES)}")
            data = os.read(descriptor, _MAX_BYTES)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return Ignores([])
    except OSError as error:
        return _unread(f"It cannot be read ({(error.strerror or 'unknown error').lower()})")
    lines = data.decode("utf-8-sig", "replace").splitlines()
    if len(lines) > _MAX_LINES:
        return _unread(f"It has more than {_MAX_LINES:,} lines")
    return Ignores(lines)


def _unread(reason: str) -> Ignores:
    ignores = Ignores([])
    ignores.problem = f"{reason}, so nothing is left out by it; mend or remove it."
    return ignores


def _is_usable(line: str) -> bool:
    parts = line.split("/")
    if any(len(_STARS.findall(part)) > _MAX_STARS for part in parts):
        return False
    if sum("**" in part for part in parts) > _MAX_JUMPS:
        return False
    try:
        GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):
        return False
    return True
