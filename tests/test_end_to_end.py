"""The whole program with the real built-in model."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chatbot.config import Config
from chatbot.events import TextDelta
from chatbot.messages import Message
from chatbot.session import Session
from chatbot.settings import Settings, with_value
from chatbot.weights import SMOLLM2
from tests.retrieval.documents.making_files import make_pdf
from tests.running_chatbot import REAL, PipedChatbot, Terminal, run_chatbot

FIRST_RUN_SECONDS = 280
"""The first run of all converts the model."""

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(SMOLLM2.find() is None, reason="the built-in weights are not installed"),
]

PARIS = "What is the capital of France?"
ALONE = ("-k", "none")
"""Without the manual, which each run would index anew: the first test shows what it does."""

STORY = "Write a very long story about the sea, with many chapters."


def child_of(pid: int) -> int:
    """The engine, among the processes that the program starts."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (engine,) = (
        c for c in children if b"chatbot.engine" in Path(f"/proc/{c}/cmdline").read_bytes()
    )
    return int(engine)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


def test_a_piped_question() -> None:
    done = run_chatbot(
        "--temperature", "0", stdin=f"{PARIS}\n".encode(), command=REAL, seconds=FIRST_RUN_SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout
    # The manual has this very question as an example, and what it says of it supports no answer.
    notes = ("[in no source", "[nothing in your folders fits")
    asides = [line for line in done.stderr.splitlines() if not line.startswith(notes)]
    assert asides[-1].endswith("…")  # progress, and nothing else


def test_ask() -> None:
    arguments = ("ask", *ALONE, "--temperature", "0", PARIS)
    done = run_chatbot(*arguments, command=REAL, seconds=FIRST_RUN_SECONDS)
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout


def test_a_file_is_attached(tmp_path: Path) -> None:
    (tmp_path / "plan.pdf").write_bytes(make_pdf(["The launch is on the 14th of March."]))
    flags = ("--temperature", "0", "-a", str(tmp_path / "plan.pdf"))
    done = run_chatbot("ask", *ALONE, *flags, "When is the launch?", command=REAL, seconds=120)
    assert done.returncode == 0
    assert "14th of March" in done.stdout
    assert "plan.pdf · PDF · 1 line · 35 characters]" in done.stderr


def test_a_tool_is_called_and_its_result_is_in_the_answer() -> None:
    arguments = ("ask", *ALONE, "-t", "calculate", "--temperature", "0", "--json")
    arguments = (*arguments, "What is 17 * 23?")
    done = run_chatbot(*arguments, command=REAL, seconds=FIRST_RUN_SECONDS)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (call,) = report["tool_calls"]
    assert (call["name"], call["arguments"]) == ("calculate", {"expression": "17 * 23"})
    assert call["result"] == "391"
    assert "391" in report["text"]


def test_an_answer_is_held_to_a_schema(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 30},
            "age": {"type": "integer", "minimum": 1, "maximum": 120},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    (tmp_path / "person.json").write_text(json.dumps(schema))
    arguments = ("ask", *ALONE, "--schema", str(tmp_path / "person.json"), "Invent a person.")
    done = run_chatbot(*arguments, command=REAL, seconds=FIRST_RUN_SECONDS)
    assert done.returncode == 0, done.stderr
    person = json.loads(done.stdout)
    assert set(person) == {"name", "age"}
    assert 1 <= person["age"] <= 120


def test_a_seed_gives_the_same_answer_in_another_process() -> None:
    arguments = ("ask", *ALONE, "--json", "--seed", "7", "--temperature", "1")
    arguments = (*arguments, "--max-tokens", "24", STORY)

    def report(_: int) -> dict[str, Any]:
        done = run_chatbot(*arguments, command=REAL, seconds=FIRST_RUN_SECONDS)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    with ThreadPoolExecutor() as both:  # at once, because starting takes longest
        first, second = both.map(report, range(2))
    assert first["text"] == second["text"]
    assert first["usage"] == second["usage"]
    assert first["usage"]["completion_tokens"] == 24
    assert first["usage"]["prompt_tokens"] > 10
    assert first["timings"]["tokens_per_second"] > 0


@needs_proc
def test_a_killed_engine_costs_the_answer_and_nothing_else() -> None:
    with PipedChatbot(*ALONE, "--temperature", "0", command=REAL) as chat:
        chat.send(STORY)
        chat.until(lambda: len(chat.out) > 40, seconds=FIRST_RUN_SECONDS)
        engine = child_of(chat.process.pid)
        os.kill(engine, signal.SIGKILL)
        chat.until(lambda: "was killed (SIGKILL" in chat.err)
        chat.until(lambda: chat.out.endswith("\n"))
        partial = chat.out
        chat.send("/new")
        chat.send(PARIS)
        chat.until(lambda: "Paris" in chat.out.removeprefix(partial), seconds=60)
        assert chat.out.startswith(partial)
        assert child_of(chat.process.pid) != engine
        assert chat.err.count("was killed") == 1
        assert chat.end() == 1


def test_models_that_cannot_be_loaded(tmp_path: Path) -> None:
    """One sentence each, and the model from before answers."""
    source = SMOLLM2.find()
    assert source is not None
    whole = source.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "noise.gguf").write_bytes(b"GGUF" + bytes(range(256)) * 40)
    (tmp_path / "empty").mkdir()
    bad = ["/no/such/model", "no-such-name", "cut.gguf", "noise.gguf", "empty"]
    with PipedChatbot(*ALONE, "--temperature", "0", command=REAL) as chat:
        chat.send(PARIS)
        chat.until(lambda: "Paris" in chat.out, seconds=FIRST_RUN_SECONDS)
        for name in bad:
            before = len(chat.err)
            model = name if name.startswith(("/", "no-")) else str(tmp_path / name)
            chat.send(f"/model {model}")
            chat.until(lambda before=before: errors_in(chat.err[before:]), seconds=60)
            (error,) = errors_in(chat.err[before:])
            assert Path(name).name in error
        chat.send(PARIS)
        chat.until(lambda: chat.out.count("Paris") == 2, seconds=60)
        assert chat.end() == 1


