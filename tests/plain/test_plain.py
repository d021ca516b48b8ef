"""The plain mode as a process, on the scripted engine."""

import asyncio
import io
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from chatbot.errors import SettingError
from chatbot.plain import line_input
from chatbot.plain.line_input import _Reader
from tests.running_chatbot import SCRIPTED, PipedChatbot, Terminal, environment, run_chatbot

pytestmark = pytest.mark.timeout(60)

END = "\n\nThat is **all** there is to say about it.\n"


def said(question: str) -> str:
    return f"You said: {question}{END}"


@pytest.fixture(autouse=True)
def quick_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_DELAY", "0.002")


@pytest.fixture
def long_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds of words."""
    (tmp_path / "answer.txt").write_text("word " * 500)
    monkeypatch.setenv("SCRIPT_ANSWER", str(tmp_path / "answer.txt"))
    monkeypatch.setenv("SCRIPT_DELAY", "0.02")


@pytest.mark.parametrize("arguments", [(), ("--plain",)])
def test_a_piped_question_is_answered_on_standard_output_alone(arguments: tuple[str, ...]) -> None:
    done = run_chatbot(*arguments, stdin=b"hello there\n")
    assert done.returncode == 0
    assert done.stdout == said("hello there")
    assert "Loading…" in done.stderr.splitlines()


def test_several_lines_are_one_conversation_and_empty_ones_are_none(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    done = run_chatbot(stdin=f"one\n\n   \ntwo\n/save {file}".encode())
    assert done.returncode == 0
    assert done.stdout.startswith(said("one") + said("two"))
    messages = json.loads(file.read_text())["messages"]
    assert [m["parts"][-1]["text"] for m in messages][::2] == ["one", "two"]
    assert messages[2]["parent_id"] == messages[1]["id"]


@pytest.mark.parametrize("word", ["quit", "exit", "bye", "BYE", "  Exit ", "/quit"])
def test_words_to_leave(word: str) -> None:
    done = run_chatbot(stdin=f"{word}\nnever asked\n".encode())
    assert (done.returncode, done.stdout) == (0, "")


def test_the_end_of_the_input_leaves() -> None:
    done = run_chatbot()
    assert (done.returncode, done.stdout) == (0, "")


def test_leaving_while_the_model_loads_is_no_error() -> None:
    done = run_chatbot(stdin=b"quit\n", SCRIPT_LOAD_SECONDS="20", seconds=10)
    assert done.returncode == 0
    assert set(done.stderr.splitlines()) <= {"Starting the engine…", "Loading…"}


def test_commands_work_and_what_they_show_is_output() -> None:
    done = run_chatbot(stdin=b"/set temperature\n/set temperature 0.2\n/set temperature\n/new\n")
    assert done.returncode == 0
    first, second = done.stdout.splitlines()
    assert first.startswith("`temperature` = `0.3`")
    assert second.startswith("`temperature` = `0.2`")
    assert "[temperature = 0.2]" in done.stderr.splitlines()
    assert "[an empty chat]" in done.stderr


def test_a_changed_setting_is_kept_for_the_next_start() -> None:
    run_chatbot("--seed", "3", stdin=b"/set temperature 0.2\n")
    done = run_chatbot(stdin=b"/set temperature\n/set seed\n")
    assert "`temperature` = `0.2`" in done.stdout
    assert "`seed` = `random`" in done.stdout  # the flag was for that run alone


def test_regen_edit_and_undo(tmp_path: Path) -> None:
    lines = ["one", "/regen", "/edit other", "/edit", "third", "/edit", "", "fourth", "/undo"]
    lines += ["/undo", "/tokens"]
    done = run_chatbot(stdin="\n".join(lines).encode())
    assert done.stdout == said("one") * 2 + said("other") + said("third") + said("fourth")
    assert "The question was: other" in done.stderr
    assert "The question is as it was." in done.stderr
    # "third" stands beside the question before, and "fourth" behind it.
    assert "No answer has been counted yet" in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/nonsense", "There is no command /nonsense; /help lists them."),
        ("/set temperature 3", "Temperature must be a number from 0 to 2."),
        ("/load none.json", "none.json cannot be read: No such file or directory."),
        ("/load ~no-such-user/x", "~no-such-user/x cannot be read: No such file or directory."),
        ("/theme day", "The plain mode has no colours; themes are for the TUI."),
        ("/copy", "There is no answer to copy yet."),
    ],
)
def test_an_error_is_one_line_and_the_status_1(line: str, words: str) -> None:
    done = run_chatbot(stdin=f"{line}\nhello\n".encode())
    assert done.returncode == 1
    assert words in done.stderr.splitlines()
    assert done.stdout == said("hello")  # it went on


def test_copying_into_a_pipe_is_refused() -> None:
    done = run_chatbot(stdin=b"hello\n/copy\n")
    assert done.stdout == said("hello")
    assert "There is no terminal to copy to." in done.stderr


def test_a_missing_model_is_said_once() -> None:
    done = run_chatbot("-m", "missing/one", stdin=b"hello\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("There is no model 'missing/one'; name another.") == 1


def test_a_missing_model_chosen_later_brings_the_former_back() -> None:
    done = run_chatbot(stdin=b"one\n/model missing/one\ntwo\n/model\n")
    assert done.returncode == 1
    assert done.stdout.startswith(said("one") + said("two") + "`smollm2-135m` · 135M")
    assert done.stderr.count("There is no model 'missing/one'; name another.") == 1


def test_a_killed_engine_costs_the_answer_and_nothing_else() -> None:
    done = run_chatbot(stdin=b"kill\nhello\n")
    assert done.returncode == 1
    assert done.stdout == "You said: kill\n\n\n" + said("hello")
    assert done.stderr.count("The engine was killed (SIGKILL") == 1


def test_an_engine_that_ends_before_a_word_leaves_no_empty_line() -> None:
    done = run_chatbot(stdin=b"exit 3\nhello\n")
    assert done.stdout == said("hello")
    assert "ended unexpectedly (exit status 3)" in done.stderr
    assert "[2 earlier messages are left out of the prompt]" in done.stderr


def test_the_length_limit_is_mentioned() -> None:
    done = run_chatbot("--max-tokens", "2", stdin=b"hello\n")
    assert (done.returncode, done.stdout) == (0, "You said: \n")
    assert "[the longest answer or the window's end]" in done.stderr


def test_invalid_utf_8_and_controls_are_replaced_or_removed() -> None:
    done = run_chatbot(stdin=b"a\xff\xfeb \x1b]52;c;aGFjaw==\x07c\x9b\r\n\xf0\x9f\x98\x80\n")
    assert done.returncode == 0
    assert done.stdout.startswith("You said: a\ufffd\ufffdb c\ufffd\n")
    assert "You said: \U0001f600\n" in done.stdout


def test_a_null_byte_and_a_very_long_line() -> None:
    done = run_chatbot(stdin=b"a\x00b\n" + b"x" * 200_000 + b"\n", SCRIPT_WINDOW="100000")
    assert done.returncode == 0
    assert done.stdout.startswith(said("ab") + "You said: xxx")
    assert len(done.stdout) > 200_000


def test_a_line_without_end_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_input, "MAX_CHARACTERS", 10)
    monkeypatch.setattr("sys.stdin", io.StringIO("12345678\n123456789\n" + "x" * 35 + "\nlast\n"))
    assert [line_input._next_line() for _ in range(2)] == ["12345678", "123456789"]
    with pytest.raises(SettingError, match="more than 10 characters"):
        line_input._next_line()
    assert [line_input._next_line() for _ in range(2)] == ["last", None]


def test_a_line_that_is_too_long_costs_no_other() -> None:
    done = run_chatbot(stdin=b"x" * (line_input.MAX_CHARACTERS + 5) + b"\nhello\n")
    assert (done.returncode, done.stdout) == (1, said("hello"))
    assert "A line of more than 16,777,216 characters is passed over" in done.stderr


def test_a_dumb_terminal_gets_lines() -> None:
    with Terminal(TERM="dumb") as terminal:
        terminal.until("/help lists the commands, quit leaves.*> ")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_an_output_that_cannot_show_a_character_does_not_end_it() -> None:
    done = run_chatbot(stdin="grüße\n".encode(), PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stdout) == (0, said("gr??e"))


def test_ctrl_c_in_mid_answer_keeps_what_there_is_and_goes_on(long_answer: None) -> None:
    with PipedChatbot() as chat:
        chat.send("first")
        chat.until(lambda: "word word" in chat.out)
        os.kill(chat.process.pid, signal.SIGINT)
        # The one pipe may be read before the other.
        chat.until(lambda: "[stopped]" in chat.err and chat.out.endswith("\n"))
        stopped = chat.out
        chat.send("second")
        chat.until(lambda: "word" in chat.out.removeprefix(stopped))
        os.kill(chat.process.pid, signal.SIGINT)
        chat.until(lambda: chat.err.count("[stopped]") == 2)
        assert chat.end() == 0


def test_ctrl_c_while_the_model_loads_stops_the_turn() -> None:
    with PipedChatbot(SCRIPT_LOAD_SECONDS="20") as chat:
        chat.send("hello")
        chat.until(lambda: "Loading…" in chat.err)
        os.kill(chat.process.pid, signal.SIGINT)
        chat.until(lambda: "[stopped]" in chat.err)
        assert chat.end() == 0
        assert chat.out == ""


def test_ctrl_c_with_nothing_running_ends_a_pipe() -> None:
    with PipedChatbot() as chat:
        chat.send("hello")
        chat.until(lambda: END in chat.out)
        os.kill(chat.process.pid, signal.SIGINT)
        assert chat.process.wait(10) == 130
        assert chat.end() == 130


def test_a_reader_that_has_enough_is_no_error(long_answer: None) -> None:
    chat = subprocess.Popen(
        SCRIPTED,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert chat.stdin
    assert chat.stdout
    assert chat.stderr
    chat.stdin.write(b"hello\nagain\n")
    chat.stdin.close()
    assert chat.stdout.read(5) == b"word "
    chat.stdout.close()
    assert chat.wait(20) == 0
    assert b"Traceback" not in (errors := chat.stderr.read()), errors
    assert b"Exception ignored" not in errors, errors
    chat.stderr.close()


def test_closed_standard_streams_are_no_crash() -> None:
    for redirection in ("<&-", ">&-", "<&- >&-", "2>&-"):
        done = subprocess.run(
            ["bash", "-c", f'"$0" "$1" --plain {redirection}', *SCRIPTED],
            input=b"hello\n",
            capture_output=True,
            timeout=30,
            env=environment(),
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.returncode == 0


def test_a_person_at_a_terminal() -> None:
    with Terminal("--plain") as terminal:
        terminal.until("/help lists the commands, quit leaves.*> ")
        terminal.type("hello\n")
        terminal.until("You said: hello.*all.*> $")
        terminal.type("\x03")
        terminal.until(r"\(Ctrl\+D or quit leaves\)")
        terminal.type("/nonsense\n")
        terminal.until("There is no command /nonsense.*> $")
        terminal.type("\x04")
        assert terminal.end() == 0  # the error was seen and dealt with


def test_ctrl_c_at_a_terminal_stops_the_answer(long_answer: None) -> None:
    with Terminal("--plain") as terminal:
        terminal.until("> $")
        terminal.type("hello\n")
        terminal.until("word word")
        terminal.type("\x03")
        terminal.until(r"\[stopped\].*> $")
        terminal.type("bye\n")
        assert terminal.end() == 0


def test_broken_utf_8_typed_at_a_terminal_does_not_end_the_program() -> None:
    with Terminal("--plain") as terminal:
        terminal.until("> $")
        terminal.type(b"a\xffb\n")
        terminal.until("You said: a\ufffdb.*> $")
        terminal.type("quit\n")
        assert terminal.end() == 0


def test_with_the_output_in_a_pipe_the_prompt_is_not_in_it() -> None:
    with Terminal("--plain", piped_output=True) as terminal:
        terminal.until("> $")
        terminal.type("hello\n")
        assert terminal.process.stdout
        answer = terminal.process.stdout.readline()
        terminal.type("quit\n")
        assert terminal.end() == 0
        assert (answer + terminal.process.stdout.read()).decode() == said("hello")
        terminal.process.stdout.close()


def test_ctrl_c_at_a_terminal_ends_the_thinking_and_the_second_time_stops(
    long_answer: None,
) -> None:
    with Terminal("--plain") as terminal:
        terminal.until("> $")
        terminal.type(f"think {'hm ' * 3000}\n")
        terminal.until(r"\[thinking; Ctrl\+C answers now\]\s+hm hm")
        terminal.type("\x03")
        terminal.until(
            r"the thinking ends here; Ctrl\+C stops.*\[answer, after .* tokens.*word word"
        )
        terminal.type("\x03")
        terminal.until(r"\[stopped\].*> $")
        terminal.type("bye\n")
        assert terminal.end() == 0


def test_without_an_answer_there_is_no_thinking_to_end() -> None:
    done = run_chatbot("--plain", stdin=b"/answer\n")
    assert "There is no answer being written" in done.stderr


def test_ctrl_c_ends_the_thinking_of_several_answers_and_the_second_time_stops(
    long_answer: None,
) -> None:
    with Terminal("--plain") as terminal:
        terminal.until("> $")
        terminal.type(f"/variants 2 think {'hm ' * 3000}\n")
        terminal.until(r"\[thinking; Ctrl\+C answers now\]")
        terminal.type("\x03")
        terminal.until(r"the thinking ends here; Ctrl\+C stops.*word word")
        terminal.type("\x03")
        terminal.until(r"\[cancelled.*\[cancelled.*> $")
        terminal.type("bye\n")
        assert terminal.end() == 0


def test_tab_at_a_terminal_completes_commands_and_their_arguments() -> None:
    with Terminal("--plain") as terminal:
        terminal.until("> $")
        terminal.type("/tok\t\n")
        terminal.until("/tokens.*> $")
        terminal.forget()
        terminal.type("/set precision 8\t\n")
        terminal.until("/set precision 8-bit.*> $")
        terminal.type("quit\n")
        assert terminal.end() == 0


def test_keys_typed_into_an_answer_stay_out_of_it_and_begin_the_next_line(
    long_answer: None,
) -> None:
    with Terminal("--plain") as terminal:
        terminal.until("> $")
        terminal.type("hello\n")
        terminal.until("word word")
        terminal.forget()
        terminal.type("xyzzy")
        terminal.until("word( word){20}")
        terminal.type("\x03")
        terminal.until(r"\[stopped\].*> ")
        assert "xyzzy" not in terminal.text.partition("[stopped]")[0]
        terminal.type(" and more")
        terminal.until("and more")
        terminal.type("\x15quit\n")
        assert terminal.end() == 0
        assert terminal.shows_keys


@pytest.mark.parametrize("way", ["/quit\n", "\x04", signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_shows_keys_after_the_end(
    long_answer: None, way: str | signal.Signals
) -> None:
    with Terminal("--plain") as terminal:
        terminal.until("> $")
        if isinstance(way, str):
            terminal.type(way)
        else:
            terminal.type("hello\n")
            terminal.until("word word")
            assert not terminal.shows_keys
            terminal.process.send_signal(way)
        terminal.end()
        assert terminal.shows_keys


async def test_a_line_that_nobody_waits_for_is_for_whoever_asks_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after Ctrl+C at the question whether a tool may run: two would read at once."""
    source, sink = os.pipe()
    reader = _Reader()
    with os.fdopen(source) as stdin, os.fdopen(sink, "w") as typed:
        monkeypatch.setattr("sys.stdin", stdin)
        asked = asyncio.create_task(reader.read("Allow it? "))
        await asyncio.sleep(0.05)
        asked.cancel()
        first = asyncio.create_task(reader.read("> "))
        await asyncio.sleep(0.05)
        typed.write("one\ntwo\n")
        typed.flush()
        assert await first == "one"
        assert await reader.read("> ") == "two"
        asked = asyncio.create_task(reader.read("Allow it? "))
        await asyncio.sleep(0.05)
        asked.cancel()
        typed.write("three\n")
        typed.flush()
        await asyncio.sleep(0.2)
        assert await reader.read("> ") == "three"


