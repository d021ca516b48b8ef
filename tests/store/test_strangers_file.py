"""A file of chats that another wrote: nothing of it reaches the terminal as it is."""

from pathlib import Path

import msgspec
import pytest

from chatbot.messages import ToolCallPart
from chatbot.store.database import Database
from chatbot.store.reading import list_chats, load_chat
from chatbot.store.searching import search
from chatbot.terminal_text import is_safe
from tests.store.helpers import put_exchange

EVIL = "\x1b]52;c;ZXZpbA==\x07\u202ezebra\x1b[2J"
IN_JSON = b'"\\u001b]52;c;ZXZpbA==\\u0007\xe2\x80\xaezebra\\u001b[2J"'

PARTS = (
    b'[{"type":"thinking","text":EVIL},{"type":"text","text":EVIL},'
    b'{"type":"tool_call","id":EVIL,"name":EVIL,"arguments":EVIL,"raw":EVIL},'
    b'{"type":"tool_result","call_id":"c","text":EVIL},'
    b'{"type":"file","name":EVIL,"kind":EVIL,"text":EVIL},'
    b'{"type":"sources","sources":[{"title":EVIL,"location":EVIL,"text":EVIL}],"notice":EVIL}]'
).replace(b"EVIL", IN_JSON)
MAKING = b'{"model":EVIL,"precision":EVIL,"device":EVIL,"error":EVIL,"sampling":{}}'.replace(
    b"EVIL", IN_JSON
)


def spoil(folder: Path, sql: str, *values: object) -> Database:
    """The chats in ``folder`` as another wrote them, opened."""
    db = Database(folder)
    put_exchange(db)
    db.connection.execute(sql, values)
    db.close()
    return Database(folder)


def is_clean(value: object) -> bool:
    """Whether every text in the JSON of a value is safe to show."""
    match value:
        case str():
            return is_safe(value)
        case dict():
            return all(map(is_clean, value.values()))
        case list():
            return all(map(is_clean, value))
    return True


def test_texts_are_cleaned(folder: Path) -> None:
    db = spoil(folder, "UPDATE messages SET text = ?, parts = ?, making = ?", EVIL, PARTS, MAKING)
    db.connection.execute("UPDATE chats SET title = ?", (EVIL,))
    (info,) = list_chats(db)
    chat = load_chat(db, info.id)
    (call,) = (part for part in chat.messages[1].parts if isinstance(part, ToolCallPart))
    assert call.raw == EVIL  # for the prompt, which is not shown
    shown = msgspec.to_builtins(chat)
    for message in shown["messages"]:
        for part in message["parts"]:
            part.pop("raw", None)
    assert is_clean(shown)
    assert info.title == chat.messages[1].text == "zebra"
    hits = search(db, "zebra")
    assert [hit.message_id is None for hit in hits] == [True, False, False]
    assert is_clean(msgspec.to_builtins(hits))
    db.close()


def test_a_part_that_makes_no_sense_leaves_the_text(folder: Path) -> None:
    db = spoil(folder, "UPDATE messages SET text = ?, parts = x'7b', making = x'5b5d'", EVIL)
    chat = load_chat(db, list_chats(db)[0].id)
    assert [message.text for message in chat.messages] == ["zebra", "zebra"]
    assert [message.making for message in chat.messages] == [None, None]
    db.close()


def test_ids_roles_and_times_are_such(folder: Path) -> None:
    db = Database(folder)
    put_exchange(db)
    db.connection.execute(
        "UPDATE messages SET id = id || ?1, role = ?1, created_at = 9e999", (EVIL,)
    )
    leaf = "SELECT id FROM messages ORDER BY number DESC LIMIT 1"
    db.connection.execute(f"UPDATE chats SET id = id || ?, active_leaf = ({leaf})", (EVIL,))
    db.close()
    db = Database(folder)
    (info,) = list_chats(db)
    chat = load_chat(db, info.id)
    assert info.id.isalnum()
    assert chat.active_leaf == chat.messages[-1].id
    assert {message.role for message in chat.messages} == {"user"}
    assert all(0 <= message.created_at < 1e11 for message in chat.messages)
    db.close()


@pytest.mark.parametrize("seconds", ["1e300", "-1e300", "9e999"])
def test_a_time_that_is_none_is_listed(folder: Path, seconds: str) -> None:
    db = spoil(folder, f"UPDATE chats SET updated_at = {seconds}")
    assert 0 <= list_chats(db)[0].updated_at < 1e11
    db.close()
