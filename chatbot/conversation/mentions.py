"""Files that a question names: ``@notes.md``, ``@~/plan.pdf``, ``@"my notes.md"``.

Looks at names in the file system, and reads nothing. What stands behind an ``@`` and is no file
is text like any other.
"""

import mimetypes
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from chatbot.paths import working_dir
from chatbot.terminal_text import is_safe
from chatbot.wording import size

_MENTION: Final = re.compile(r'(?<![^\s(\[{])@(?:"([^"\n]+)"|([^\s"]+))')
"""Not within a word, so that no address of a mail is one."""
_BEGIN: Final = re.compile(r"(?<![^\s(\[{])@")
_AFTER_NAME: Final = ".,;:!?)]}'"
"""What may follow a name at the end of a clause and is no part of it."""

_SPACES: Final = (" ", "\t", "\u00a0", "\u3000")

MAX_NAMES: Final = 100
"""Names behind an ``@`` that are looked for, with each key that is pressed."""
MAX_BEGUN: Final = 4096
"""Characters of one that is being typed: no path is longer."""

MAX_LOOKED_AT: Final = 5000
"""Entries of a folder; in a larger one the user has to type more than a click."""
MAX_OFFERED: Final = 200


class BegunMention(msgspec.Struct, frozen=True):
    """A name that is still being typed."""

    start: int
    """Characters of the text before its ``@``."""
    name: str
    """As far as it is typed, without quotes."""


def mentioned_files(text: str) -> tuple[str, ...]:
    """The files that a question names, each once, as they are typed there."""
    found = (_file_of(*pair) for pair in _names_in(text))
    return tuple(dict.fromkeys(name for name in found if name))


def missing_files(text: str) -> tuple[str, ...]:
    """What a question names as only files are named, and is not there: ``@plan.md``, ``@src/plan``
    where there is a folder ``src``."""
    missing = (
        quoted or (bare or "").rstrip(_AFTER_NAME)
        for quoted, bare in _names_in(text)
        if not _file_of(quoted, bare)
    )
    return tuple(dict.fromkeys(name for name in missing if _is_missing(name)))


def names_file(text: str, name: str) -> bool:
    """Whether a question names this file, be it there or not."""
    return any(
        name in (match[1], match[2], (match[2] or "").rstrip(_AFTER_NAME))
        for match in _MENTION.finditer(text)
    )


def path_of_name(name: str) -> Path:
    """Where a file is that is named so; ``~`` resolved, absolute. ``..`` stays in it: behind a link
    it leads elsewhere than it looks."""
    return working_dir() / os.path.expanduser(name)


def begun_mention(text: str) -> BegunMention | None:
    """The name that a text ends in; None where it ends in none."""
    start = max(text.rfind("\n") + 1, len(text) - MAX_BEGUN)
    line = text[start:]
    quoted = line.rfind('@"')
    if quoted >= 0 and '"' not in line[quoted + 2 :] and _BEGIN.match(line, quoted):
        return BegunMention(start + quoted, line[quoted + 2 :])
    word = line[max(map(line.rfind, _SPACES)) + 1 :]
    match = _BEGIN.search(word)
    if match is None or '"' in word[match.end() :]:
        return None
    return BegunMention(start + len(line) - len(word) + match.start(), word[match.end() :])


def file_words(begun: str) -> dict[str, str]:
    """What a name could become that is typed as far as ``begun``.

    Returns:
        Each with its ``@``, in quotes where it has to be, and what it is: ``folder``, ``3 kB``.
    """
    folder, name = os.path.split(begun)
    entries = sorted(_entries(folder, name), key=lambda entry: entry[0].casefold())
    words = {}
    for entry, about in entries[:MAX_OFFERED]:
        path = os.path.join(folder, entry)
        if about:
            words[f'@"{path}"' if " " in path else f"@{path}"] = about
        else:  # the quotes of a folder end behind a file in it
            words[f'@"{path}/' if " " in path else f"@{path}/"] = "folder"
    return words


def _names_in(text: str) -> Iterator[tuple[str | None, str | None]]:
    """What stands behind each ``@``, in quotes or without."""
    if "@" not in text:
        return iter(())
    # Each name once: a program that somebody pastes has the same few again and again.
    names = dict.fromkeys((match[1], match[2]) for match in _MENTION.finditer(text))
    return islice(names, MAX_NAMES)


def _file_of(quoted: str | None, bare: str | None) -> str:
    """The file that is named, in quotes or without; an empty text where it is none."""
    names = [quoted] if quoted else [bare, (bare or "").rstrip(_AFTER_NAME)]
    return next((name for name in names if name and _is_file(name)), "")


def _is_file(name: str) -> bool:
    try:
        return stat.S_ISREG(path_of_name(name).stat().st_mode)
    except (OSError, ValueError):  # too long, a null character
        return False


def _is_missing(name: str) -> bool:
    """Whether it is called like a file, unlike a person or a decorator, and is not there."""
    with suppress(OSError, ValueError):
        path = path_of_name(name)
        is_like_one = mimetypes.guess_type(path.name)[0] or ("/" in name and path.parent.is_dir())
        return bool(is_like_one) and not path.exists()
    return False


def _entries(folder: str, begun: str) -> Iterator[tuple[str, str]]:
    """What is in a folder and begins so, with its size; of a folder in it, with an empty text."""
    try:
        with os.scandir(path_of_name(folder) if folder else Path()) as entries:
            for entry in islice(entries, MAX_LOOKED_AT):
                name = entry.name
                is_meant = name.lower().startswith(begun.lower())
                if is_meant and (name[0] != "." or begun) and _can_be_typed(name):
                    yield from _about(entry)
    except (OSError, ValueError):
        return


def _about(entry: "os.DirEntry[str]") -> Iterator[tuple[str, str]]:
    """See ``_entries``; nothing of what is neither a file nor a folder, as a broken link."""
    with suppress(OSError):
        if entry.is_dir():
            yield entry.name, ""
        elif entry.is_file():
            yield entry.name, size(entry.stat().st_size)


def _can_be_typed(name: str) -> bool:
    is_text = name.isprintable() and is_safe(name)  # bytes that are no text are not printable
    return is_text and '"' not in name
