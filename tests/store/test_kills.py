"""Programs are killed at any moment; what they had shown as kept must be there."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chatbot.messages import Message
from chatbot.store import reading
from chatbot.store.database import Database
from chatbot.store.searching import search
from chatbot.store.token_records import load_tokens
from tests.store.kill_child import NUM_IMPORTED

REPOSITORY = Path(__file__).parent.parent.parent
LONGEST_PIECE = 40
"""Characters of one piece of the answers."""
LOST_SECONDS = 0.5
"""How much of the end of an answer may be lost."""


class Ledger:
    """What the programs said, over all their lives."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.imported: set[str] = set()
        self.begun: set[str] = set()
        self.num_answers_cut = 0
        self.longest_loss_seconds = 0.0
        self.num_kept_checked = 0

    def read(self, lines: list[dict[str, object]], killed_at: float, db: Database) -> None:
        shown: dict[tuple[str, str], list[tuple[float, int]]] = {}
        for line in lines:
            match line:
                case {"kind": "kept", "chat": str(chat), "message": str(key), "text": str(text)}:
                    self.kept[chat, key] = text
                    shown.pop((chat, key), None)
                case {"kind": "shown", "chat": str(chat), "message": str(key)}:
                    at = (float(str(line["time"])), int(str(line["length"])))
                    shown.setdefault((chat, key), []).append(at)
                    self.kept.pop((chat, key), None)  # it goes on
                case {"kind": "importing", "tag": str(tag)}:
                    self.begun.add(tag)
                case {"kind": "imported", "tag": str(tag)}:
                    self.imported.add(tag)
                case {"kind": "problem"}:
                    raise AssertionError(line)
        for (chat, key), progress in shown.items():
            self._check_cut(db, chat, key, progress, killed_at)

    def _check_cut(
        self,
        db: Database,
        chat: str,
        key: str,
        progress: list[tuple[float, int]],
        killed_at: float,
    ) -> None:
        """An answer that was being written: there is all of it but for the last half second."""
        self.num_answers_cut += 1
        message = messages_of(db, chat)[key]
        assert message.making is not None
        assert message.making.finish_reason in ("interrupted", "stop")
        length = len(message.text)
        # What its tokens were drawn from is there as well, but perhaps for the last one.
        recorded = "".join(r.text for r in load_tokens(db, chat, key))
        assert message.text.startswith(recorded)
        assert length - len(recorded) <= LONGEST_PIECE
        due = max((n for at, n in progress if at <= killed_at - LOST_SECONDS), default=0)
        assert length >= due, f"{length} of {due} characters that were due are there"
        lost = [at for at, n in progress if n > length]
        if lost:
            self.longest_loss_seconds = max(self.longest_loss_seconds, killed_at - lost[0])
        self.kept[chat, key] = message.text

    def check(self, db: Database) -> None:
        chats: dict[str, dict[str, Message]] = {}
        for (chat, key), text in self.kept.items():
            if chat not in chats:
                chats[chat] = messages_of(db, chat)
            assert chats[chat][key].text == text
            self.num_kept_checked += 1
        ids = [chat.id for chat in reading.list_chats(db, 1_000_000)]
        for tag in self.begun:
            count = sum(chat_id.startswith(f"i{tag}x") for chat_id in ids)
            assert count in ((NUM_IMPORTED,) if tag in self.imported else (0, NUM_IMPORTED))
        hidden = db.query("SELECT count(*) FROM chats WHERE importer IS NOT NULL")
        assert hidden == [(0,)]
        assert db.query("SELECT count(*) FROM messages WHERE owner IS NOT NULL") == [(0,)]
        # The index knows exactly the messages that there are.
        db.connection.execute(
            "INSERT INTO message_words (message_words, rank) VALUES ('integrity-check', 1)"
        )
        search(db, "word")


def messages_of(db: Database, chat: str) -> dict[str, Message]:
    return {message.id: message for message in reading.load_chat(db, chat).messages}


def live_and_die(folder: Path, seed: int, seconds: float) -> tuple[list[dict[str, object]], float]:
    """Run the program for so long, kill it; what it said, and when it was killed."""
    command = [sys.executable, "-m", "tests.store.kill_child", str(folder), str(seed)]
    child = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
    said: list[bytes] = []
    assert child.stdout is not None
    reader = threading.Thread(target=lambda: said.extend(child.stdout or ()))
    reader.start()
    time.sleep(seconds)
    assert child.poll() is None, "the program ended by itself"
    killed_at = time.monotonic()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    reader.join()
    child.stdout.close()
    return [json.loads(line) for line in said if line.endswith(b"\n")], killed_at


def run_kills(folder: Path, num_kills: int, seed: int) -> Ledger:
    moments = random.Random(seed)
    ledger = Ledger()
    for number in range(num_kills):
        # Some die while they are still opening the file.
        seconds = moments.uniform(0.2, 1.6)
        lines, killed_at = live_and_die(folder, seed * 1000 + number, seconds)
        db = Database(folder)
        assert db.notices == ()
        assert db.query("PRAGMA quick_check") == [("ok",)]
        ledger.read(lines, killed_at, db)
        if number % 10 == 9 or number == num_kills - 1:
            ledger.check(db)
        db.close()
    return ledger


@pytest.mark.timeout(120)
def test_twenty_kills_lose_nothing_that_was_kept(folder: Path) -> None:
    ledger = run_kills(folder, 20, 1)
    assert ledger.kept
    assert ledger.num_answers_cut


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hundred_kills_lose_nothing_that_was_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = run_kills(folder, 200, 2)
    with capsys.disabled():
        print(
            f"\n{len(ledger.kept)} messages kept, {ledger.num_answers_cut} answers cut, "
            f"at most {ledger.longest_loss_seconds:.3f} s of one lost, "
            f"{len(ledger.imported)} of {len(ledger.begun)} imports done"
        )