def errors_in(text: str) -> list[str]:
    """The lines that are neither progress nor asides."""
    lines = text.splitlines(keepends=True)
    return [x.strip() for x in lines if x.endswith("\n") and not x.strip().endswith(("…", "]"))]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB; only root can make one."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_full_disk_at_the_conversion(small_disk: Path) -> None:
    done = run_chatbot(
        "ask",
        *ALONE,
        PARIS,
        command=REAL,
        seconds=FIRST_RUN_SECONDS,
        CHATBOT_CACHE_DIR=str(small_disk),
    )
    assert (done.returncode, done.stdout) == (1, "")
    (error,) = errors_in(done.stderr)
    assert "disk" in error or "space" in error


@needs_proc
def test_escape_stops_the_answer_and_the_processor_rests() -> None:
    with Terminal(*ALONE, "--temperature", "0", "--max-tokens", "4000", command=REAL) as terminal:
        terminal.until("for commands")
        terminal.type(f"{STORY}\r")  # no need to wait for the model
        terminal.until(r"\d+\.\d tok/s", seconds=FIRST_RUN_SECONDS)
        engine = child_of(terminal.process.pid)
        before = cpu_seconds(engine)
        end = time.monotonic() + 20
        while cpu_seconds(engine) < before + 0.2:
            assert time.monotonic() < end, "the engine does nothing"
            terminal.read()
        terminal.type("\x1b")
        terminal.until("stopped")
        used = cpu_seconds(engine)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            terminal.read()
        assert cpu_seconds(engine) - used <= 0.1
        terminal.type(f"{PARIS}\r")
        terminal.until("Paris", seconds=60)
        terminal.type("\x11")
        assert terminal.end() == 0


async def test_a_temperature_moved_in_mid_answer_changes_only_what_comes_after() -> None:
    settings = Settings()
    for name, value in (("temperature", "0"), ("seed", "5"), ("max_tokens", "50")):
        settings = with_value(settings, name, value)
    settings = msgspec.structs.replace(settings, folders=())
    session = Session(Config(settings=settings), settings)
    manager = session.manager
    async with session, asyncio.timeout(FIRST_RUN_SECONDS):
        greedy = await answer_of(manager.reply(STORY))
        num_characters = 0
        async with aclosing(manager.regenerate()) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    num_characters += len(event.text)
                    if num_characters > 60 and manager.settings.sampling.temperature == 0:
                        manager.change_setting("temperature", "2")
    moved = manager.conversation.last("assistant")
    assert moved is not None
    assert moved.making is not None
    (change,) = moved.making.changes
    assert (change.name, change.old, change.new) == ("temperature", "0", "2")
    assert change.offset >= 60
    assert moved.text[: change.offset] == greedy.text[: change.offset]
    assert moved.text[change.offset :] != greedy.text[change.offset :]


async def answer_of(events: object) -> Message:
    """The answer at the end of a turn."""
    answer = None
    async for event in events:  # type: ignore[attr-defined]
        answer = getattr(event, "answer", answer)
    if answer is None:
        raise AssertionError("no answer")
    return answer
