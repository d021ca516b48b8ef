import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("accelerate", "bitsandbytes", "sentence_transformers", "sklearn", "torch", "transformers")
AFTER_THE_FIRST_FRAME = (
    *("chatbot.conversation.citations", "chatbot.conversation.sentences"),
    *("numpy", "plotext", "textual_plotext"),
)
"""Rules about sentences that only a finished answer needs, and plots that only the lens does."""


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("chatbot.tui.app", (*HEAVY, *AFTER_THE_FIRST_FRAME)),
        ("chatbot.cli", (*HEAVY, "textual", "asyncio")),
        ("chatbot.plain.chat", (*HEAVY, "textual")),
        ("chatbot.commands.chats.flags", (*HEAVY, "textual", "asyncio", "sqlite3")),
        ("chatbot.store.database", (*HEAVY, "textual", "asyncio")),
        ("chatbot.conversation.manager", (*HEAVY, "textual")),
        ("chatbot.engine.client", (*HEAVY, "textual")),
        ("chatbot.worker.server", (*HEAVY, "textual", "asyncio")),
    ],
)
def test_importing_loads_nothing_heavy(module: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({unwanted!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
