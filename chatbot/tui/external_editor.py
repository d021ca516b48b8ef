"""Writing a message in the user's own editor."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from chatbot.errors import CommandError
from chatbot.terminal_text import clean


def edit_text(text: str) -> str:
    """Open ``$VISUAL``, ``$EDITOR`` or ``vi`` on ``text``; returns what was saved.

    Raises:
        CommandError: the editor cannot be started, or says that it failed.
    """
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
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
