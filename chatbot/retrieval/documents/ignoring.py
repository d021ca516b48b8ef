"""What is left out of a folder: by the user's ``.chatbotignore``, and by ``.gitignore`` files.

Each ``.gitignore`` holds for the folder that it is in, and what stands further down has the later
word, as git has it. Of a folder inside a repository those above it hold too, unless they leave out
the very folder that the user chose. ``.chatbotignore``, in the outermost folder alone, has the last
word, so that a pattern with ``!`` in it takes back what git leaves out. Opens these files; knows
nothing of the others but their names.
"""

import errno
import os
import re
import stat
from pathlib import Path
from typing import Final

from pathspec import PathSpec
from pathspec.gitignore import GitIgnoreSpec

from chatbot.wording import memory

IGNORE_FILE: Final = ".chatbotignore"
GIT_IGNORE_FILE: Final = ".gitignore"

_NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_MAX_BYTES: Final = 64 * 1024
_MAX_LINES: Final = 1000
"""Of a file, and of all that hold in one place: each is held against each name there."""
_MAX_STARS: Final = 4
"""Of a pattern, between two slashes: each one more multiplies the time that a name may take."""
_STARS: Final = re.compile(r"\*+")
_MAX_JUMPS: Final = 2
"""Of a pattern, parts that are ``**`` alone: with three, a deep path may take a minute."""


class Ignores:
    """The patterns of one folder and of those below it, each as it was when it was first asked."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = folder
        self._own = _read(os.path.join(folder, IGNORE_FILE), _MAX_LINES)
        self._above = _chain_above(os.path.realpath(folder))
        self._of_git: dict[str, _Chain] = {}
        """By folder, as ``problem_in`` takes it."""

    def is_ignored(self, file: str, *, is_folder: bool) -> bool:
        """Whether this is left out.

        Args:
            file: relative to the folder, with ``/``; nothing above it is left out.
            is_folder: what is in it is left out too.
        """
        path = f"{file}/" if is_folder else file
        in_force = self._in_force(file[: file.rfind("/") + 1])
        return bool(_decide((("", 0, self._own), *in_force), path))

    def problem_in(self, inside: str) -> tuple[str, str]:
        """A file of patterns that cannot be used as it is, and why, in one sentence; else empty.

        Args:
            inside: a folder relative to this one: empty, or ends in ``/``.
        """
        if not inside and self._own.problem:
            return IGNORE_FILE, self._own.problem
        for above, length, patterns in self._in_force(inside)[:1]:
            if not above and length == len(inside):
                return inside + GIT_IGNORE_FILE, patterns.problem
        return "", ""

    def _in_force(self, inside: str) -> "_Chain":
        """The ``.gitignore`` files that hold in a folder."""
        chain = self._of_git.get(inside)
        if chain is None:
            # Whoever asks comes from above, so this is one step deep.
            above = inside[: inside.rfind("/", 0, -1) + 1]
            chain = self._in_force(above) if inside else self._above
            chain = _with_nearer(chain, os.path.join(self._folder, inside), "", len(inside))
            self._of_git[inside] = chain
        return chain


class _Patterns:
    """The patterns of one file."""

    def __init__(self, lines: list[str]) -> None:
        """Take patterns over; those that mean nothing are not in force, and named in ``problem``.

        Args:
            lines: of the file.
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
        self._of_files = GitIgnoreSpec.from_lines(usable)
        # For files a pattern that names them comes before one that names a folder above them,
        # which is in the way of folders themselves: there the last one that fits decides.
        self._of_folders = PathSpec(self._of_files.patterns)
        self.num_lines = len(usable)

    def decide(self, path: str) -> bool | None:
        """Whether the last pattern that fits leaves a path out; None where none fits."""
        if not self.num_lines:
            return None
        spec = self._of_folders if path.endswith("/") else self._of_files
        return spec.check_file(path).include


_Chain = tuple[tuple[str, int, _Patterns], ...]
"""Files of patterns, the nearest first, each with the way from its folder down to the one that is
read, which ends in ``/``, or else with the length of the path from that one to its folder."""


def _decide(chain: _Chain, path: str) -> bool | None:
    for above, length, patterns in chain:
        decision = patterns.decide(above + path[length:])
        if decision is not None:
            return decision
    return None


def _with_nearer(chain: _Chain, folder: str, above: str, length: int) -> _Chain:
    """The chain with the ``.gitignore`` of a folder, if there is one."""
    num_lines = sum(patterns.num_lines for *_, patterns in chain)
    patterns = _read(os.path.join(folder, GIT_IGNORE_FILE), _MAX_LINES - num_lines)
    return ((above, length, patterns), *chain) if patterns.num_lines or patterns.problem else chain


def _chain_above(folder: str) -> _Chain:
    """What holds in a folder by the files above it in its repository."""
    places = (Path(folder), *Path(folder).parents)
    is_repository = (os.path.lexists(place / ".git") for place in places)
    num_above = next((depth for depth, is_it in enumerate(is_repository) if is_it), 0)
    chain: _Chain = ()
    for place in reversed(places[1 : num_above + 1]):
        chain = _with_nearer(chain, str(place), f"{places[0].relative_to(place)}/", 0)
    return () if _decide(chain, "") else chain


def _read(path: str, max_lines: int) -> _Patterns:
    """The patterns of a file; none where it is not there."""
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
    except OSError as error:
        if error.errno in _NOT_THERE:
            return _Patterns([])
        return _unread(f"It cannot be read ({(error.strerror or 'unknown error').lower()})")
    lines = data.decode("utf-8-sig", "replace").splitlines()
    if len(lines) > max_lines:
        return _unread(f"It has more than {max_lines:,} lines")
    return _Patterns(lines)


def _unread(reason: str) -> _Patterns:
    patterns = _Patterns([])
    patterns.problem = f"{reason}, so nothing is left out by it; mend or remove it."
    return patterns


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
