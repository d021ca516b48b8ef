"""Several answers from the command line and in the plain mode, as processes, on the scripted
engine; and once with the real weights.
"""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chatbot.commands.ask import completion
from chatbot.commands.ask.flags import Asked
from chatbot.engine.protocol.model_info import ModelInfo
from chatbot.errors import WorkerError
from chatbot.settings import Precision, Settings
from tests.conversation.fake_engine import STATISTICS, info_of
from tests.running_chatbot import REAL, PipedChatbot, run_chatbot

pytestmark = pytest.mark.timeout(60)

SAID = "You said: hello\n\nThat is **all** there is to say about it."
FIRST = "said: hello\n\nThat is **all** there is to say about it. Answer 1."


@pytest.fixture(autouse=True)
def quick_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_DELAY", "0.002")


@pytest.mark.parametrize("flags", [(), ("--no-stream",)])
def test_the_answers_stand_one_after_the_other(flags: tuple[str, ...]) -> None:
    done = run_chatbot("ask", "hello", "-n", "2", "--seed", "5", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"## 1 · seed 5\n\n{SAID.removeprefix('You ')} Answer 1.\n"
        f"\n## 2 · seed 6\n\n{SAID} Answer 2.\n"
    )
    assert "2 answers" in done.stderr
    assert "answer 2 parts from 1 at token 1, character 1" in done.stderr


