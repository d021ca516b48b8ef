"""The command line: usage, help, doctor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatbot import __version__
from chatbot.cli import build_parser, main
from chatbot.commands import doctor
from chatbot.settings import SPECS
from tests.running_chatbot import REAL, environment, run_chatbot

pytestmark = pytest.mark.timeout(60)


def refused(*arguments: str) -> str:
    """What is said about wrong usage: a sentence, and where to look at most."""
    done = run_chatbot(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    sentence, *more = done.stderr.splitlines()
    assert not more or (len(more) == 1 and more[0].endswith("--help lists what can be given."))
    return sentence


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--temperature", "3", "Temperature must be a number from 0 to 2."),
        ("--temperature", "-1", "Temperature must be a number from 0 to 2."),
        ("--temperature", "nan", "Temperature must be a number from 0 to 2."),
        ("--temperature", "warm", "Temperature must be a number from 0 to 2."),
        ("--top-p", "0", "Top-p must be a number from 0.01 to 1."),
        ("--top-k", "1.5", "Top-k must be a whole number from 0 to 1000."),
        ("--min-p", "2", "Min-p must be a number from 0 to 1."),
        ("--max-tokens", "0", "Max new tokens must be a whole number from 1 to 131072."),
        ("--seed", "-4", "Seed must be a whole number from 0 to 4294967295, or 'random'."),
        ("--precision", "fp8", "choose from"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(flag: str, value: str, allowed: str) -> None:
    assert allowed in refused("ask", "hello", flag, value)
    assert allowed in refused(flag, value, "--plain")


@pytest.mark.parametrize(
    "arguments", [("--no-such-flag",), ("no-such-command",), ("--temperature",), ("ask", "a", "b")]
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    refused(*arguments)


def test_hostile_arguments_do_not_reach_the_terminal() -> None:
    for arguments in (("--temperature", "\x1b[2J"), ("--precision", "\x1b[2J"), ("\x1b[2J",)):
        done = run_chatbot(*arguments)
        assert done.returncode == 2
        assert "\x1b" not in done.stderr


def test_version() -> None:
    assert run_chatbot("--version").stdout == f"chatbot {__version__}\n"


def test_help_names_every_command_and_flag() -> None:
    text = run_chatbot("--help").stdout
    for word in ("ask", "doctor", "--plain", "--model", "--top-p", "--seed", "--system"):
        assert word in text
    assert "--json" in run_chatbot("ask", "--help").stdout


def test_every_flag_is_a_setting() -> None:
    names = {action.dest for action in build_parser()._actions}
    assert {spec.name for spec in SPECS} <= names


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("ask", "--help")])
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "chatbot", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "chatbot" in loaded
    heavy = {"torch", "transformers", "textual", "sentence_transformers", "sklearn", "numpy"}
    assert loaded & heavy == set()


def test_a_broken_settings_file_is_named_and_the_program_runs() -> None:
    folder = Path(os.environ["CHATBOT_CONFIG_DIR"])
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("this is no TOML")
    done = run_chatbot(stdin=b"/set temperature 1\nhello\n")
    assert done.stdout.startswith("You said: hello")
    assert "cannot be read" in done.stderr
    assert "could not be saved" in done.stderr
    assert (folder / "config.toml").read_text() == "this is no TOML"


@pytest.mark.timeout(240)  # on a new machine the libraries are read from the disk
def test_doctor_says_what_is_there() -> None:
    done = run_chatbot("doctor", command=REAL, seconds=220)
    assert done.returncode == 0, done.stdout
    for word in ("Python", "torch", "textual", "accelerator", "cache folder", "model hub"):
        assert word in done.stdout


def test_doctor_in_json_names_a_folder_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHATBOT_DATA_DIR", str(tmp_path / "file"))
    # Asking torch takes seconds; the test above does.
    found = {"error": "", "devices": [{"name": "a card"}], "bitsandbytes": "0.49"}
    monkeypatch.setattr(doctor, "_probe", lambda: found)
    assert main(["doctor", "--json"]) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert all(set(check) == {"name", "state", "found", "remedy"} for check in checks)
    assert {check["state"] for check in checks} <= {"ok", "note", "problem"}
    (problem,) = [check for check in checks if check["state"] == "problem"]
    assert problem["name"] == "data folder"
    assert "CHATBOT_DATA_DIR" in problem["remedy"]


WRONG_ENTRIES = """
theme = "nope"
system_prompt = 3
[keys]
foo = "f2"
[tools.calculate]
on = "yes"
"""

FOUND_IN_THEM = ("no theme 'nope'", "system_prompt in", "[keys] foo", "on under [tools.calculate]")


def test_doctor_names_every_entry_that_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHATBOT_CONFIG_DIR", str(tmp_path))
    (tmp_path / "config.toml").write_text(WRONG_ENTRIES)
    found = {"error": "", "devices": [{"name": "a card"}], "bitsandbytes": "0.49"}
    monkeypatch.setattr(doctor, "_probe", lambda: found)
    monkeypatch.setattr(doctor, "_knowledge", list)
    assert main(["doctor"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "note settings" in line]
    assert len(said) == len(FOUND_IN_THEM)
    for words in FOUND_IN_THEM:
        assert any(words in line for line in said)


@pytest.mark.parametrize("command", [("ask", "hello"), ("--plain",)])
def test_entries_that_are_not_used_are_named_at_the_start(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "config.toml").write_text(WRONG_ENTRIES)
    done = run_chatbot(*command, CHATBOT_CONFIG_DIR=str(tmp_path))
    assert done.returncode == 0
    assert "system_prompt in" in done.stderr
    assert "on under [tools.calculate]" in done.stderr


@pytest.mark.parametrize("name", ["~nosuchuser/model", "x" * 300, "/proc/1/root/x/y"])
def test_a_model_that_cannot_be_looked_for_is_refused_in_one_sentence(name: str) -> None:
    done = run_chatbot("ask", "hello", "-m", name)
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert name in sentence


@pytest.mark.parametrize("command", [(), ("ask", "hello"), ("ask", "--complete", "Once")])
def test_a_model_that_stands_for_nothing_is_refused_before_anything_starts(
    command: tuple[str, ...],
) -> None:
    done = run_chatbot(*command, "-m", "nosuch", stdin=b"hello\n")
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("There is no model 'nosuch'; give one of smollm2-135m, ")
