"""The user's own editor, for a message or for a document."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from chatbot.errors import CommandError
from chatbot.terminal_text import clean, clean_line


def edit_text(text: str) -> str:
    """Open ``$VISUAL``, ``$EDITOR`` or ``vi`` on ``text``; returns what was saved.

    Raises:
        CommandError: the editor cannot be started, or says that it failed.
    """
    command = _command()
    handle, name = tempfile.mkstemp(suffix=".md", prefix="chatbot-")
    file = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        done = subprocess.run([*shlex.split(command), name], check=False)
        if done.returncode:
            raise CommandError(f"{command} failed; your message is as it was.")
        return clean(file.read_text("utf-8", "replace")).rstrip("\n")
    except (OSError, ValueError) as error:
        raise CommandError(f"{command} cannot be started ({error}); set EDITOR.") from error
    finally:
        file.unlink(missing_ok=True)


def open_document(folder: str, file: str, line: int) -> None:
    """Open a document of a knowledge folder at a line, counted from 1; 0 where it has none.

    Raises:
        CommandError: it is not there, or the editor cannot be started or says that it failed.
    """
    root = Path(folder).resolve()
    path = (root / file).resolve()
    if not folder or not path.is_relative_to(root) or not path.is_file():
        raise CommandError(f"{clean_line(file)} is not there any more.")
    command = _command()
    try:
        done = subprocess.run([*shlex.split(command), *_place(command, path, line)], check=False)
    except (OSError, ValueError) as error:
        raise CommandError(f"{command} cannot be started ({error}); set EDITOR.") from error
    if done.returncode:
        raise CommandError(f"{command} failed; the document is as it was.")


def _command() -> str:
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"


def _place(command: str, path: Path, line: int) -> list[str]:
    """A file and a line in it, as this editor is told them."""
    name = Path(shlex.split(command)[0]).name if command.strip() else ""
    if not line:
        return [str(path)]
    if name in ("code", "codium", "code-insiders"):
        return ["--goto", f"{path}:{line}"]
    if name in ("hx", "helix", "subl", "zed"):
        return [f"{path}:{line}"]
    if name in ("vi", "vim", "nvim", "view", "nano", "emacs", "emacsclient", "micro", "kak", "joe"):
        return [f"+{line}", str(path)]
    return [str(path)]