def test_another_way_is_printed_with_what_stands_before_it() -> None:
    done = run_chatbot(stdin=b"hello\n/lens 2 Not\n")
    assert done.returncode == 0
    second = done.stdout.removeprefix(said("hello"))
    assert second.startswith("You Not and on after")


def test_a_file_that_a_line_names_is_attached_and_said(tmp_path: Path) -> None:
    (tmp_path / "my plan.md").write_text("March.\n")
    line = f'When, by @"{tmp_path}/my plan.md"?'
    done = run_chatbot(stdin=f"{line}\n/context\n".encode())
    assert done.returncode == 0
    assert f"[{tmp_path}/my plan.md · Text · 1 line · 6 characters]" in done.stderr.splitlines()
    assert done.stdout.startswith(f"You said: File {tmp_path}/my plan.md:\n```\nMarch.\n```")


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    done = run_chatbot(stdin=f"See @{tmp_path}/plane.md\n".encode())
    assert done.returncode == 0
    words = f"There is no file {tmp_path}/plane.md, so the question goes without it."
    assert words in done.stderr.splitlines()


def test_a_file_that_a_question_keeps_is_not_said_to_be_missing(tmp_path: Path) -> None:
    plan = tmp_path / "plan.md"
    plan.write_text("March.\n")
    with Terminal("--plain") as terminal:
        terminal.until("> $")
        terminal.type(f"See @{plan}\n")
        terminal.until(r"You said: File .*> $")
        plan.unlink()
        terminal.type("/edit\n")
        terminal.until(r"an empty line leaves it as it was\..*> $")
        terminal.type(f"Look at @{plan}\n")
        terminal.until(r"You said: File .*Look at .*> $")
        terminal.type("quit\n")
        assert terminal.end() == 0
        assert "goes without it" not in terminal.text


