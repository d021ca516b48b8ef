"""The user's own editor, for a message or for a document.

The editor has the terminal; an answer that is being written meanwhile goes on.
"""

import asyncio
import os
import shlex
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from textual.app import App

from chatbot.errors import CommandError
from chatbot.terminal_text import clean, clean_line


@contextmanager
def terminal_given_away(app: App[Any]) -> Iterator[None]:
    """Leave the terminal to another program; nothing is drawn meanwhile."""
    # The terminal sends Ctrl+C to all that run in it; a handler of ours, unlike "ignore", is not
    # handed on to the editor.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with app.batch_update(), app.suspend():
            yield
    finally:
        signal.signal(signal.SIGINT, before)
        app.refresh(layout=True)


async def edit_text(text: str) -> str:
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
        if await _run([*shlex.split(command), name]):
            raise CommandError(f"{command} failed; your message is as it was.")
        return clean(file.read_text("utf-8", "replace")).rstrip("\n")
    except (OSError, ValueError) as error:
        raise CommandError(f"{command} cannot be started ({error}); set EDITOR.") from error
    finally:
        file.unlink(missing_ok=True)


async def open_document(folder: str, file: str, line: int) -> None:
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
        status = await _run([*shlex.split(command), *_place(command, path, line)])
    except (OSError, ValueError) as error:
        raise CommandError(f"{command} cannot be started ({error}); set EDITOR.") from error
    if status:
        raise CommandError(f"{command} failed; the document is as it was.")


async def _run(command: Sequence[str]) -> int:
    """Run a program in this terminal; returns its exit status."""
    process = await asyncio.create_subprocess_exec(*command)
    try:
        return await process.wait()
    except asyncio.CancelledError:  # the chatbot ends
        process.terminate()
        raise


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
