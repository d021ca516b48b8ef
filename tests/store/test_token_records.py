"""Records of tokens and ratings on the disk: pieces, wholes, migration, damage."""

import sqlite3
from pathlib import Path

import pytest

from chatbot.errors import StoreError
from chatbot.messages import Message
from chatbot.store import reading, writing
from chatbot.store.database import Database
from chatbot.store.schema import VERSION
from chatbot.store.token_records import copy_tokens, load_tokens, put_tokens
from chatbot.store.values import ChatInfo
from chatbot.tokens import Alternative, TokenRecord
from tests.store.helpers import message

VERSION_1 = (Path(__file__).parent / "version-1.sql").read_text("utf-8")


def record(number: int) -> TokenRecord:
    others = (Alternative(number, f" w{number}", 0.5, 0.75), Alternative(7, " é", 0.25, 0.0))
    return TokenRecord(number, f" w{number}", "text", 0.5, 0.75, 1, 1, 1.5, 0.25, others)


RECORDS = tuple(map(record, range(20)))


def put_answer(db: Database, num_records: int = 0) -> tuple[ChatInfo, Message]:
    chat = ChatInfo(title="Asked")
    question = message("Why?")
    answer = message("So.", "assistant", question)
    writing.put_message(db, chat, question)
    writing.put_message(db, chat, answer, is_being_written=True, records=RECORDS[:num_records])
    return chat, answer


def test_an_answer_that_grows_keeps_its_records_in_pieces(db: Database) -> None:
    chat, answer = put_answer(db, 3)
    for num_records in (3, 8, 20):
        records = RECORDS[:num_records]
        writing.put_message(db, chat, answer, is_being_written=True, records=records)
        assert load_tokens(db, chat.id, answer.id) == records
    assert db.query("SELECT first, num_tokens FROM token_records ORDER BY first") == [
        (0, 3),
        (3, 5),
        (8, 12),
    ]


def test_a_finished_answer_has_them_in_one_piece(db: Database) -> None:
    chat, answer = put_answer(db, 3)
    put_tokens(db, chat.id, answer.id, RECORDS)
    assert load_tokens(db, chat.id, answer.id) == RECORDS
    assert db.query("SELECT count(*) FROM token_records") == [(1,)]


def test_an_answer_without_records_has_none(db: Database) -> None:
    chat, answer = put_answer(db)
    assert load_tokens(db, chat.id, answer.id) == ()
    put_tokens(db, chat.id, "nobody", RECORDS)  # not kept, so there is nothing to belong to
    assert db.query("SELECT count(*) FROM token_records") == [(0,)]


def test_copies_of_answers_have_copies_of_the_records(db: Database) -> None:
    chat, answer = put_answer(db, 5)
    other, copy = put_answer(db)
    copy_tokens(db, chat.id, other.id, [(answer.id, copy.id)])
    assert load_tokens(db, other.id, copy.id) == RECORDS[:5]


def test_what_is_deleted_for_good_takes_its_records_along(db: Database) -> None:
    chat, answer = put_answer(db, 5)
    writing.rate_message(db, chat.id, answer.id, 1)
    db.connection.execute("DELETE FROM chats")
    assert db.query("SELECT count(*) FROM token_records") == [(0,)]
    assert db.query("SELECT count(*) FROM ratings") == [(0,)]


def test_ratings_are_loaded_with_the_chat(db: Database) -> None:
    chat, answer = put_answer(db)
    for rating, kept in ((1, {answer.id: 1}), (-1, {answer.id: -1}), (0, {})):
        writing.rate_message(db, chat.id, answer.id, rating)
        loaded = reading.load_chat(db, chat.id)
        assert loaded.ratings == kept
        writing.save_chat(db, loaded)
        assert reading.load_chat(db, chat.id).ratings == kept


def test_a_damaged_piece_is_said_to_be(db: Database) -> None:
    chat, answer = put_answer(db, 5)
    for wrong in (b"nonsense", b"x\x9c"):
        db.connection.execute("UPDATE token_records SET records = ?", (wrong,))
        with pytest.raises(StoreError, match="/regen"):
            load_tokens(db, chat.id, answer.id)


def test_the_first_version_gets_its_tables(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "chats.db") as connection:
        connection.executescript(VERSION_1)
    db = Database(folder)
    assert db.query("PRAGMA user_version") == [(VERSION,)]
    (chat,) = reading.list_chats(db)
    answer = reading.load_chat(db, chat.id).messages[1]
    put_tokens(db, chat.id, answer.id, RECORDS)
    writing.rate_message(db, chat.id, answer.id, -1)
    db.close()
    db = Database(folder)
    assert load_tokens(db, chat.id, answer.id) == RECORDS
    assert reading.load_chat(db, chat.id).ratings == {answer.id: -1}
    assert (folder / "chats-version-1.db").exists()
    db.close()


def test_a_repaired_file_has_the_records_that_can_be_read(folder: Path) -> None:
    db = Database(folder)
    chat, answer = put_answer(db, 20)
    writing.rate_message(db, chat.id, answer.id, 1)
    db.close()
    with sqlite3.connect(folder / "chats.db") as connection:
        connection.execute("DROP TABLE title_words")  # whole, but as good as damaged
    db = Database(folder)
    assert db.notices
    assert load_tokens(db, chat.id, answer.id) == RECORDS
    assert reading.load_chat(db, chat.id).ratings == {answer.id: 1}
    db.close()
