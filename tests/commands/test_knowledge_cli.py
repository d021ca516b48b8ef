"""Knowledge folders in the plain faces and on the command line, with a scripted retrieval."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.running_chatbot import PipedChatbot, Terminal, run_chatbot

pytestmark = pytest.mark.timeout(60)

FERRY = "The ferry leaves the harbour at seven every morning."
QUESTION = "When does the ferry leave the harbour?"


@pytest.fixture(autouse=True)
def quick_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_DELAY", "0.002")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "boats.md").write_text(f"# Boats\n\n{FERRY}\n\nTickets cost four euros.\n")
    (folder / "broken.txt").write_text("x")
    return folder


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "answer.txt").write_text("The ferry leaves at seven. Whales sing there.")
    monkeypatch.setenv("SCRIPT_ANSWER", str(tmp_path / "answer.txt"))


def test_index_says_what_is_there_and_what_is_not(folder: Path) -> None:
    done = run_chatbot("index", str(folder), SCRIPT_INDEX_SECONDS="0.01")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{folder}: ready, 2 files, 2 passages, all embedded, 1 kB",
        "  not in the index (1):",
        "    broken.txt: It is broken.",
    ]
    assert done.stderr == "Reading notes…\n"
    report = json.loads(run_chatbot("index", str(folder), "--json").stdout)
    assert report == {
        "folders": [
            {
                "folder": str(folder),
                "stage": "ready",
                "files": 2,
                "passages": 2,
                "embedded": 2,
                "bytes": 1000,
                "problems": [{"file": "broken.txt", "reason": "It is broken."}],
                "ignored": 0,
                "error": "",
                "notice": "",
            }
        ]
    }


def test_why_an_index_failed_is_on_standard_error(folder: Path) -> None:
    (folder / "full.txt").write_text("x")
    for flags in ((), ("--json",)):
        done = run_chatbot("index", str(folder), *flags)
        assert (done.returncode, done.stderr) == (1, "The disk is full.\n")
        assert "failed" in done.stdout


def test_what_was_indexed_before_is_searched_where_it_cannot_be_brought_up_to_date(
    folder: Path,
) -> None:
    (folder / "full.txt").write_text("x")
    done = run_chatbot("search", "needle", "-k", str(folder))
    assert done.returncode == 0
    assert done.stderr == "The disk is full.\n"
    assert done.stdout


def test_the_progress_is_a_bar_on_a_terminal(folder: Path) -> None:
    with Terminal("index", str(folder), SCRIPT_INDEX_SECONDS="0.2") as terminal:
        terminal.until(r"Reading notes ▕.*▏ 1 of 2 files · 2 passages · 1 s left")
        assert terminal.end() == 0


def test_ctrl_c_ends_the_indexing_with_130(folder: Path) -> None:
    with PipedChatbot("index", str(folder), SCRIPT_INDEX_SECONDS="1") as index:
        index.until(lambda: "Reading" in index.err)
        os.kill(index.process.pid, signal.SIGINT)
        assert index.process.wait(10) == 130
        assert index.end() == 130
    assert "cancelled" in index.out


def test_indexes_are_forgotten_of_folders_that_are_gone_too() -> None:
    done = run_chatbot("index", "--forget", "/gone/away", "/unindexed")
    assert done.returncode == 0
    assert done.stdout == "/gone/away: 2.0 MB freed\n/unindexed: there was no index of it\n"


def test_search_has_the_promised_shape_and_needs_no_language_model(folder: Path) -> None:
    done = run_chatbot("search", QUESTION, "-k", str(folder), "--json", SCRIPT_NO_ENGINE="1")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["query"] == QUESTION
    (result,) = found["results"]
    assert result.pop("scores")["relevance"] == 0.4
    assert result == {
        "file": "boats.md",
        "start_line": 3,
        "end_line": 3,
        "page": None,
        "start": 9,
        "end": 9 + len(FERRY),
        "score": 0.2,
        "text": FERRY,
        "folder": str(folder),
        "title": "Boats",
    }


def test_many_queries_are_a_line_each_and_duplicates_no_results(folder: Path) -> None:
    (folder / "copy.md").write_text(FERRY)
    file = folder.parent / "queries"
    file.write_bytes(
        "ferry harbour\r\n\nTickets cost \u2028 caf\xe9 \xff\nnothing fits".encode(
            "latin-1", "ignore"
        )
    )
    done = run_chatbot(
        "search", "--queries", str(file), "-k", str(folder), "--json", "--top-k", "5"
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["query"] for line in lines][::2] == ["ferry harbour", "nothing fits"]
    assert [len(line["results"]) for line in lines] == [1, 1, 0]
    done = run_chatbot("search", "--queries", "-", "-k", str(folder), stdin=b"ferry harbour")
    assert done.stdout.splitlines()[:2] == [
        "1. boats.md:3 · Boats · score 0.5000, relevance 1.00",
        f"   {FERRY}",
    ]


def test_several_folders_and_those_of_the_settings(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.txt").write_text("ferry harbour")
    done = run_chatbot("search", "ferry harbour", "-k", str(folder), "-k", str(other))
    assert "other/a.txt:1" in done.stdout
    assert "notes/boats.md:3" in done.stdout
    config = Path(os.environ["CHATBOT_CONFIG_DIR"])
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f'[knowledge]\nfolders = ["{other}", "{tmp_path}/gone"]\n')
    done = run_chatbot("search", "ferry harbour")
    assert "1. a.txt:1" in done.stdout
    assert "is not there" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (("search",), 2, "search needs a query"),
        (("search", "x", "--queries", "y"), 2, "and not both"),
        (("search", "x", "--top-k", "0"), 2, "--top-k must be"),
        (("search", "x", "-k", "/no/such"), 2, "There is no folder /no/such"),
        (("search", "x", "-k", "none"), 1, "There is no folder to go through"),
        (("search", "--queries", "/no/such"), 1, "cannot be read"),
        (("index", "/no/such"), 2, "There is no folder /no/such"),
        (("ask", "x", "-k", "/no/such"), 2, "There is no folder /no/such"),
        (("ask", "x", "--num-sources", "99"), 2, "Sources must be"),
        (("ask", "x", "--grounding", "maybe"), 2, "one of auto, strict, open"),
        (("search", "kill retrieval", "-k", "/"), 2, "The whole disk"),
    ],
)
def test_wrong_usage_and_failures(arguments: tuple[str, ...], status: int, reason: str) -> None:
    done = run_chatbot(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert reason in done.stderr


def test_a_search_that_kills_the_process_is_one_line(folder: Path) -> None:
    done = run_chatbot("search", "kill retrieval", "-k", str(folder))
    assert done.returncode == 1
    assert "The retrieval process was killed" in done.stderr


def test_ask_lists_its_sources_and_says_what_is_in_none(folder: Path, answer: None) -> None:
    done = run_chatbot("ask", QUESTION, "-k", str(folder))
    assert done.returncode == 0
    assert done.stdout == (
        "The ferry leaves at seven. Whales sing there.\n\n[1] boats.md:3 · Boats\n"
    )
    assert "[in no source: Whales sing there.]" in done.stderr
    done = run_chatbot("ask", QUESTION, "-k", str(folder), "--no-stream")
    assert done.stdout.splitlines()[0] == "The ferry leaves at seven. [1] Whales sing there. [?]"


def test_the_json_of_ask_has_the_sources(folder: Path, answer: None) -> None:
    done = run_chatbot("ask", QUESTION, "-k", str(folder), "--json", SCRIPT_NOTICE="Words only.")
    report = json.loads(done.stdout)
    (source,) = report["sources"]
    assert (source["index"], source["file"], source["text"]) == (1, "boats.md", FERRY)
    assert set(source) == {
        *("index", "file", "folder", "title", "start_line", "end_line", "page", "start", "end"),
        *("text", "scores"),
    }
    assert [(s["start"], s["end"], s["source"]) for s in report["support"]] == [
        (0, 26, 1),
        (27, 45, None),
    ]
    assert (report["declined"], report["notice"]) == (False, "Words only.")


def test_nothing_relevant_is_declined_unless_it_is_open(folder: Path) -> None:
    done = run_chatbot("ask", "What is love?", "-k", str(folder), "--json")
    report = json.loads(done.stdout)
    assert report["declined"]
    assert report["text"].startswith("I found nothing about this in your folders.")
    assert (report["model"], done.returncode) == ("", 0)
    for flags in (("--grounding", "open"), ("--num-sources", "0"), ("-k", "none")):
        flags = flags if flags[0] == "-k" else ("-k", str(folder), *flags)
        done = run_chatbot("ask", "What is love?", *flags)
        assert done.stdout.startswith("You said: What is love?")


NO_SOURCE = "[nothing in your folders fits: no source was used]"


def test_an_answer_without_a_source_is_said_to_be_one(folder: Path) -> None:
    flags = ("-k", str(folder), "--grounding", "open")
    for done in (
        run_chatbot("ask", "What is love?", *flags),
        run_chatbot("ask", "What is love?", *flags, "-n", "2"),
        run_chatbot(*flags, stdin=b"What is love?\n"),
    ):
        assert done.stderr.splitlines().count(NO_SOURCE) == 1
        assert "no source" not in done.stdout
    for question, others in (
        ("What is love?", ("-k", str(folder))),  # the program says so itself
        ("What is love?", (*flags, "--num-sources", "0")),
        ("What is love?", ("-k", "none")),
        (QUESTION, flags),
    ):
        assert NO_SOURCE not in run_chatbot("ask", question, *others).stderr


def test_an_unindexed_folder_is_indexed_before_the_first_question(folder: Path) -> None:
    done = run_chatbot("ask", QUESTION, "-k", str(folder), SCRIPT_INDEX_SECONDS="0.05")
    assert "Reading notes…" in done.stderr
    assert "[1] boats.md:3" in done.stdout
    with PipedChatbot("ask", QUESTION, "-k", str(folder), SCRIPT_INDEX_SECONDS="9") as ask:
        ask.process.stdin.close()  # type: ignore[union-attr]
        ask.until(lambda: "Reading" in ask.err)
        os.kill(ask.process.pid, signal.SIGINT)
        assert ask.process.wait(10) == 130


def test_ctrl_c_stops_a_search(folder: Path) -> None:
    with PipedChatbot("-k", str(folder), SCRIPT_SEARCH_SECONDS="9") as chat:
        chat.send(QUESTION)
        chat.until(lambda: "Loading…" in chat.err)
        os.kill(chat.process.pid, signal.SIGINT)
        chat.until(lambda: "[stopped]" in chat.err, seconds=8)
        assert chat.out == ""


def test_a_retrieval_that_dies_costs_one_turn(folder: Path) -> None:
    done = run_chatbot(
        "-k", str(folder), stdin=f"kill retrieval\n{QUESTION}\n/sources 1\n".encode()
    )
    assert "The retrieval process was killed" in done.stderr
    assert done.stdout.count("[1] boats.md:3 · Boats") == 1
    assert FERRY in done.stdout


def test_the_commands_work_in_plain_text(folder: Path) -> None:
    lines = f"/knowledge add {folder}\n/knowledge\n/search ferry harbour\n/knowledge problems\n"
    done = run_chatbot(stdin=lines.encode())
    assert f"`{folder}` is searched now." in done.stdout
    assert FERRY in done.stdout
    assert "- `broken.txt` It is broken." in done.stdout
    config = (Path(os.environ["CHATBOT_CONFIG_DIR"]) / "config.toml").read_text()
    assert f'folders = ["manual", "{folder}"]' in config


def test_folders_of_the_command_line_are_for_this_run_alone(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run_chatbot("-k", str(folder), stdin=f"/knowledge add {other}\n".encode())
    assert not (Path(os.environ["CHATBOT_CONFIG_DIR"]) / "config.toml").exists()


@pytest.mark.slow  # it asks torch, too
def test_the_doctor_looks_at_folders_and_embedding(folder: Path) -> None:
    config = Path(os.environ["CHATBOT_CONFIG_DIR"])
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f'[knowledge]\nfolders = ["{folder}", "/gone"]\n')
    checks = {c["name"]: c for c in json.loads(run_chatbot("doctor", "--json").stdout)["checks"]}
    assert "1 files not in the index" in checks[f"folder {folder}"[:22]]["found"]
    assert checks["folder /gone"]["state"] == "note"
    assert checks["embedding model"]["found"] == "all-minilm-l6-v2, 3 dimensions, on cpu"