def test_the_json_of_several() -> None:
    done = run_chatbot("ask", "hello", "-n", "3", "--seed", "5", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == {
        "variants",
        "prompt_tokens",
        "read_tokens",
        "completion_tokens",
        "seconds",
        "tokens_per_second",
        "chat_id",
    }
    assert [one["label"] for one in report["variants"]] == ["seed 5", "seed 6", "seed 7"]
    assert [one["settings"]["seed"] for one in report["variants"]] == [5, 6, 7]
    assert report["variants"][0]["text"] == FIRST
    assert report["variants"][1]["same_characters"] == 0
    assert [one["usage"]["cached_tokens"] for one in report["variants"]] == [0, 20, 20]


def test_the_answers_are_kept_as_siblings() -> None:
    done = run_chatbot("ask", "hello", "-n", "3", "--seed", "5", "--json")
    chat = json.loads(done.stdout)["chat_id"]
    asked = run_chatbot("--plain", "-r", chat[:8], stdin=b"/keep 2\n/copy\n/keep 9\n")
    assert "Answer 2 is the one" in asked.stdout
    assert "answers 1 to 3" in asked.stderr


def test_a_beam_search_gives_the_best_and_mentions_the_others() -> None:
    done = run_chatbot("ask", "hello", "--strategy", "beam", "--beams", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{FIRST}\n"
    assert "score -0.300" in done.stderr
    assert "[beam 3: You said: hello" in done.stderr
    both = run_chatbot("ask", "hello", "--beams", "3", "-n", "2")
    assert both.stdout.count("## ") == 2
    listed = json.loads(run_chatbot("ask", "hello", "--beams", "3", "--json").stdout)["variants"]
    assert [one["score"] for one in listed] == [-0.3, -1.3, -2.3]


def test_a_strategy_alone_is_one_answer() -> None:
    done = run_chatbot("ask", "hello", "--strategy", "top-k", "--no-repeat-ngram", "2")
    assert done.stdout == f"{SAID}\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("-n", "0"), "from 1 to 16"),
        (("-n", "many"), "from 1 to 16"),
        (("-n", "17"), "from 1 to 16"),
        (("--beams", "1"), "From 2 to 16"),
        (("--strategy", "beam", "--beams", "3", "-n", "7"), "3 beams become 3 answers"),
        (("--strategy", "greedy", "--beams", "3"), "--strategy beam"),
        (("--complete", "--beams", "3"), "--complete draws"),
        (("--complete", "-n", "101"), "1 to 100"),
        (("-n", "3", "-t", "calculate"), "no tools"),
        (("--no-repeat-ngram", "99"), "No-repeat n-gram must be"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], complaint: str) -> None:
    done = run_chatbot("ask", "hello", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stdout == ""


def test_at_temperature_0_there_is_but_one_answer() -> None:
    done = run_chatbot("ask", "hello", "-n", "3", "--temperature", "0")
    assert done.returncode == 1
    assert "would be the same" in done.stderr


def test_an_interrupt_ends_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "answer.txt").write_text("word " * 500)
    env = {"SCRIPT_ANSWER": str(tmp_path / "answer.txt"), "SCRIPT_DELAY": "0.02"}
    with PipedChatbot("ask", "hello", "-n", "2", "--seed", "5", **env) as chatbot:
        assert chatbot.process.stdin is not None
        chatbot.process.stdin.close()
        chatbot.until(lambda: chatbot.out.count("word") > 5)
        os.kill(chatbot.process.pid, signal.SIGINT)
        assert chatbot.end() == 130
        assert "## 2 · seed 6\n\nword" in chatbot.out
        assert chatbot.err.count("cancelled") == 2


def test_an_engine_that_is_killed_leaves_what_was_said() -> None:
    done = run_chatbot("ask", "kill", "-n", "2", "--seed", "5")
    assert done.returncode == 1
    assert done.stdout.startswith("## 1 · seed 5\n\nsaid: kill")
    assert "## 2 · seed 6\n\nYou said: kill" in done.stdout
    assert "engine" in done.stderr


def test_continuations_are_made_at_once_and_printed_in_order() -> None:
    done = run_chatbot("ask", "--complete", "hello", "-n", "18", "--seed", "5")
    assert done.returncode == 0, done.stderr
    parts = done.stdout.removesuffix("\n").split("\n---\n")
    assert len(parts) == 18
    assert [part.rsplit("Answer ", 1)[1] for part in parts] == [
        *(f"{n}." for n in range(1, 17)),
        "1.",
        "2.",
    ]
    report = json.loads(
        run_chatbot("ask", "--complete", "hello", "-n", "2", "--seed", "5", "--json").stdout
    )
    assert [one["seed"] for one in report["continuations"]] == [5, 6]


def test_the_commands_in_the_plain_mode() -> None:
    lines = (
        "hello\n/variants 2\n/sweep temperature 0.3 0.9\n/beam 2\n/compare precision fp32 bf16\n"
    )
    done = run_chatbot("--plain", "--seed", "5", stdin=lines.encode())
    assert done.returncode == 0, done.stderr
    headings = [line for line in done.stdout.splitlines() if line.startswith("## ")]
    assert headings == [
        "## 2 · seed 5",
        "## 3 · seed 6",
        "## 4 · temperature 0.3",
        "## 5 · temperature 0.9",
        "## 6 · beam 1",
        "## 7 · beam 2",
        "## 8 · fp32",
        "## 9 · bf16",
    ]
    assert "smollm2-135m in bf16 on cpu" in done.stderr
    assert "answer 9 is the same as 8" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_real_model_in_a_batch_says_what_it_says_alone() -> None:
    """In fp32, where rounding hardly depends on how many rows there are."""
    common = ("ask", "What is the capital of France?", "--json", "--no-save", "-k", "none")
    options = ("--precision", "fp32", "--max-tokens", "24", "--temperature", "0.7")
    several = run_chatbot(*common, *options, "-n", "2", "--seed", "3", command=REAL, seconds=90)
    assert several.returncode == 0, several.stderr
    report = json.loads(several.stdout)
    assert report["read_tokens"] == report["prompt_tokens"]
    alone = run_chatbot(*common, *options, "--seed", "4", command=REAL, seconds=90)
    assert report["variants"][1]["text"] == json.loads(alone.stdout)["text"]


class FakeSession:
    """Enough of a session for a text to be gone on with."""

    def __init__(self) -> None:
        self.manager = self.engine = self
        self.settings = Settings()
        self.problems = ()

    async def __aenter__(self) -> "FakeSession":
        return self

    async def __aexit__(self, *exception: object) -> None:
        pass

    def on_status(self, watcher: object) -> None:
        pass

    on_problem = on_status

    async def ensure_loaded(self, model: str, precision: Precision) -> ModelInfo:
        return info_of(model, precision)


def test_ctrl_c_ends_a_completion_while_the_model_loads() -> None:
    with PipedChatbot("ask", "--complete", "Once", SCRIPT_LOAD_SECONDS="50") as asked:
        asked.process.stdin.close()  # type: ignore[union-attr]
        asked.until(lambda: "Loading" in asked.err)
        os.kill(asked.process.pid, signal.SIGINT)
        assert asked.process.wait(10) == 130
        assert not asked.out


@pytest.mark.parametrize("as_json", [True, False])
async def test_a_later_batch_that_fails_costs_none_of_the_earlier(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def write(
        session: object, text: str, samplings: Sequence[object], start: int, writer: Any, *_: object
    ) -> None:
        if start:
            raise WorkerError("The engine was killed.")
        for index in range(len(samplings)):
            writer.take(index, f"One {index}.")
            writer.end(index, "stop", STATISTICS)

    monkeypatch.setattr(completion, "_write_batch", write)
    asked = Asked(text="Once", as_json=as_json, streams=False)
    assert await completion.run_completion(FakeSession(), asked, 18) == 1  # type: ignore[arg-type]
    out, err = capsys.readouterr()
    assert err == "The engine was killed.\n"
    if as_json:
        report = json.loads(out)
        assert [one["text"] for one in report["continuations"]] == [f"One {n}." for n in range(16)]
        assert report["error"] == "The engine was killed."
    else:
        assert out.count("\n---\n") == 15