def test_a_file_that_cannot_be_attached_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.md").write_text("x")
    done = run_chatbot(stdin=f"See @{tmp_path}/broken.md\n".encode())
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].endswith("broken.md cannot be attached. It is broken.")


def test_tab_at_a_terminal_completes_names_of_files(tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text("March.\n")
    with Terminal("--plain") as terminal:
        terminal.until("> $")
        terminal.type(f"See @{tmp_path}/pl\t\n")
        terminal.until(r"plan\.md · Text.*You said: File .*> $")
        terminal.type("quit\n")
        assert terminal.end() == 0


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "boats.md").write_text("The yellow submarine leaves at nine.\n")
    return folder


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/search yellow submarine", "boats.md:1"),
        ("/knowledge", "ready · 1 files"),
        ("/tool search_knowledge yellow submarine", "boats.md"),
    ],
)
def test_a_piped_look_into_the_folders_has_them_read_first(
    notes: Path, line: str, words: str
) -> None:
    done = run_chatbot("-k", str(notes), stdin=line.encode(), SCRIPT_INDEX_SECONDS="0.01")
    assert "Reading notes…" in done.stderr.splitlines()
    assert (done.returncode, words in done.stdout) == (0, True)


def test_a_folder_that_is_switched_off_is_not_read_before(notes: Path) -> None:
    lines = f"/knowledge off {notes}\n/knowledge\n"
    done = run_chatbot("-k", str(notes), stdin=lines.encode(), SCRIPT_INDEX_SECONDS="0.01")
    assert "Reading" not in done.stderr
    assert done.stdout.splitlines()[-1].endswith(" off")


def test_ctrl_c_while_the_folders_are_read_leaves_the_search_out(notes: Path) -> None:
    with PipedChatbot("-k", str(notes), SCRIPT_INDEX_SECONDS="20") as chatbot:
        chatbot.send("/search yellow submarine")
        chatbot.until(lambda: "Reading notes…" in chatbot.err)
        chatbot.process.send_signal(signal.SIGINT)
        chatbot.send("/set seed")
        chatbot.until(lambda: "`seed`" in chatbot.out)
        assert "submarine" not in chatbot.out
