import errno
import os
import random
import sqlite3
import stat
from pathlib import Path

import pytest

from chatbot.errors import StoreError
from chatbot.store import reading, writing
from chatbot.store.database import Database
from chatbot.store.failures import explained
from chatbot.store.opening import SAFE_WAL_VERSION
from chatbot.store.schema import SCHEMA, VERSION
from chatbot.store.searching import search
from tests.store.helpers import branch, is_sound, put_exchange

VERSION_1 = (Path(__file__).parent / "version-1.sql").read_text("utf-8")


def fill(folder: Path, num_chats: int = 60) -> dict[str, set[str]]:
    """Chats to be damaged: their ids, and the texts in each."""
    db = Database(folder)
    kept = {}
    for number in range(num_chats):
        chat = branch(*(f"chat {number} message {n} " + "word " * 60 for n in range(12)))
        writing.save_chat(db, chat)
        kept[chat.info.id] = {message.text for message in chat.messages}
    db.close()
    return kept


def test_the_file_is_the_users_alone(db: Database) -> None:
    assert stat.S_IMODE(os.stat(db.file).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(db.file.parent).st_mode) == 0o700


def test_writes_are_safe_with_the_sqlite_at_hand(db: Database) -> None:
    mode = db.query("PRAGMA journal_mode")[0][0]
    assert mode == ("wal" if sqlite3.sqlite_version_info >= SAFE_WAL_VERSION else "delete")
    assert db.query("PRAGMA synchronous") == [(2,)]  # FULL
    assert db.query("PRAGMA foreign_keys") == [(1,)]


def test_a_file_of_the_first_version_is_read(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "chats.db") as connection:
        connection.executescript(VERSION_1)
    db = Database(folder)
    assert db.query("PRAGMA user_version") == [(VERSION,)]
    (chat,) = reading.list_chats(db)
    loaded = reading.load_chat(db, chat.id)
    assert [message.text for message in loaded.messages] == ["What is a tree?", "A tall plant."]
    making = loaded.messages[1].making
    assert making is not None
    assert (making.model, making.finish_reason) == ("smollm2-135m", "stop")
    assert search(db, "plant")
    put_exchange(db)
    db.close()


MIGRATION = {VERSION: "ALTER TABLE chats ADD COLUMN mood TEXT;"}


def test_a_migration_keeps_everything_and_the_old_file(folder: Path) -> None:
    kept = fill(folder, 3)
    db = Database(folder, MIGRATION, VERSION + 1)
    assert db.query("PRAGMA user_version") == [(VERSION + 1,)]
    assert db.query("SELECT DISTINCT mood FROM chats") == [(None,)]
    assert {chat.id for chat in reading.list_chats(db)} == set(kept)
    db.close()
    assert is_sound(folder / f"chats-version-{VERSION}.db")
    assert not list(folder.glob("*.migrating*"))


def test_a_migration_that_fails_changes_nothing(folder: Path) -> None:
    fill(folder, 2)
    before = (folder / "chats.db").read_bytes()
    for wrong in ("ALTER TABLE nonsense ADD COLUMN x;", "DELETE FROM chats;"):
        with pytest.raises(StoreError):
            Database(folder, {VERSION: wrong}, VERSION + 1)
        assert (folder / "chats.db").read_bytes() == before
    Database(folder).close()


def test_no_migration_while_another_program_has_the_file(db: Database, folder: Path) -> None:
    put_exchange(db)
    with pytest.raises(StoreError, match="close the other running chatbot"):
        Database(folder, MIGRATION, VERSION + 1)


def test_a_newer_file_is_left_alone(folder: Path) -> None:
    fill(folder, 1)
    with sqlite3.connect(folder / "chats.db") as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreError, match="newer chatbot"):
        Database(folder)


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_file_is_kept_and_what_can_be_read_is_saved(folder: Path, seed: int) -> None:
    kept = fill(folder)
    file = folder / "chats.db"
    damage = random.Random(seed)
    content = bytearray(file.read_bytes())
    for _ in range(3):
        page = damage.randrange(2, len(content) // 4096) * 4096
        content[page : page + 4096] = damage.randbytes(4096)
    file.write_bytes(content)
    db = Database(folder)
    if db.notices:  # the pages may have been ones that quick_check does not look into
        (notice,) = db.notices
        (aside,) = folder.glob("chats-damaged-*.db")
        assert "was damaged" in notice
        assert str(aside) in notice
        assert aside.read_bytes() == content
    found = 0
    for chat in reading.list_chats(db, 1000):
        messages = reading.load_chat(db, chat.id).messages
        found += len(messages)
        assert {message.text for message in messages} <= kept.get(
            chat.id, set().union(*kept.values())
        )
    assert found >= 0.7 * 60 * 12
    put_exchange(db)
    db.close()
    assert is_sound(file)
    again = Database(folder)
    assert again.notices == ()
    again.close()


@pytest.mark.parametrize(
    "content",
    [b"not a database at all" * 500, b"SQLite format 3\x00" * 99],
    ids=["text", "header alone"],
)
def test_a_file_that_is_something_else_is_moved_aside(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "chats.db").write_bytes(content)
    db = Database(folder)
    assert "0 messages" in db.notices[0]
    (aside,) = folder.glob("chats-damaged-*.db")
    assert aside.read_bytes() == content
    put_exchange(db)
    db.close()


def test_a_truncated_file_is_repaired(folder: Path) -> None:
    fill(folder)
    file = folder / "chats.db"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    db = Database(folder)
    assert "was damaged" in db.notices[0]
    assert reading.list_chats(db)
    db.close()


def test_a_lost_index_is_repaired(folder: Path) -> None:
    kept = fill(folder, 5)
    with sqlite3.connect(folder / "chats.db") as connection:
        connection.execute("DROP TABLE chats")
    db = Database(folder)
    assert "was damaged" in db.notices[0]
    assert len(reading.list_chats(db)) == len(kept)  # under another title
    assert all(chat.title == "Recovered chat" for chat in reading.list_chats(db))
    db.close()


def test_no_repair_while_another_program_has_the_file(db: Database, folder: Path) -> None:
    put_exchange(db)
    (folder / "chats.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match="close the other running chatbot"):
        Database(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        Database(tmp_path / "data")
    tmp_path.chmod(0o700)


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    with pytest.raises(StoreError, match="failed"):
        Database(tmp_path / "data")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EROFS, "CHATBOT_DATA_DIR"),
        (errno.EEXIST, "CHATBOT_DATA_DIR"),
        (errno.EDQUOT, "make room"),
        (errno.EMFILE, "Too many open files"),
    ],
)
def test_what_the_system_refuses_comes_with_what_to_do(number: int, remedy: str) -> None:
    with pytest.raises(StoreError, match=remedy), explained(Path("chats.db")):
        raise OSError(number, os.strerror(number))


def test_a_full_disk_is_an_error_and_takes_nothing_along(db: Database) -> None:
    chat = put_exchange(db)
    pages = db.query("PRAGMA page_count")[0][0]
    db.query(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="disk is full"):
        writing.save_chat(db, branch("x" * 100_000, "y" * 100_000))
    assert [c.id for c in reading.list_chats(db)] == [chat.id]
    db.query("PRAGMA max_page_count = 1000000")
    put_exchange(db)
    assert len(reading.list_chats(db)) == 2


def test_the_schema_is_that_of_the_last_version() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
