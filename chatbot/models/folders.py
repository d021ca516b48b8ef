"""Model folders and GGUF files in the folders that the user keeps models in.

Looks at names alone; nothing is opened. Links are followed, but nothing is listed twice.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from chatbot.terminal_text import is_safe

DEPTH: Final = 2
"""Folders below a folder that are looked into: other programs keep ``maker/model/file.gguf``."""

MAX_ENTRIES: Final = 5000
"""Names that are looked at in all; a folder of models has some dozens."""

_LATER_PART: Final = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_PROJECTOR: Final = re.compile(r"(^|[-_.])mmproj", re.IGNORECASE)
"""What lets a model see; it is none itself."""


def models_in(folders: Iterable[str]) -> list[str]:
    """Paths of all models in ``folders`` and not too far below, each once, sorted by folder.

    Args:
        folders: paths, ``~`` allowed; one that is not there holds none.
    """
    return _found(map(Path, folders), DEPTH)


def models_beside(folder: Path) -> list[str]:
    """As ``models_in``, in ``folder`` itself and right below it."""
    return _found([folder], 1)


def _found(folders: Iterable[Path], depth: int) -> list[str]:
    found: dict[Path, str] = {}
    left = [MAX_ENTRIES]
    for folder in folders:
        for path in sorted(_walk(folder.expanduser().absolute(), depth, left)):
            found.setdefault(path.resolve(), _short(path))
    return list(found.values())


def _walk(folder: Path, depth: int, left: list[int]) -> Iterator[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError:
        return
    names = {entry.name for entry in entries}
    if "config.json" in names and any(name.endswith(".safetensors") for name in names):
        yield folder
    for entry in sorted(entries):
        left[0] -= 1
        if left[0] < 0:
            return
        if entry.name.startswith(".") or not is_safe(entry.name):
            continue
        if entry.suffix.lower() == ".gguf":
            is_model = not _LATER_PART.search(entry.name) and not _PROJECTOR.search(entry.name)
            if is_model and _is(entry, Path.is_file):
                yield entry
        elif depth and _is(entry, Path.is_dir):
            yield from _walk(entry, depth - 1, left)


def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
    """Whether ``path`` is of a kind; what may not be looked at is of none."""
    try:
        return kind(path)
    except OSError:
        return False


def _short(path: Path) -> str:
    """A path as a person writes it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
