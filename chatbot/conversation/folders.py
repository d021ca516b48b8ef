"""The knowledge folders as the user names them: where each is, and which may be added.

Looks at the file system and at nothing else; keeps nothing.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from chatbot.errors import KnowledgeError, SettingError
from chatbot.paths import shipped_dir, working_dir
from chatbot.retrieval.values import FolderStatus
from chatbot.settings import MANUAL, KnowledgeFolder
from chatbot.terminal_text import clean_line, is_safe

NO_FOLDERS = "none"
"""What ``-k`` is given to search nothing."""


class FolderState(msgspec.Struct, frozen=True, kw_only=True):
    """One knowledge folder, as a screen shows it."""

    folder: KnowledgeFolder
    path: str
    """Absolute."""
    problem: str = ""
    """Why it cannot be searched, in one sentence; else empty."""
    status: FolderStatus | None = None
    """How far its index is; None while it is off, not there, or not looked at yet."""

    @property
    def name(self) -> str:
        """What the user knows it as: ``manual``, ``~/notes``; cleaned."""
        return clean_line(self.folder.path)


def path_of(folder: KnowledgeFolder) -> Path:
    """Where a folder is: ``~`` and ``manual`` resolved; absolute."""
    if folder.path == MANUAL:
        return shipped_dir("knowledge").resolve()
    return _resolved(folder.path)


def _resolved(text: str) -> Path:
    try:
        return (working_dir() / Path(text).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError):  # no such user, a loop of links, a null byte
        return Path(os.path.abspath(working_dir() / text.replace("\0", "")))


def problem_of(folder: KnowledgeFolder) -> str:
    """Why a folder cannot be searched, in one sentence; empty when it can."""
    path = path_of(folder)
    name = clean_line(folder.path)
    if not path.exists():
        return (
            f"The folder {name} is not there; mount it, or /knowledge remove {name} takes it out."
        )
    if not path.is_dir():
        return f"{name} is not a folder; name the folder that it is in."
    if not os.access(path, os.R_OK | os.X_OK):
        return f"The folder {name} may not be read; change its permissions."
    return ""


def checked_folder(text: str) -> KnowledgeFolder:
    """A folder as it is kept: with its place in full, but ``~`` for the user's own folder.

    Args:
        text: as the user typed it.

    Raises:
        KnowledgeError: there is no such folder, it cannot be read, or it is the whole disk.
    """
    text = text.strip()
    if not text:
        raise KnowledgeError("Name a folder, such as ~/notes.")
    if text == MANUAL:
        return KnowledgeFolder(MANUAL)
    path = _resolved(text)
    if not is_safe(str(path)) or "\n" in str(path):
        raise KnowledgeError(
            f"{clean_line(str(path))} has control characters in its name; rename it first."
        )
    folder = KnowledgeFolder(_short(path))
    if not path.exists():
        raise KnowledgeError(
            f"There is no folder {clean_line(folder.path)}; name one that is there."
        )
    if problem := problem_of(folder):
        raise KnowledgeError(problem)
    if path == Path(path.anchor):
        raise KnowledgeError("The whole disk is no knowledge folder; name a folder in it.")
    return folder


def is_home(folder: KnowledgeFolder) -> bool:
    """Whether a folder is the user's whole own folder, or holds it."""
    path, home = path_of(folder), Path.home().resolve()
    return path == home or path in home.parents


def _short(path: Path) -> str:
    home = Path.home().resolve()
    return f"~/{path.relative_to(home)}" if home in path.parents else str(path)


def find_folder(folders: Sequence[KnowledgeFolder], text: str) -> KnowledgeFolder:
    """The folder that the user means: as it is listed, by its place, or by its last name.

    Raises:
        KnowledgeError: none is meant, or several are.
    """
    text = text.strip()
    path = path_of(KnowledgeFolder(text)) if text else None
    found = [f for f in folders if f.path == text or path_of(f) == path]
    found = found or [f for f in folders if path_of(f).name == text]
    if len(found) == 1:
        return found[0]
    names = ", ".join(clean_line(f.path) for f in folders) or "none yet"
    if not text:
        raise KnowledgeError(f"Name one of the folders: {names}.")
    raise KnowledgeError(
        f"{clean_line(text)} is {'several' if found else 'none'} of the folders; there are {names}."
    )


def folders_of_run(texts: Sequence[str]) -> tuple[KnowledgeFolder, ...]:
    """The folders that the command line names, for one run alone; ``none`` is no folder.

    Raises:
        SettingError: one of them is not there, or cannot be read.
    """
    if list(texts) == [NO_FOLDERS]:
        return ()
    try:
        folders = {path_of(f): f for f in map(checked_folder, texts)}
    except KnowledgeError as error:
        raise SettingError(str(error)) from error
    return tuple(folders.values())
