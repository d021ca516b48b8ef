"""``chatbot ask`` as a process, on the scripted engine."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from chatbot.settings import Sampling
from tests.running_chatbot import PipedChatbot, Terminal, run_chatbot

pytestmark = pytest.mark.timeout(60)

END = "\n\nThat is **all** there is to say about it.\n"


@pytest.fixture(autouse=True)
def quick_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_DELAY", "0.002")


@pytest.fixture
def long_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "answer.txt").write_text("word " * 500)
    monkeypatch.setenv("SCRIPT_ANSWER", str(tmp_path / "answer.txt"))
    monkeypatch.setenv("SCRIPT_DELAY", "0.02")


def keys_of(value: Any) -> Any:
    """The keys of an object and of the objects in it."""
    return {k: keys_of(v) for k, v in value.items()} if isinstance(value, dict) else None


@pytest.mark.parametrize("flags", [(), ("--no-stream",)])
def test_the_answer_alone_is_on_standard_output(flags: tuple[str, ...]) -> None:
    done = run_chatbot("ask", "How are you?", *flags)
    assert done.returncode == 0
    assert done.stdout == f"You said: How are you?{END}"


def test_the_json_has_exactly_the_documented_keys() -> None:
    done = run_chatbot("ask", "hello", "--json", "--precision", "fp32")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    report = json.loads(done.stdout)
    assert keys_of(report) == {
        "text": None,
        "finish_reason": None,
        "model": None,
        "precision": None,
        "device": None,
        "settings": dict.fromkeys(Sampling.__struct_fields__),
        "usage": {"prompt_tokens": None, "cached_tokens": None, "completion_tokens": None},
        "timings": {"load_seconds": None, "first_token_seconds": None, "tokens_per_second": None},
        "sources": None,
        "support": None,
        "declined": None,
        "tool_calls": None,
        "chat_id": None,
    }
    assert report["text"] == f"You said: hello{END}"[:-1]
    assert (report["finish_reason"], report["model"]) == ("stop", "smollm2-135m")
    assert (report["precision"], report["device"]) == ("fp32", "cpu")
    assert report["settings"]["temperature"] == 0.3
    assert isinstance(report["settings"]["seed"], int)  # drawn, and named
    # The system prompt has five words, the question one; the script adds four each, and three.
    assert report["usage"] == {"prompt_tokens": 21, "cached_tokens": 0, "completion_tokens": 12}
    assert all(isinstance(value, float) for value in report["timings"].values())


def test_what_is_piped_in_is_added_to_the_question() -> None:
    done = run_chatbot(
        "ask", "Sum up:", "-k", "none", "--json", stdin="Lots of\ntext – ends\n\n".encode()
    )
    assert json.loads(done.stdout)["text"].startswith("You said: Sum up:\n\nLots of\ntext – ends\n")
    done = run_chatbot("ask", stdin=b"only piped \xff\x1b[2J\n")
    assert done.stdout == f"You said: only piped \ufffd{END}"


@pytest.mark.parametrize(
    ("arguments", "is_foreign"),
    [(("Sum up:",), True), (("Sum up:", "-n", "2"), True), ((), False)],
)
def test_what_is_piped_in_beside_a_question_is_kept_as_that_of_others(
    arguments: tuple[str, ...], is_foreign: bool
) -> None:
    done = run_chatbot("ask", *arguments, "-k", "none", "--json", stdin=b"Why? Call a tool.")
    exported = run_chatbot("chats", "export", json.loads(done.stdout)["chat_id"]).stdout
    assert "Call a tool." in exported
    assert ('"is_foreign":true' in exported.replace(" ", "")) == is_foreign


@pytest.mark.parametrize("flags", [(), ("--json",), ("-n", "2"), ("--complete",)])
def test_a_prompt_that_takes_long_is_told_of_once(flags: tuple[str, ...]) -> None:
    done = run_chatbot("ask", "read 4000", "-k", "none", *flags)
    assert done.returncode == 0
    told = [line for line in done.stderr.splitlines() if "Reading the prompt" in line]
    assert told == ["Reading the prompt 400 of 4,000 tokens · 27 s left"]


def test_at_a_terminal_the_reading_of_the_prompt_is_drawn_in_one_line() -> None:
    with Terminal("ask", "read 4000", "-k", "none") as terminal:
        assert terminal.end() == 0
        shown = terminal.text
    bars = re.findall(r"\rReading the prompt ▕(█*)·*▏ ([\d,]+) of 4,000 tokens", shown)
    assert [size for _, size in bars] == [f"{400 * n:,}" for n in range(1, 11)]
    assert [len(bar) for bar, _ in bars] == [24 * n // 10 for n in range(1, 11)]
    after = shown[shown.rindex("Reading the prompt") :].partition("\r")[2]
    assert re.match(r" +\rYou said", after)


def test_at_a_terminal_nothing_is_waited_for() -> None:
    with Terminal("ask", "hello") as terminal:
        assert terminal.end() == 0
        assert "You said: hello" in terminal.text


@pytest.mark.parametrize("question", [(), ("",), ("  ",)])
def test_without_a_question_the_usage_is_wrong(question: tuple[str, ...]) -> None:
    done = run_chatbot("ask", *question, stdin=b" \n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "ask needs a question: chatbot ask" in done.stderr


def test_flags_count_before_and_after_the_command() -> None:
    for arguments in (
        ("--max-tokens", "2", "ask", "--json", "hello"),
        ("ask", "--json", "hello", "--max-tokens", "2"),
        ("--max-tokens", "9", "ask", "--json", "--max-tokens", "2", "hello"),
    ):
        report = json.loads(run_chatbot(*arguments).stdout)
        assert report["usage"]["completion_tokens"] == 2
        assert report["finish_reason"] == "length"


def test_flags_are_for_this_run_alone() -> None:
    run_chatbot("ask", "--json", "--temperature", "1.5", "--system", "", "hello")
    assert run_chatbot("ask", "hello").stdout.startswith("You said")  # and does not shout
    assert not (Path(os.environ["CHATBOT_CONFIG_DIR"]) / "config.toml").exists()


def test_model_system_prompt_and_temperature_reach_the_engine() -> None:
    done = run_chatbot(
        "ask", "-m", "org/other", "--system", "", "--temperature", "1.5", "--json", "hello"
    )
    report = json.loads(done.stdout)
    assert report["model"] == "org/other"
    assert report["text"].startswith("YOU SAID: HELLO")
    assert report["usage"]["prompt_tokens"] == 8  # one word, and 4 and 3 of the script


@pytest.mark.parametrize(
    ("flags", "thought"),
    [((), "one two"), (("--thinking", "on"), "one two"), (("--thinking", "off"), None)],
)
def test_a_model_is_told_to_think_or_not(flags: tuple[str, ...], thought: str | None) -> None:
    done = run_chatbot("ask", "think one two", "--json", *flags, SCRIPT_SWITCH="always")
    report = json.loads(done.stdout)
    assert report.get("thinking", "").strip() == (thought or "")
    assert "cannot be told" not in done.stderr


@pytest.mark.parametrize("flags", [(), ("-n", "2")])
def test_a_model_that_cannot_be_told_answers_and_that_is_said(flags: tuple[str, ...]) -> None:
    done = run_chatbot("ask", "hello", "--thinking", "off", *flags)
    assert done.returncode == 0
    assert "You said: hello" in done.stdout
    assert done.stderr.count("smollm2-135m cannot be told to think or not") == 1


def test_a_way_to_think_that_there_is_not() -> None:
    done = run_chatbot("ask", "hello", "--thinking", "maybe")
    assert done.returncode == 2
    assert "Thinking must be one of auto, on, off." in done.stderr


def test_a_missing_model_is_one_line_and_the_status_1() -> None:
    done = run_chatbot("ask", "-m", "missing/one", "hello")
    assert (done.returncode, done.stdout) == (1, "")
    *progress, error = done.stderr.splitlines()
    assert error == "There is no model 'missing/one'; name another."
    assert progress == ["Starting the engine…"]


@pytest.mark.parametrize("flags", [(), ("-n", "2")])
def test_no_chat_is_left_of_what_was_not_answered(flags: tuple[str, ...]) -> None:
    assert run_chatbot("ask", "hello").returncode == 0
    assert run_chatbot("ask", "-m", "missing/one", "unanswered", *flags).returncode == 1
    shown = run_chatbot("chats", "list").stdout
    assert "hello" in shown
    assert "unanswered" not in shown


def test_an_answer_that_was_cut_says_so() -> None:
    done = run_chatbot("ask", "hello", "--max-tokens", "2")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "[the longest answer or the window's end]"


def test_an_error_in_json_has_the_text_so_far() -> None:
    done = run_chatbot("ask", "--json", "kill")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["text"] == "You said: kill\n\n"
    assert report["finish_reason"] == "error"
    assert "was killed" in report["error"]
    assert report["usage"]["completion_tokens"] == 0
    assert "was killed" in done.stderr.splitlines()[-1]


def test_a_question_that_does_not_fit() -> None:
    done = run_chatbot("ask", stdin=b"word " * 300, SCRIPT_WINDOW="100")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The question does not fit" in done.stderr.splitlines()[-1]


def test_hostile_answers_and_arguments_are_cleaned(tmp_path: Path) -> None:
    file = tmp_path / "hostile.txt"
    file.write_bytes("a\x1b]52;c; aGk=\x07b\x1b [2J\u202ec".encode())
    done = run_chatbot("ask", "hello", SCRIPT_ANSWER=str(file))
    assert done.stdout == "ab2Jc\n"
    done = run_chatbot("ask", "x\x1b]0;t\x07y", "--system", "\x9b2J", "-m", "missing\x1b[2J")
    assert done.returncode == 1
    assert "\x1b" not in done.stderr


def test_broken_utf_8_in_arguments_is_no_crash() -> None:
    broken = b"gr\xfc\xdfe".decode("utf-8", "surrogateescape")
    done = run_chatbot("ask", broken, "--system", broken)
    assert (done.returncode, done.stdout) == (0, f"You said: gr\ufffd\ufffde{END}")
    assert run_chatbot("ask", "hello", "-m", f"missing{broken}").returncode == 1


@pytest.mark.parametrize("flags", [(), ("--json",), ("--no-stream",)])
def test_ctrl_c_keeps_what_there_is_and_ends_with_130(
    long_answer: None, flags: tuple[str, ...]
) -> None:
    with PipedChatbot("ask", "hello", *flags) as chat:
        chat.process.stdin.close()  # type: ignore[union-attr]
        if flags:
            chat.until(lambda: "Loading…" in chat.err)
        else:
            chat.until(lambda: "word word" in chat.out)
        os.kill(chat.process.pid, signal.SIGINT)
        assert chat.process.wait(10) == 130
        assert chat.end() == 130
    if "--json" in flags:
        assert json.loads(chat.out)["finish_reason"] == "cancelled"


def test_problems_of_the_settings_file_are_said_beside_the_answer() -> None:
    folder = Path(os.environ["CHATBOT_CONFIG_DIR"])
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('[sampling]\ntemperature = 9\n"x\\u001b[2J" = 1\n')
    done = run_chatbot("ask", "hello")
    assert (done.returncode, done.stdout) == (0, f"You said: hello{END}")
    assert "Temperature must be a number from 0 to 2." in done.stderr
    assert "\x1b" not in done.stderr


CALL = 'call calculate {"expression": "17 * 23"}'
WEATHER = 'call get_weather {"place": "Paris"}'


def test_the_json_tells_of_calls() -> None:
    done = run_chatbot("ask", "-k", "none", "-t", "calculate", "--json", CALL)
    assert done.returncode == 0
    report = json.loads(done.stdout)
    (call,) = report["tool_calls"]
    assert call.pop("seconds") > 0
    assert call == {
        "name": "calculate",
        "arguments": {"expression": "17 * 23"},
        "result": "391",
        "error": None,
        "approved_by": "default",
    }
    assert report["text"] == "The tools said: 391"


def test_calls_are_asides_in_text() -> None:
    done = run_chatbot("ask", "-k", "none", "-t", "calculate", f"think hm\n{CALL}")
    assert done.stdout == "The tools said: 391\n"
    assert "[thinking]\nhm " in done.stderr
    assert '[calculate {"expression": "17 * 23"}]\n[→ 391 · ' in done.stderr


def test_without_anybody_to_ask_the_answer_is_no() -> None:
    report = json.loads(
        run_chatbot("ask", "-k", "none", "-t", "get_weather", "--json", WEATHER).stdout
    )
    (call,) = report["tool_calls"]
    assert call["approved_by"] is None
    assert "--allow-tool get_weather" in call["error"]


def test_the_flag_answers_for_the_user() -> None:
    nobody = {"CHATBOT_GEOCODING_URL": "http://127.0.0.1:9"}
    arguments = (
        "ask",
        "-k",
        "none",
        "-t",
        "get_weather",
        "--allow-tool",
        "get_weather",
        "--json",
        WEATHER,
    )
    report = json.loads(run_chatbot(*arguments, **nobody).stdout)
    (call,) = report["tool_calls"]
    assert call["approved_by"] == "flag"
    assert "cannot be reached" in call["error"]


def test_a_tool_that_is_not_there() -> None:
    done = run_chatbot("ask", "-k", "none", "-t", "nonsense", "hello")
    assert done.returncode == 2
    assert "There is no tool called nonsense; there are: calculate," in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("answer", "approved_by"), [("o", "user"), ("n", None), ("", None), ("c", "user")]
)
def test_a_person_is_asked_on_the_terminal(answer: str, approved_by: str | None) -> None:
    nobody = {"CHATBOT_GEOCODING_URL": "http://127.0.0.1:9"}
    arguments = ("ask", "-k", "none", "-t", "get_weather", "--json", WEATHER)
    with Terminal(*arguments, **nobody) as terminal:
        terminal.until("The model wants to use the tool get_weather")
        terminal.until(r'  \| +"place": "Paris"')
        terminal.until(r"Allow it\? \[o\]nce, for this \[c\]hat, \[a\]lways, \[N\]o: ")
        terminal.type(answer + "\r")
        terminal.until(r'"chat_id"')
        assert terminal.end() == 0
        line = next(x for x in terminal.text.splitlines() if x.lstrip().startswith('{"text"'))
        (call,) = json.loads(line)["tool_calls"]
        assert call["approved_by"] == approved_by


def test_json_that_is_cut_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"type": "object"}')
    arguments = ("ask", "--schema", str(file), "hello")
    assert run_chatbot(*arguments).returncode == 0
    assert run_chatbot(*arguments, "--max-tokens", "1").returncode == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold a JSON object"),
        (None, "cannot be read: No such file or directory."),
    ],
)
def test_a_schema_that_cannot_be_used(tmp_path: Path, content: str | None, reason: str) -> None:
    file = tmp_path / "schema.json"
    if content is not None:
        file.write_text(content)
    done = run_chatbot("ask", "--schema", str(file), "hello")
    assert done.returncode == 2
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        (("-m", "missing"), 1, "There is no model 'missing'"),
        (("--temperature", "9"), 2, "Temperature must be"),
        (("-r", "zzz"), 1, "zzz"),
        (("-n", "17"), 2, "from 1 to 16"),
        (("-t", "nope"), 2, "no tool called nope"),
        (("--allow-tool", "typo"), 2, "no tool called typo"),
        (("-k", "/nix"), 2, "no folder /nix"),
    ],
)
def test_what_cannot_be_asked_is_json_too(flags: tuple[str, ...], status: int, words: str) -> None:
    done = run_chatbot("ask", "hello", "--json", *flags)
    assert done.returncode == status
    report = json.loads(done.stdout)
    assert words in report["error"]
    assert report["error"] in done.stderr
    assert (report["finish_reason"], report["text"]) == ("error", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
@pytest.mark.parametrize("arguments", [("ask", "hello"), ("prompts",), ("ask", "hi", "--json")])
def test_output_that_cannot_be_written_is_one_sentence(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = run_chatbot(*arguments, stdout=full)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "The output cannot be written: No space left on device."
    assert "Traceback" not in done.stderr
    assert "not being saved" not in done.stderr


def test_a_chat_that_is_not_kept_has_no_id_in_the_json(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = {"CHATBOT_DATA_DIR": str(tmp_path / "file" / "data")}
    done = run_chatbot("ask", "hello", "--json", **env)
    assert done.returncode == 0
    assert "chat_id" not in json.loads(done.stdout)
    assert "This chat is not being saved" in done.stderr


def test_files_are_attached_by_a_flag(tmp_path: Path) -> None:
    for name in ("one.md", "two.md"):
        (tmp_path / name).write_text(f"This is {name}.\n")
    flags = ("-a", str(tmp_path / "one.md"), "--attach", str(tmp_path / "two.md"))
    done = run_chatbot("ask", *flags, "Why @one.md?")
    assert done.returncode == 0
    blocks = [f"File {tmp_path}/{n}:\n```\nThis is {n}.\n```" for n in ("one.md", "two.md")]
    assert done.stdout == f"You said: {blocks[0]}\n\n{blocks[1]}\n\nWhy @one.md?{END}"
    assert f"[{tmp_path}/one.md · Text · 1 line · 15 characters]" in done.stderr
    several = run_chatbot("ask", *flags, "-n", "2", "Why?")
    assert several.returncode == 0
    assert several.stdout.count(blocks[1]) == 2


@pytest.mark.parametrize("flags", [(), ("-n", "2")])
def test_ctrl_c_while_a_file_is_read_ends_with_130(tmp_path: Path, flags: tuple[str, ...]) -> None:
    (tmp_path / "slow.md").write_text("x")
    with PipedChatbot("ask", "-a", str(tmp_path / "slow.md"), "Why?", *flags) as chat:
        chat.process.stdin.close()  # type: ignore[union-attr]
        chat.until(lambda: chat.err.count("Loading…"))
        os.kill(chat.process.pid, signal.SIGINT)
        assert chat.process.wait(10) == 130
        assert chat.end() == 130
    assert chat.err.splitlines()[-1] == "Nothing was asked: its files were not read yet."


def test_a_mention_in_a_question_of_a_script_is_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.md").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert run_chatbot("ask", "Why @one.md?").stdout == f"You said: Why @one.md?{END}"


def test_a_file_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = run_chatbot("ask", "-a", str(tmp_path / "no.md"), "Why?", "--json", SCRIPT_NO_ENGINE="1")
    assert done.returncode == 1
    error = f"{tmp_path}/no.md cannot be attached: no such file or directory."
    assert json.loads(done.stdout)["error"] == done.stderr.strip() == error


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("-a", __file__), "--attach"),
        (("-c",), "--continue and --resume"),
        (("--system", "Be brief."), "--system"),
    ],
)
def test_a_text_that_is_gone_on_with_takes_nothing_of_a_chat(
    flags: tuple[str, ...], named: str
) -> None:
    done = run_chatbot("ask", "--complete", *flags, "Once")
    assert done.returncode == 2
    assert f"leave {named} out" in done.stderr


def test_what_is_piped_in_has_to_be_text() -> None:
    done = run_chatbot("ask", "Why?", stdin=b"PK\x03\x04\x00\x00\xff", SCRIPT_NO_ENGINE="1")
    assert done.returncode == 2
    assert "is no text; --attach reads" in done.stderr
    assert run_chatbot("ask", "Why?", stdin="gr\xfcn".encode("latin-1")).returncode == 0


def test_what_is_piped_in_has_a_limit() -> None:
    done = run_chatbot("ask", "Why?", stdin=b"words " * 3_000_000, SCRIPT_NO_ENGINE="1")
    assert done.returncode == 2
    assert done.stderr == "More than 16 MiB are piped in, which is too much; pipe in a part.\n"
