import time
from pathlib import Path

import msgspec
import pytest

from chatbot.errors import StoreError
from chatbot.messages import (
    ImagePart,
    Source,
    SourcesPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from chatbot.store import reading, writing
from chatbot.store.database import KEEP_DELETED_SECONDS, Database
from chatbot.store.values import ChatInfo
from tests.store.helpers import branch, making, message, put_exchange


def test_what_is_put_is_loaded_again(db: Database) -> None:
    chat = ChatInfo(title="Parts")
    parts = (
        ThinkingPart("hm"),
        TextPart("one"),
        ToolCallPart(id="c1", name="clock", arguments="{}"),
        ToolResultPart(call_id="c1", text="noon", is_error=True),
        SourcesPart((Source(title="T", location="a.md:1", text="passage"),)),
        ImagePart(media_type="image/png", data=b"\x00\xff"),
        TextPart("two"),
    )
    question = message("q")
    answer = msgspec.structs.replace(message("", "assistant", question), parts=parts)
    writing.put_message(db, chat, question)
    writing.put_message(db, chat, answer)
    loaded = reading.load_chat(db, chat.id)
    assert loaded.messages == (question, answer)
    assert loaded.active_leaf == answer.id
    assert loaded.info.title == "Parts"
    assert answer.text == "onetwo"


def test_a_chat_is_made_with_its_first_message(db: Database) -> None:
    assert reading.list_chats(db) == []
    writing.describe_chat(db, ChatInfo(title="never said anything"))
    assert reading.latest_chat(db) is None
    chat = put_exchange(db)
    assert [c.id for c in reading.list_chats(db)] == [chat.id]
    assert reading.list_chats(db)[0].num_messages == 2


def test_a_child_without_its_parent_is_refused(db: Database) -> None:
    lost = message("never kept")
    with pytest.raises(StoreError, match="message before it"):
        writing.put_message(db, ChatInfo(), message("a", "assistant", lost))
    assert reading.list_chats(db) == []


def test_pinned_chats_come_first_then_the_latest(db: Database) -> None:
    chats = [put_exchange(db, f"chat {n}") for n in range(5)]
    writing.pin_chat(db, chats[1].id, True)
    titles = [chat.title for chat in reading.list_chats(db)]
    assert titles == ["chat 1", "chat 4", "chat 3", "chat 2", "chat 0"]
    assert [c.title for c in reading.list_chats(db, limit=2, offset=1)] == ["chat 4", "chat 3"]
    assert reading.latest_chat(db) == chats[4].id


def test_a_deleted_chat_comes_back(db: Database) -> None:
    chat = put_exchange(db)
    writing.delete_chat(db, chat.id)
    assert reading.list_chats(db) == []
    assert reading.latest_chat(db) is None
    assert [c.id for c in reading.list_deleted(db)] == [chat.id]
    writing.restore_chat(db, chat.id)
    assert len(reading.load_chat(db, chat.id).messages) == 2
    assert len(reading.list_chats(db)) == 1


def test_a_message_that_comes_after_brings_a_deleted_chat_back(db: Database) -> None:
    chat = put_exchange(db)
    last = reading.load_chat(db, chat.id).messages[-1]
    writing.delete_chat(db, chat.id)
    writing.put_message(db, chat, message("more", "user", last))
    assert len(reading.list_chats(db)) == 1


def test_a_deleted_branch_comes_back(db: Database) -> None:
    stored = branch("q1", "a1", "q2", "a2")
    writing.save_chat(db, stored)
    writing.delete_branch(db, stored.info.id, stored.messages[2].id, "d1")
    loaded = reading.load_chat(db, stored.info.id)
    assert loaded.deletions[0].message_ids == (stored.messages[2].id, stored.messages[3].id)
    assert loaded.active_leaf == stored.messages[1].id
    assert loaded.info.num_messages == 2
    writing.restore_branch(db, "d1")
    assert reading.load_chat(db, stored.info.id).deletions == ()


def test_what_is_said_below_a_deleted_message_brings_it_back(db: Database) -> None:
    stored = branch("q1", "a1", "q2", "a2")
    writing.save_chat(db, stored)
    writing.delete_branch(db, stored.info.id, stored.messages[1].id, "d1")
    writing.put_message(db, stored.info, message("q3", "user", stored.messages[1]))
    loaded = reading.load_chat(db, stored.info.id)
    gone = {key for deletion in loaded.deletions for key in deletion.message_ids}
    assert gone == {stored.messages[2].id, stored.messages[3].id}


def test_what_was_deleted_long_ago_is_purged(db: Database, folder: Path) -> None:
    old, recent = put_exchange(db, "old"), put_exchange(db, "recent")
    deep = branch(*(f"m{n}" for n in range(2500)))  # deeper than SQLite cascades
    writing.save_chat(db, deep)
    writing.delete_chat(db, old.id)
    writing.delete_chat(db, recent.id)
    writing.delete_branch(db, deep.info.id, deep.messages[1].id, "d")
    long_ago = time.time() - KEEP_DELETED_SECONDS - 60
    with db.writing() as connection:
        connection.execute("UPDATE chats SET deleted_at = ? WHERE id = ?", (long_ago, old.id))
        connection.execute("UPDATE messages SET deleted_at = ? WHERE deletion = 'd'", (long_ago,))
    again = Database(folder)
    assert [c.title for c in reading.list_deleted(again)] == ["recent"]
    assert len(reading.load_chat(again, deep.info.id).messages) == 1
    again.close()


def purge(db: Database, folder: Path) -> Database:
    """The file as a program opens it long after everything was deleted that is."""
    with db.writing() as connection:
        for table in ("chats", "messages"):
            connection.execute(f"UPDATE {table} SET deleted_at = 1 WHERE deleted_at IS NOT NULL")
    return Database(folder)


def test_a_branch_with_something_alive_far_below_is_kept(db: Database, folder: Path) -> None:
    stored = branch("q1", "a1", "q2", "a2")
    writing.save_chat(db, stored)
    ids = [message.id for message in stored.messages]
    # One program deletes the end, another one all, and the first takes its deletion back.
    writing.delete_branch(db, stored.info.id, ids[3], "d1")
    writing.delete_branch(db, stored.info.id, ids[1], "d2")
    writing.put_message(db, stored.info, message("other", "assistant", stored.messages[0]))
    other = reading.load_chat(db, stored.info.id).messages[-1].id
    writing.delete_branch(db, stored.info.id, other, "d3")
    writing.restore_branch(db, "d1")
    gone = put_exchange(db)
    writing.delete_chat(db, gone.id)
    again = purge(db, folder)
    assert [m.id for m in reading.load_chat(again, stored.info.id).messages] == ids
    assert reading.list_deleted(again) == []
    again.close()


def test_chats_are_purged_whatever_holds_messages_back(db: Database, folder: Path) -> None:
    stored = branch("q1", "a1")
    writing.save_chat(db, stored)
    writing.delete_branch(db, stored.info.id, stored.messages[1].id, "d")
    gone = put_exchange(db)
    writing.delete_chat(db, gone.id)
    with db.writing() as connection:
        connection.execute(
            "CREATE TRIGGER held BEFORE DELETE ON messages WHEN old.deletion = 'd' BEGIN"
            "  SELECT raise(ABORT, 'held back'); END"
        )
    again = purge(db, folder)
    assert reading.list_deleted(again) == []
    assert len(reading.load_chat(again, stored.info.id).messages) == 2
    again.close()


def test_ids_are_found_by_their_beginning(db: Database) -> None:
    for key in ("abc1", "abc2", "xyz", "x_z", "100%"):
        put_exchange(db)
        writing.save_chat(db, branch("q", "a", id=key))
    assert reading.find_chat(db, "xy") == "xyz"
    assert reading.find_chat(db, "x_") == "x_z"
    assert reading.find_chat(db, "abc2") == "abc2"
    for wrong, reason in (("abc", "Several"), ("nope", "no chat"), ("%", "no chat"), ("", "no")):
        with pytest.raises(StoreError, match=reason):
            reading.find_chat(db, wrong)


def test_the_branch_that_is_shown_is_kept(db: Database) -> None:
    stored = branch("q1", "a1", "q2", "a2")
    writing.save_chat(db, stored)
    assert reading.load_chat(db, stored.info.id).active_leaf == stored.messages[3].id
    for leaf in (stored.messages[1].id, None):
        writing.show_branch(db, stored.info.id, leaf)
        assert reading.load_chat(db, stored.info.id).active_leaf == leaf


def test_a_whole_chat_is_brought_up_to_date(db: Database) -> None:
    stored = branch("q1", "a1", "q2")
    writing.put_message(db, stored.info, stored.messages[0])
    renamed = msgspec.structs.replace(stored.info, title="New", is_pinned=True)
    wanted = msgspec.structs.replace(
        stored, info=renamed, pinned=(stored.messages[1].id,), active_leaf=stored.messages[1].id
    )
    writing.save_chat(db, wanted)
    writing.save_chat(db, wanted)
    loaded = reading.load_chat(db, stored.info.id)
    assert loaded.messages == stored.messages
    assert loaded.pinned == wanted.pinned
    assert loaded.active_leaf == wanted.active_leaf
    assert (loaded.info.title, loaded.info.is_pinned) == ("New", True)


def test_pins_of_messages_are_kept(db: Database) -> None:
    stored = branch("q", "a")
    writing.save_chat(db, stored)
    writing.pin_message(db, stored.info.id, stored.messages[0].id, True)
    assert reading.load_chat(db, stored.info.id).pinned == (stored.messages[0].id,)
    writing.pin_message(db, stored.info.id, stored.messages[0].id, False)
    assert reading.load_chat(db, stored.info.id).pinned == ()


def test_an_answer_in_the_making_is_this_programs_own(db: Database) -> None:
    chat = ChatInfo()
    question = message("q")
    answer = msgspec.structs.replace(
        message("par", "assistant", question), making=making("interrupted")
    )
    writing.put_message(db, chat, question)
    writing.put_message(db, chat, answer, is_being_written=True)
    assert reading.load_chat(db, chat.id).written_elsewhere == ()
    done = msgspec.structs.replace(answer, parts=(TextPart("partly"),), making=making())
    writing.put_message(db, chat, done)
    assert reading.load_chat(db, chat.id).messages[-1] == done


@pytest.mark.parametrize("verb", [writing.delete_chat, writing.restore_chat, reading.load_chat])
def test_a_chat_that_is_not_there_is_an_error(db: Database, verb: object) -> None:
    with pytest.raises(StoreError, match="no chat"):
        verb(db, "nothing")  # type: ignore[operator]
