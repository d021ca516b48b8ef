"""The worker processes import the program's own modules, never those of the user's folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from chatbot.engine.client import ENGINE_COMMAND
from chatbot.retrieval.client import RETRIEVAL_COMMAND
from chatbot.retrieval.documents.reader import READER_COMMAND


@pytest.mark.parametrize("command", [ENGINE_COMMAND, RETRIEVAL_COMMAND, READER_COMMAND])
def test_a_module_in_the_present_folder_is_not_imported(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    trap = "import pathlib; pathlib.Path('sprung').touch(); raise SystemExit(7)\n"
    (tmp_path / "msgspec.py").write_text(trap)
    # The same interpreter and flags, importing what every worker does first.
    flags = [flag for flag in command[1:] if flag.startswith("-") and flag != "-m"]
    subprocess.run([sys.executable, *flags, "-c", "import msgspec"], cwd=tmp_path, check=True)
    assert not (tmp_path / "sprung").exists()
