import tomllib
from pathlib import Path

import pytest

from chatbot.config import load_config
from chatbot.errors import ConfigError
from chatbot.tools.settings import (
    ServerSpec,
    ToolChoice,
    ToolSettings,
    load_tool_settings,
    save_tool_choice,
)

TEXT = """# my settings
theme = "paper"

[tools.get_weather]
on = true  # it rains
policy = "allow"

[tools.calculate]
on = false

[mcpServers.files]
command = "npx"
args = ["-y", "server-filesystem", "/notes"]
env = { KEY = "value" }
type = "stdio"

[mcpServers.tickets]
url = "https://example.org/mcp"
headers = { Authorization = "Bearer x" }
trust_annotations = true

[mcpServers.old]
command = "old"
disabled = true
"""


def test_reading(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(TEXT)
    assert load_tool_settings(file) == ToolSettings(
        choices={
            "get_weather": ToolChoice(on=True, policy="allow"),
            "calculate": ToolChoice(on=False),
        },
        servers=(
            ServerSpec(
                name="files",
                command="npx",
                args=("-y", "server-filesystem", "/notes"),
                env={"KEY": "value"},
            ),
            ServerSpec(
                name="tickets",
                url="https://example.org/mcp",
                headers={"Authorization": "Bearer x"},
                trust_annotations=True,
            ),
        ),
    )
    config = load_config(file)
    assert config.problems == ()
    assert config.settings.theme == "paper"


def test_no_file_and_a_broken_one(tmp_path: Path) -> None:
    assert load_tool_settings(tmp_path / "none.toml") == ToolSettings()
    (tmp_path / "broken.toml").write_text("[")
    assert load_tool_settings(tmp_path / "broken.toml") == ToolSettings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tools = 3", "must be a table: write [tools.NAME]"),
        ("[tools]\nx = 3", "must be a table: write [tools.x]"),
        ('[tools.x]\non = "yes"', "must be true or false"),
        ('[tools.x]\npolicy = "alow"', "must be ask, allow or deny; ask is used"),
        ("[tools.x]\nevil = 1", "evil under [tools.x]"),
        ("mcpServers = []", "write [mcpServers.NAME]"),
        ("[mcpServers.x]\nargs = []", "needs either a command or a url"),
        ('[mcpServers.x]\ncommand = "a"\nurl = "https://b"', "either a command or a url"),
        ('[mcpServers.x]\ncommand = "a"\nargs = "b"', "is not used"),
        ('[mcpServers.x]\nurl = "file:///etc"', "must begin with https:// or http://"),
        ('[mcpServers.x]\ncommand = "a"\nevil = 1', "evil under [mcpServers.x]"),
    ],
)
def test_problems_are_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    settings = load_tool_settings(file)
    assert any(words in problem for problem in settings.problems), settings.problems
    for choice in settings.choices.values():
        assert choice.policy in (None, "ask")


def test_writing_keeps_everything_else(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(TEXT)
    choice = ToolChoice(on=True, policy="ask", always="0" * 32)
    save_tool_choice("get_weather", choice, file)
    save_tool_choice("calculate", ToolChoice(), file)
    save_tool_choice("files__read", ToolChoice(policy="deny"), file)
    text = file.read_text()
    assert "# my settings" in text
    assert "on = true  # it rains" in text
    tables = tomllib.loads(text)
    assert tables["tools"] == {
        "get_weather": {"on": True, "policy": "ask", "always": "0" * 32},
        "files__read": {"policy": "deny"},
    }
    assert tables["mcpServers"] == tomllib.loads(TEXT)["mcpServers"]
    assert load_tool_settings(file).choices["get_weather"] == choice


def test_writing_into_nothing_and_back(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "config.toml"
    save_tool_choice("calculate", ToolChoice(on=False), file)
    assert load_tool_settings(file).choices == {"calculate": ToolChoice(on=False)}
    save_tool_choice("calculate", ToolChoice(), file)
    assert tomllib.loads(file.read_text()) == {}


def test_a_broken_file_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[broken")
    with pytest.raises(ConfigError):
        save_tool_choice("calculate", ToolChoice(on=False), file)
    assert file.read_text() == "[broken"
