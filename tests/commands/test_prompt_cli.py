"""``chatbot prompts`` and ``chatbot ask --prompt``."""

import io
import json
import sys
from pathlib import Path

import pytest

from chatbot.cli import main
from chatbot.engine.client import EngineClient
from chatbot.paths import config_dir

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Answers come from the scripted engine, which says what it was asked."""
    command = (sys.executable, str(Path(__file__).parents[1] / "scripted_engine.py"))
    monkeypatch.setenv("CHATBOT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("chatbot.session.EngineClient", lambda log: EngineClient(log, command))


def pipe(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def status_of(*arguments: str) -> int:
    if arguments[0] == "ask":
        arguments = (*arguments, "-k", "none")  # to search the manual would take most of the time
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def test_the_list(capsys: Capture) -> None:
    folder = config_dir() / "prompts"
    folder.mkdir(parents=True)
    (folder / "mine.md").write_text("---\ndescription: My own\n---\nHello")
    (folder / "bad.md").write_text("---\ndescription: Bad\ntypo: 1\n---\nHello")
    assert status_of("prompts", "list") == 0
    shown = capsys.readouterr()
    assert "summary           question  Sums up a text" in shown.out
    assert "tutor             persona   Teaches" in shown.out
    assert "My own (yours)" in shown.out
    assert "'typo' is unknown in the front matter" in shown.err
    assert status_of("prompts", "list", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report) == ["prompts", "problems"]
    assert len(report["problems"]) == 1
    mine = next(p for p in report["prompts"] if p["name"] == "mine")
    assert mine == {
        "name": "mine",
        "kind": "question",
        "description": "My own",
        "source": "user",
        "file": str(folder / "mine.md"),
    }


def test_one_prompt(capsys: Capture) -> None:
    assert status_of("prompts", "show", "few-shot") == 0
    shown = capsys.readouterr().out
    assert "input     The text to judge (required)" in shown
    assert "For its answer alone: temperature 0, max_tokens 64" in shown
    assert "Text: {{ example.input }}" in shown
    assert status_of("prompts", "show", "summary", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["variables"][0] == {
        "name": "input",
        "description": "The text to sum up",
        "default": None,
        "choices": [],
        "required": True,
    }
    assert report["settings"] == {"temperature": "0.2"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prompts", "show"], "required: name"),
        (["prompts", "show", "nope"], "There is no prompt 'nope'; there are"),
        (["ask", "--prompt", "nope", "hi"], "There is no prompt 'nope'"),
        (["ask", "--prompt", "translation", "hi"], "still needs: language (Language"),
        (["ask", "--prompt", "translation"], "still needs: input (The text to translate), lang"),
        (["ask", "--prompt", "plain", "--var", "input", "hi"], "--var takes name=value"),
        (["ask", "--prompt", "plain", "--var", "input=x", "hi"], "input is given twice"),
        (["ask", "--prompt", "summary", "--var", "length=9", "hi"], "length must be one of"),
        (["ask", "--prompt", "tutor", "--system", "x", "hi"], "leave --system out"),
        (["ask", "--prompt", "tutor"], "ask needs a question"),
        (["ask", "--var", "a=b", "hi"], "--var belongs to --prompt"),
        (["ask"], "ask needs a question"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: Capture) -> None:
    assert status_of(*arguments) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_a_question_by_a_prompt(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, "piped text\n")
    arguments = ["--var", "language=French", "--var", "tone=formal", "typed"]
    assert status_of("ask", "--prompt", "translation", *arguments) == 0
    shown = capsys.readouterr().out
    assert "You said: Translate the text below into French.\nUse a formal tone.\n" in shown
    assert "Text:\ntyped\n\npiped text" in shown


def test_settings_of_a_prompt_yield_to_flags(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Above 1 the scripted engine shouts; and it ends at the longest length.
    asked = ["ask", "--prompt", "few-shot", "good", "--json"]
    assert status_of(*asked, "--max-tokens", "3", "--temperature", "1.5") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["usage"]["completion_tokens"] == 3
    assert report["text"].startswith("YOU SAID:")
    monkeypatch.setenv("CHATBOT_CONFIG_DIR", str(config_dir()))
    config_dir().mkdir(parents=True, exist_ok=True)
    (config_dir() / "config.toml").write_text("[sampling]\ntemperature = 1.5\n")
    assert status_of(*asked) == 0
    assert json.loads(capsys.readouterr().out)["text"].startswith("You said:")


def test_a_persona_holds_for_the_run(capsys: Capture) -> None:
    assert status_of("ask", "--prompt", "skeptic", "--json", "hello") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["text"].startswith("You said: hello")
    assert report["usage"]["prompt_tokens"] > 60
    assert not (config_dir() / "config.toml").exists()


def test_a_prompt_that_fails_is_a_failure(capsys: Capture) -> None:
    folder = config_dir() / "prompts"
    folder.mkdir(parents=True)
    text = "---\ndescription: x\nvariables: {input: y}\n---\n{% if input < 3 %}x{% endif %}"
    (folder / "compares.md").write_text(text)
    assert status_of("ask", "--prompt", "compares", "hi") == 1
    shown = capsys.readouterr()
    assert "The prompt 'compares' cannot be used: its text cannot be rendered" in shown.err
    assert shown.out == ""


def test_without_a_command_the_prompts_are_listed(capsys: Capture) -> None:
    assert status_of("prompts") == 0
    assert "translation" in capsys.readouterr().out
    for arguments in (("prompts", "--json"), ("prompts", "list", "--json")):
        assert status_of(*arguments) == 0
        assert json.loads(capsys.readouterr().out)["prompts"]
