"""Finds the files of a folder. Opens none of them but those that name what to leave out; knows
nothing of what is in them.

Links are followed only to what lies inside the folder. Most of what lies there is found under
its own name anyway; what remains is a link into a hidden or left-out place, which is followed
once. Files that can be read have names that are safe to show, so that a name can travel through
indexes, prompts and screens and back again as it is; the others are listed with the reason.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from chatbot.errors import KnowledgeError
from chatbot.retrieval.documents.ignoring import Ignores
from chatbot.retrieval.documents.names import format_of, is_left_out, max_bytes_of, problem_of
from chatbot.terminal_text import clean_line, is_safe
from chatbot.wording import memory

_NAME_PROBLEM: Final = "Its name holds characters that cannot be shown; rename it to have it read."
_LINK_OUT: Final = "This link leads out of the folder; add the folder that it leads to instead."
_LINK_DEAD: Final = "This link leads nowhere; remove it or mend it."
_NO_RIGHT: Final = "You may not read it; change its permissions (chmod u+r)."
_NO_RIGHT_FOLDER: Final = "You may not open this folder; change its permissions (chmod u+rx)."
_EMPTY: Final = "The file is empty."
_KINDS: Final = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


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
    is_ignored: bool = False
    """Whether ``.chatbotignore`` or a ``.gitignore`` leaves it out; of a folder nothing else is
    said."""


def walk(folder: Path) -> Iterator[FoundFile]:
    """Yield what is in the folder and below it, always in the same order.

    Hidden files and folders, backups and what programs fill (``node_modules``) are left out
    without a word. What ``.chatbotignore`` or a ``.gitignore`` leaves out is yielded as ignored, a
    folder as one.

    Raises:
        KnowledgeError: there is no such folder, or it cannot be read.
    """
    root = find_root(folder)
    return _Walk(root, Ignores(root)).run()


def find_root(folder: Path) -> str:
    """The folder's real path, which can be read now.

    Raises:
        KnowledgeError: there is no such folder, or it cannot be read.
    """
    try:
        root = os.path.realpath(folder, strict=True)
        with os.scandir(root):
            pass
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "its name is impossible").lower()
        raise KnowledgeError(
            f"The folder {clean_line(str(folder), 300)} cannot be read ({reason}); "
            "check its name and its permissions."
        ) from error
    return root


class _Walk:
    """One walk through a folder."""

    def __init__(self, root: str, ignores: Ignores) -> None:
        self._root = root
        self._ignores = ignores
        self._followed: set[str] = set()
        """Real paths of what links led to."""

    def run(self) -> Iterator[FoundFile]:
        # A stack instead of recursion: a path may be two thousand folders deep.
        waiting = [""]
        while waiting:
            inside = waiting.pop()
            folders: list[str] = []
            try:
                with os.scandir(os.path.join(self._root, inside)) as scan:
                    entries = sorted(scan, key=_name_of)
            except OSError as error:
                yield _problem(inside[:-1], _reason(error, _NO_RIGHT_FOLDER))
                continue
            patterns, problem = self._ignores.problem_in(inside)
            if problem:
                yield _problem(patterns, problem)
            taken = {entry.name for entry in entries}
            for entry in entries:
                found = self._look_at(inside, entry, taken)
                if isinstance(found, FoundFile):
                    yield found
                elif found:
                    folders.append(found)
            waiting += reversed(folders)

    def _look_at(self, inside: str, entry: "os.DirEntry[str]", taken: set[str]) -> FoundFile | str:
        """The file that an entry is; else a folder to go into; else nothing, as ``""``.

        Args:
            inside: the folder that is being read, relative to the root: empty, or ends in ``/``.
            taken: names in this folder, so that one made up is like none of them.
        """
        name = entry.name
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_left_out(name, is_folder):
                return ""
            if not name.isascii() or not name.isprintable():
                shown = _shown(name)
                if shown != name:
                    while shown in taken:
                        shown += "?"
                    taken.add(shown)
                    return _problem(inside + shown, _NAME_PROBLEM, entry)
            file = inside + name
            if self._ignores.is_ignored(file, is_folder=is_folder):
                return FoundFile(file=file, num_bytes=0, modified_ns=0, is_ignored=True)
            if is_folder:
                return file + "/"
            if entry.is_symlink():
                return self._look_at_link(file, entry)
            return _look_at_file(file, entry.path, entry.stat(follow_symlinks=False))
        except OSError as error:
            return _problem(inside + _shown(name), _reason(error, _NO_RIGHT))

    def _look_at_link(self, file: str, entry: "os.DirEntry[str]") -> FoundFile | str:
        try:
            target = os.path.realpath(entry.path, strict=True)
        except OSError:
            return _problem(file, _LINK_DEAD)
        if not Path(target).is_relative_to(self._root):
            return _problem(file, _LINK_OUT, entry)
        status = os.stat(target)
        is_folder = stat.S_ISDIR(status.st_mode)
        if self._is_found_anyway(target, is_folder) or target in self._followed:
            return ""
        self._followed.add(target)
        return file + "/" if is_folder else _look_at_file(file, target, status)

    def _is_found_anyway(self, target: str, is_folder: bool) -> bool:
        """Whether the walk comes past this place without any link."""
        *above, name = os.path.relpath(target, self._root).split("/")
        if target == self._root:
            return True
        return not is_left_out(name, is_folder) and not any(is_left_out(n, True) for n in above)


def _look_at_file(file: str, path: str, status: os.stat_result) -> FoundFile:
    return FoundFile(
        file=file,
        num_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        problem=_problem_of(file, path, status),
    )


def _problem_of(file: str, path: str, status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        what = next((what for is_it, what in _KINDS if is_it(status.st_mode)), "no regular file")
        return f"This is {what}, which is never opened."
    name = file.rpartition("/")[2]
    if problem := problem_of(name):
        return problem
    if status.st_size == 0:
        return _EMPTY
    limit = max_bytes_of(format_of(name)[0])
    if status.st_size > limit:
        return (
            f"The file is larger than {memory(limit)}, which is the limit for its kind; "
            "split it to have it read."
        )
    return "" if os.access(path, os.R_OK) else _NO_RIGHT


def _problem(file: str, problem: str, entry: "os.DirEntry[str] | None" = None) -> FoundFile:
    status = entry.stat(follow_symlinks=False) if entry else None
    return FoundFile(
        file=file,
        num_bytes=status.st_size if status and stat.S_ISREG(status.st_mode) else 0,
        modified_ns=status.st_mtime_ns if status else 0,
        problem=problem,
    )


def _reason(error: OSError, no_right: str) -> str:
    if isinstance(error, PermissionError):
        return no_right
    return f"It cannot be read ({(error.strerror or 'unknown error').lower()})."


def _name_of(entry: "os.DirEntry[str]") -> str:
    return entry.name


def _shown(name: str) -> str:
    """A name in which everything that is not safe is spelt out: ``\\udcff``, ``\\x1b``."""
    if is_safe(name) and "\n" not in name and "\t" not in name:
        return name
    return "".join(
        c if is_safe(c) and c not in "\n\t" else c.encode("unicode_escape").decode() for c in name
    )
