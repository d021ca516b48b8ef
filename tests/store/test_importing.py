from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from chatbot.errors import FormatError, StoreError
from chatbot.messages import TextPart, ToolCallPart
from chatbot.store import importing, reading, writing
from chatbot.store.database import Database
from chatbot.store.importing import import_chats
from chatbot.store.searching import search
from chatbot.store.values import BrokenChat, StoredChat
from tests.store.helpers import branch, message, put_exchange


def numbered(count: int) -> list[StoredChat]:
    return [branch(f"question {n}", f"answer {n}", id=f"chat{n}") for n in range(count)]


def test_what_is_here_already_is_skipped(db: Database) -> None:
    chats = numbered(5)
    first = import_chats(db, chats)
    assert (first.num_added, first.num_messages, first.num_skipped) == (5, 10, 0)
    assert first.added == tuple(f"chat{n}" for n in range(5))
    again = import_chats(db, chats)
    assert (again.num_added, again.num_skipped, again.num_renamed) == (0, 5, 0)
    assert len(reading.list_chats(db)) == 5


def test_a_chat_that_went_on_since_is_still_the_same(db: Database) -> None:
    (chat,) = numbered(1)
    import_chats(db, [chat])
    writing.put_message(db, chat.info, message("more", "user", chat.messages[-1]))
    assert import_chats(db, [chat]).num_skipped == 1


def test_a_chat_that_differs_gets_an_id_of_its_own_once(db: Database) -> None:
    import_chats(db, [branch("one", "two", id="same")])
    other = branch("one", "three", id="same")
    report = import_chats(db, [other])
    assert (report.num_added, report.num_renamed) == (1, 1)
    assert report.added[0] != "same"
    assert import_chats(db, [other]).num_skipped == 1
    assert len(reading.list_chats(db)) == 2


def test_a_chat_is_the_same_without_the_words_of_its_calls(db: Database) -> None:
    """They are on the disk, and no file is trusted with them."""
    chat = branch("one", "two", id="same")

    def calling(raw: str) -> StoredChat:
        call = ToolCallPart(id="1", name="calculate", arguments="{}", raw=raw)
        answer = msgspec.structs.replace(chat.messages[1], parts=(call, TextPart("two")))
        return msgspec.structs.replace(chat, messages=(chat.messages[0], answer))

    writing.save_chat(db, calling("<tool_call>"))
    assert import_chats(db, [calling("")]).num_skipped == 1


def test_one_id_twice_in_a_file(db: Database) -> None:
    same = branch("one", "two", id="same")
    report = import_chats(db, [same, same, branch("one", "three", id="same")])
    assert (report.num_added, report.num_skipped, report.num_renamed) == (2, 1, 1)


def test_a_deleted_chat_comes_back(db: Database) -> None:
    (chat,) = numbered(1)
    import_chats(db, [chat])
    writing.delete_chat(db, "chat0")
    assert import_chats(db, [chat]).num_added == 1
    assert len(reading.list_chats(db)) == 1


def test_nothing_of_a_broken_file_stays(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_BATCH_MESSAGES", 4)
    put_exchange(db, "here before")
    broken = [*numbered(20), BrokenChat("Chat 21 is broken: it loops.")]
    with pytest.raises(FormatError, match=r"loops\. Nothing was imported"):
        import_chats(db, broken)
    assert [chat.title for chat in reading.list_chats(db)] == ["here before"]
    assert db.query("SELECT count(*) FROM messages") == [(2,)]
    assert search(db, "question") == []
    report = import_chats(db, broken, skip_broken=True)
    assert (report.num_added, report.broken) == (20, ("Chat 21 is broken: it loops.",))


def test_nothing_is_seen_before_all_is_there(
    db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_BATCH_MESSAGES", 4)
    other = Database(folder)

    def watched() -> Iterator[StoredChat]:
        for chat in numbered(20):
            assert reading.list_chats(other) == []
            assert search(other, "question") == []
            yield chat
        assert other.query("SELECT count(*) FROM chats")[0][0] > 10
        put_exchange(other, "meanwhile")  # a running import does not hold up a chat
        with pytest.raises(StoreError, match="Another import"):
            import_chats(other, numbered(1))

    import_chats(db, watched())
    assert len(reading.list_chats(other)) == 21
    other.close()


def test_an_import_that_died_is_taken_back(db: Database, folder: Path) -> None:
    dead = Database(folder)
    with dead.writing() as connection:
        for chat in numbered(70):
            writing.insert_chat(connection, chat, importer=dead.owner)
    dead.close()
    put_exchange(db)
    db.tidy()
    assert db.query("SELECT count(*) FROM chats") == [(1,)]


def test_times_and_pins_are_kept(db: Database) -> None:
    chat = numbered(1)[0]
    info = msgspec.structs.replace(chat.info, created_at=5.0, updated_at=9.0, is_pinned=True)
    import_chats(db, [msgspec.structs.replace(chat, info=info)])
    (listed,) = reading.list_chats(db)
    assert (listed.created_at, listed.updated_at, listed.is_pinned) == (5.0, 9.0, True)
