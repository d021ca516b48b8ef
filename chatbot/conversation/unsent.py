"""What was typed and not asked when the program ended: kept in the data folder for the next start.

Knows not where it was typed, nor who asks it in the end.
"""

import os
from pathlib import Path

from chatbot.paths import data_dir
from chatbot.terminal_text import clean


def keep_unsent(text: str) -> None:
    """Keep a text behind what is kept already, as by another chatbot that ended meanwhile.

    Raises:
        OSError: it cannot be written.
    """
    file = _file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(file, "a", encoding="utf-8", opener=_private) as out:
        out.write(f"{text}\n")


def take_unsent() -> str:
    """What was kept, which is no longer; empty where nothing was, or it cannot be read."""
    own = _file().with_suffix(f".{os.getpid()}")
    try:
        os.replace(_file(), own)  # of several chatbots that start now, one has it
        text = own.read_text(encoding="utf-8", errors="replace")
        own.unlink()
    except OSError:
        return ""
    return clean(text).strip("\n")


def _file() -> Path:
    return data_dir() / "unsent.txt"


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
