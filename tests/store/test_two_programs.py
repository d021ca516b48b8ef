"""Two programs on one file at the same time."""

import subprocess
import sys
from pathlib import Path

import pytest

from chatbot.store import reading, writing
from chatbot.store.database import Database
from chatbot.store.instances import running_instances
from chatbot.store.values import ChatInfo
from tests.store.helpers import is_sound, message, put_exchange

REPOSITORY = Path(__file__).parent.parent.parent

WRITER = """
import sys
from pathlib import Path
from chatbot.store.database import Database
from tests.store.helpers import put_exchange
db = Database(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    put_exchange(db, f"{sys.argv[2]} asks {number}", "An answer. " * 20)
db.close()
"""


@pytest.mark.timeout(120)
def test_both_write_and_nothing_is_lost(folder: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name, "40"], cwd=REPOSITORY)
        for name in ("one", "two", "three")
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    db = Database(folder)
    titles = {chat.title for chat in reading.list_chats(db, 1000)}
    assert titles == {f"{name} asks {n}" for name in ("one", "two", "three") for n in range(40)}
    assert running_instances(folder / "running") == {db.owner}
    db.close()
    assert is_sound(folder / "chats.db")


def test_each_sees_what_the_other_does(db: Database, folder: Path) -> None:
    other = Database(folder)
    chat = put_exchange(other)
    assert [c.id for c in reading.list_chats(db)] == [chat.id]
    assert running_instances(folder / "running") == {db.owner, other.owner}
    other.close()
    assert running_instances(folder / "running") == {db.owner}


def test_an_answer_is_interrupted_only_when_its_program_is_gone(db: Database, folder: Path) -> None:
    other = Database(folder)
    chat, question = ChatInfo(), message("q")
    answer = message("part", "assistant", question)
    writing.put_message(other, chat, question)
    writing.put_message(other, chat, answer, is_being_written=True)
    assert reading.load_chat(db, chat.id).written_elsewhere == (answer.id,)
    other.close()
    assert reading.load_chat(db, chat.id).written_elsewhere == ()


def test_both_go_on_with_one_chat_and_both_branches_stay(db: Database, folder: Path) -> None:
    other = Database(folder)
    chat = put_exchange(db)
    last = reading.load_chat(other, chat.id).messages[-1]
    writing.put_message(db, chat, message("mine", "user", last))
    writing.put_message(other, chat, message("yours", "user", last))
    texts = [m.text for m in reading.load_chat(db, chat.id).messages]
    assert texts[-2:] == ["mine", "yours"]
    other.close()


def test_what_dead_programs_left_is_tidied(folder: Path) -> None:
    running = folder / "running"
    running.mkdir(parents=True)
    (running / "dead.lock").touch()
    assert running_instances(running) == set()
    assert list(running.iterdir()) == []
