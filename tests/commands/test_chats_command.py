import json
from pathlib import Path
from typing import Any

import pytest

from chatbot.cli import main
from chatbot.conversation.formats.own_json import chat_of
from chatbot.paths import data_dir
from chatbot.store import reading
from chatbot.store.database import Database
from chatbot.store.writing import put_message, rate_message
from tests.store.helpers import message, put_exchange


@pytest.fixture
def ids() -> list[str]:
    db = Database(data_dir())
    chats = [put_exchange(db, f"About {word}", f"{word} are fine.") for word in ("cats", "dogs")]
    db.close()
    return [chat.id for chat in chats]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The JSON object that a command prints."""
    assert main(["chats", *arguments, "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def test_list_and_search(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    chats = run(capsys, "list")["chats"]
    assert [chat["id"] for chat in chats] == ids[::-1]
    assert set(chats[0]) == {
        "id", "title", "is_title_given", "created_at", "updated_at", "is_pinned", "num_messages"
    }  # fmt: skip
    assert len(run(capsys, "list", "--limit", "1")["chats"]) == 1
    hits = run(capsys, "search", "dog")["hits"]
    assert [hit["chat"]["id"] for hit in hits] == [ids[1]] * 3
    assert hits[0]["message_id"] is None
    assert {"text": "dogs", "is_hit": True} in hits[1]["excerpt"]
    assert main(["chats", "list"]) == 0
    assert "About dogs" in capsys.readouterr().out
    assert main(["chats", "search", "nothing"]) == 0


def test_rename_pin_delete_restore(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "rename", ids[0][:10], "Felines \x1b[31m") == {"renamed": [ids[0]]}
    assert run(capsys, "pin", ids[0]) == {"pinned": [ids[0]]}
    first = run(capsys, "list")["chats"][0]
    assert (first["title"], first["is_pinned"]) == ("Felines", True)
    run(capsys, "unpin", ids[0])
    assert run(capsys, "delete", "latest") == {"deleted": [ids[1]]}
    assert len(run(capsys, "list")["chats"]) == 1
    assert run(capsys, "list", "--deleted")["chats"][0]["id"] == ids[1]
    assert run(capsys, "restore", ids[1][:12]) == {"restored": [ids[1]]}
    assert len(run(capsys, "list")["chats"]) == 2


@pytest.mark.parametrize("form", ["json", "markdown", "openai"])
def test_export_to_a_new_file(
    ids: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, form: str
) -> None:
    file = tmp_path / "out"
    report = run(capsys, "export", "--all", "--format", form, "-o", str(file))
    assert report == {"file": str(file), "format": form, "num_chats": 2}
    assert b"cats are fine." in file.read_bytes()
    assert main(["chats", "export", "--all", "-o", str(file)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_export_and_import_elsewhere(
    ids: list[str],
    capsysbinary: pytest.CaptureFixture[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["chats", "export", *ids]) == 0
    file = tmp_path / "chats.jsonl"
    file.write_bytes(capsysbinary.readouterr().out)
    # Where they come from they are known, elsewhere from the second time on.
    for folder, added, skipped in (("", 0, 2), ("elsewhere", 2, 0), ("elsewhere", 0, 2)):
        if folder:
            monkeypatch.setenv("CHATBOT_DATA_DIR", str(tmp_path / folder))
        assert main(["chats", "import", str(file), "--json"]) == 0
        (report,) = json.loads(capsysbinary.readouterr().out)["files"]
        assert (report["num_added"], report["num_skipped"]) == (added, skipped)
    db = Database(tmp_path / "elsewhere")
    assert {chat.id for chat in reading.list_chats(db)} == set(ids)
    assert all(one.is_foreign for key in ids for one in reading.load_chat(db, key).messages)
    db.close()


def status_of(arguments: list[str]) -> object:
    try:
        return main(["chats", *arguments])
    except SystemExit as end:
        return end.code


def test_with_no_command_chats_are_listed(
    ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for arguments in ([], ["list"], ["--json"], ["list", "--json"], ["--json", "list"]):
        assert main(["chats", *arguments]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert shown[2] == shown[3] == shown[4]
    assert len(json.loads(shown[2])["chats"]) == len(ids)


def test_failures_are_one_line_and_a_status(
    ids: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('[{"mapping": {"a": {"parent": "a", "message": null}}}]')
    for arguments, status in (
        (["delete", "nothing"], 1),
        (["import", str(bad)], 1),
        (["import", str(tmp_path / "none")], 1),
        (["export"], 2),
        (["rename", ids[0], "  "], 2),
        (["list", "--limit", "-1"], 2),
        (["bogus"], 2),
    ):
        assert status_of(arguments) == status
        error = capsys.readouterr().err.splitlines()
        assert len(error) == 1 or error[1].endswith("--help lists what can be given.")
    assert run(capsys, "import", str(bad), "--skip-broken")["files"][0]["num_added"] == 0


def test_an_import_says_what_came_of_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    chat = json.dumps({"messages": [{"role": "user", "content": "hello"}]})
    said = []
    for content in (chat, f"{chat}\nno chat\n", "[]"):
        file.write_text(content)
        assert main(["chats", "import", str(file), "--skip-broken"]) == 0
        said.append(capsys.readouterr().out.removeprefix(f"{file}: "))
    assert said == [
        "1 chat with 1 message added.\n",
        "1 chat here already, 1 broken chat left out.\n",
        "0 chats with 0 messages added.\n",
    ]


def test_what_had_to_be_repaired_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    data_dir().mkdir(parents=True)
    (data_dir() / "chats.db").write_bytes(b"nonsense" * 999)
    assert main(["chats", "list"]) == 0
    assert "was damaged" in capsys.readouterr().err


def test_export_of_ratings_for_trl(
    ids: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = Database(data_dir())
    chat = reading.load_chat(db, ids[0])
    question, first = chat.messages
    others = [message(f"Answer {n}.", "assistant", question) for n in range(3)]
    for other in others:
        put_message(db, chat.info, other)
    for key, rating in ((first.id, 1), (others[0].id, -1), (others[1].id, -1)):
        rate_message(db, ids[0], key, rating)
    db.close()
    file = tmp_path / "liked.jsonl"
    report = run(capsys, "export", "--all", "--ratings", str(file))
    beside = tmp_path / "liked-thumbs.jsonl"
    assert report == {
        "pairs_file": str(file), "thumbs_file": str(beside), "num_pairs": 2, "num_thumbs": 3
    }  # fmt: skip
    prompt = [{"role": "user", "content": "About cats"}]
    chosen = [{"role": "assistant", "content": "cats are fine."}]
    rejected = [[{"role": "assistant", "content": f"Answer {n}."}] for n in range(2)]
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"prompt": prompt, "chosen": chosen, "rejected": bad} for bad in rejected
    ]
    assert [json.loads(line) for line in beside.read_text().splitlines()] == [
        {"prompt": prompt, "completion": chosen, "label": True},
        *({"prompt": prompt, "completion": bad, "label": False} for bad in rejected),
    ]
    # Nothing is overwritten, and nothing is written by half.
    beside.unlink()
    assert main(["chats", "export", ids[0], "--ratings", str(file)]) == 1
    assert not beside.exists()
    assert main(["chats", "export", ids[0], "--ratings", "a", "-o", "b"]) == 2


def test_ratings_are_in_our_own_export(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    db = Database(data_dir())
    answer = reading.load_chat(db, ids[0]).messages[1]
    rate_message(db, ids[0], answer.id, -1)
    db.close()
    assert main(["chats", "export", ids[0]]) == 0
    saved = chat_of(capsys.readouterr().out.encode())
    assert saved.ratings == {answer.id: -1}
