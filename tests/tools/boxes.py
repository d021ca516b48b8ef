"""A tool box for tests: all kinds of tools, with a record of what is run in place of running."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chatbot.messages import Source
from chatbot.tools.settings import ToolSettings
from chatbot.tools.toolbox import ToolBox
from chatbot.tools.turn import ToolTurn
from chatbot.tools.values import (
    ApprovalRequest,
    Decision,
    ServerInfo,
    ToolCall,
    ToolDefinition,
    ToolOutcome,
)

USER_FILE = '''
from chatbot.tools import tool

def delete_file(x: str = "") -> str:
    """Delete a file."""
    return "deleted"

@tool(reaches_network=True, writes=False)
def upload(x: str = "") -> str:
    """Upload a text."""
    return "uploaded"

@tool(reaches_network=False, writes=False)
def count_words(x: str = "") -> int:
    """Count words."""
    return len(x.split())
'''


class NoFolder:
    """A knowledge folder without documents."""

    async def search(self, query: str, max_results: int) -> Sequence[Source]:
        return []

    async def read(self, file: str) -> str:
        return ""


class FakeServer:
    """An MCP server with one tool that does everything."""

    def __init__(self, description: str = "Post a message.") -> None:
        self.info = ServerInfo(name="chat", state="ready", num_tools=1)
        self.problems: tuple[str, ...] = ()
        self.definitions = (
            ToolDefinition(
                name="chat__post",
                description=description,
                parameters={"type": "object", "properties": {"x": {"type": "string"}}},
                origin="mcp",
                server="chat",
                remote_name="post",
            ),
        )

    async def connect(self) -> None:
        pass

    async def close(self) -> None:
        pass


class RecordingBox(ToolBox):
    """Notes what a turn has run, and gives ``answer`` as every result."""

    def __init__(self, folder: Path, settings: ToolSettings, **options: Any) -> None:
        (folder / "tools.py").write_text(USER_FILE)
        super().__init__(
            settings,
            user_file=folder / "tools.py",
            log_dir=folder / "logs",
            knowledge=NoFolder(),
            **options,
        )
        servers: Any = self._catalogue._servers
        servers["chat"] = FakeServer()
        self.answer = "Fine."
        self.runs: list[tuple[ToolDefinition, dict[str, Any]]] = []

    async def execute(
        self, definition: ToolDefinition, arguments: dict[str, Any], max_result_bytes: int
    ) -> str:
        self.runs.append((definition, arguments))
        return self.answer


async def permissive_box(folder: Path, **options: Any) -> RecordingBox:
    """A box in which everything is on and everything that can be is allowed for always."""
    box = RecordingBox(folder, ToolSettings(), **options)
    await box.refresh()
    for info in box.tools:
        box.switch(info.definition.name, is_on=True)
        box.set_policy(info.definition.name, "allow")
    return box


async def run_one(turn: ToolTurn, call: ToolCall) -> ToolOutcome:
    """A round with one call."""
    (outcome,) = await turn.run_round([call])
    return outcome


class User:
    """Answers every question by a rule, and keeps question and answer."""

    def __init__(self, *answers: Decision, otherwise: Decision = "no") -> None:
        self._answers = list(answers)
        self._otherwise = otherwise
        self.asked: list[tuple[ApprovalRequest, Decision]] = []

    async def ask(self, request: ApprovalRequest) -> Decision:
        answer = self._answers.pop(0) if self._answers else self._otherwise
        self.asked.append((request, answer))
        return answer
