import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.messages import TextPart
from chatbot.store import writing
from chatbot.store.database import Database
from chatbot.store.searching import search
from chatbot.store.values import ChatInfo, SearchHit
from tests.store.helpers import branch, making, message, put_exchange


def texts(hits: list[SearchHit]) -> list[str]:
    return ["".join(run.text for run in hit.excerpt) for hit in hits]


def hit_words(hits: list[SearchHit]) -> list[str]:
    return [run.text for hit in hits for run in hit.excerpt if run.is_hit]


def test_words_are_found_with_their_surroundings(db: Database) -> None:
    put_exchange(db, "How do trees grow?", "Trees grow\nfrom seeds.")
    put_exchange(db, "What is tea?", "A drink.")
    hits = search(db, "seeds")
    assert texts(hits) == ["Trees grow from seeds."]
    assert hit_words(hits) == ["seeds"]
    assert hits[0].role == "assistant"
    assert hits[0].chat.title == "How do trees grow?"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("CAFE", ["Café"]),
        ("caf", ["Café"]),  # the last word may be a beginning
        ("caf ", []),  # not when it is finished
        ('"crème brûlée"', ["crème brûlée"]),
        ("brulee creme", ["crème", "brûlée"]),
        ('"brûlée crème"', []),
        ("it's", ["it's"]),
        ("AND", []),
        ("crème NOT brûlée", []),
        ("co-operate", ["co-operate"]),
        ("", []),
        ('"', []),
        ("*", []),
        ("text:Café", []),
        ("!!! café", ["Café"]),
    ],
)
def test_any_query_means_its_words(db: Database, query: str, found: list[str]) -> None:
    put_exchange(db, "x", "Café: crème brûlée; it's good to co-operate.")
    assert hit_words(search(db, query)) == found


@settings(max_examples=200)
@given(query=st.text(max_size=40) | st.text('"*(){}^:+-AND OR NEAR', max_size=20))
def test_no_query_fails(db: Database, query: str) -> None:
    search(db, query)


def test_titles_are_found_first(db: Database) -> None:
    put_exchange(db, "other", "about zebras")
    chat = put_exchange(db, "plain", "nothing")
    writing.rename_chat(db, chat.id, "Zebras and horses")
    first, second = search(db, "zebra")
    assert (first.message_id, first.chat.id) == (None, chat.id)
    assert hit_words([first]) == ["Zebras"]
    assert second.message_id
    assert [h.message_id for h in search(db, "zebra", limit=1, offset=1)] == [second.message_id]


def test_what_is_deleted_is_not_found_until_it_is_back(db: Database) -> None:
    stored = branch("apple", "banana", "cherry", "apple banana")
    writing.save_chat(db, stored)
    writing.delete_branch(db, stored.info.id, stored.messages[2].id, "d")
    assert texts(search(db, "banana")) == ["banana"]
    writing.delete_chat(db, stored.info.id)
    assert search(db, "banana") == []
    writing.restore_chat(db, stored.info.id)
    writing.restore_branch(db, "d")
    assert sorted(texts(search(db, "banana"))) == ["apple banana", "banana"]


def test_an_answer_is_found_when_it_is_finished(db: Database) -> None:
    chat, question = ChatInfo(), message("q")
    answer = message("growing words", "assistant", question)
    writing.put_message(db, chat, question)
    writing.put_message(db, chat, answer, is_being_written=True)
    assert search(db, "growing") == []
    writing.put_message(db, chat, answer)
    assert texts(search(db, "growing")) == ["growing words"]
    longer = message("changed entirely", "assistant", question, answer.id)
    writing.put_message(db, chat, longer, is_being_written=True)
    assert search(db, "growing") == []
    writing.put_message(db, chat, longer)
    assert search(db, "growing") == []
    assert texts(search(db, "entirely")) == ["changed entirely"]


def test_of_very_many_matches_the_newest_come_first(db: Database) -> None:
    writing.save_chat(db, branch(*(f"common {n}" for n in range(1500))))
    assert texts(search(db, "common", limit=2)) == ["common 1499", "common 1498"]


def test_scripts_without_spaces_are_found_anywhere(db: Database) -> None:
    put_exchange(db, "x", "我喜欢喝绿茶。" + "长" * 300)
    hits = search(db, "绿茶")
    assert hit_words(hits) == ["绿茶"]
    assert texts(hits)[0].endswith("…")


def break_index(db: Database) -> None:
    with db.writing() as connection:
        connection.execute("UPDATE message_words_data SET block = x'00ff00' WHERE id > 10")


def test_a_broken_index_is_made_anew(db: Database) -> None:
    put_exchange(db, "x", "needle here")
    break_index(db)
    assert texts(search(db, "needle")) == ["needle here"]


def test_an_index_is_made_anew_in_the_middle_of_an_answer(db: Database) -> None:
    chat = put_exchange(db, "x", "needle here")
    question = message("more")
    answer = message("early words", "assistant", question)
    writing.put_message(db, chat, question)
    writing.put_message(db, chat, answer, is_being_written=True)
    break_index(db)
    assert texts(search(db, "needle")) == ["needle here"]
    done = msgspec.structs.replace(answer, parts=(TextPart("late banana"),))
    writing.put_message(db, chat, done)
    assert search(db, "early") == []
    assert texts(search(db, "banana")) == ["late banana"]
    with db.writing() as connection:
        connection.execute(
            "INSERT INTO message_words (message_words, rank) VALUES ('integrity-check', 1)"
        )


def test_excerpts_of_imported_parts_hold_no_marks(db: Database) -> None:
    put_exchange(db, "x", "a needle in a haystack " * 50)
    for hit in search(db, "needle"):
        for run in hit.excerpt:
            assert not {"\x01", "\x02"} & set(run.text)
    assert making()
