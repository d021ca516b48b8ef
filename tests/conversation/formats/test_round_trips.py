"""What goes out comes back: through each format, and through the store."""

import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.conversation.formats.markdown import to_markdown
from chatbot.conversation.formats.openai_jsonl import chat_of_turns, to_openai
from chatbot.conversation.formats.own_json import to_json
from chatbot.conversation.formats.reading import read_chats
from chatbot.messages import Making, Message, Part, SettingChange, TextPart
from chatbot.settings import Sampling
from chatbot.store import reading
from chatbot.store.database import Database
from chatbot.store.importing import import_chats
from chatbot.store.values import BrokenChat, ChatInfo, StoredChat
from tests.conversation.formats.chats import chats, turns


def read(content: bytes) -> list[StoredChat]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chats"
        file.write_bytes(content)
        found = list(read_chats(file))
    good = [chat for chat in found if not isinstance(chat, BrokenChat)]
    assert len(good) == len(found), found
    return [as_own(chat) for chat in good]


def as_own(chat: StoredChat) -> StoredChat:
    """The same, its texts no longer marked as those of others, as all that is read is."""

    def own(part: Part) -> Part:
        if not isinstance(part, TextPart):
            return part
        assert part.is_foreign
        return TextPart(part.text)

    messages = (
        msgspec.structs.replace(message, parts=tuple(map(own, message.parts)))
        for message in chat.messages
    )
    return msgspec.structs.replace(chat, messages=tuple(messages))


def as_turns(chat: StoredChat) -> list[tuple[str, list[Part]]]:
    return [(message.role, list(message.parts)) for message in chat.messages]


@given(chats())
def test_our_json_loses_nothing(chat: StoredChat) -> None:
    assert read(to_json(chat)) == [chat]
    assert read(to_json(chat, pretty=True)) == [chat]


@given(st.lists(chats(), min_size=2, max_size=3))
def test_several_chats_make_one_file(several: list[StoredChat]) -> None:
    assert read(b"".join(map(to_json, several))) == several


@settings(max_examples=30)
@given(st.lists(chats(), min_size=1, max_size=3, unique_by=lambda chat: chat.info.id))
def test_the_store_loses_nothing(several: list[StoredChat]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        db = Database(Path(folder))
        assert import_chats(db, several).num_added == len(several)
        for chat in several:
            loaded = reading.load_chat(db, chat.info.id)
            info = msgspec.structs.replace(loaded.info, num_messages=0)
            assert msgspec.structs.replace(loaded, info=info) == chat
        db.close()


@given(turns(with_tools=True))
def test_openai_messages_keep_texts_and_tools(wanted: list[tuple[Any, list[Part]]]) -> None:
    chat = chat_of_turns(wanted, "x")
    line = to_openai(chat.messages)
    assert line.count(b"\n") == 1
    (back,) = read(line)
    assert as_turns(back) == wanted
    assert [read(line)[0].info.id] == [back.info.id]


@given(turns(with_tools=False))
def test_sharegpt_keeps_texts(wanted: list[tuple[Any, list[Part]]]) -> None:
    names = {"user": "human", "assistant": "gpt"}
    said = [
        {"from": names[role], "value": "".join(p.text for p in parts if isinstance(p, TextPart))}
        for role, parts in wanted
    ]
    (back,) = read(json.dumps([{"id": 7, "conversations": said}]).encode())
    assert as_turns(back) == wanted


@given(chats())
def test_chatgpt_keeps_the_tree(chat: StoredChat) -> None:
    """Texts alone, each message in a node of its own, in any order."""
    texts = [
        msgspec.structs.replace(
            message, role="user" if message.role == "user" else "assistant", making=None
        )
        for message in chat.messages
    ]
    # An answer below an answer without a branch would be joined to it.
    texts = [msgspec.structs.replace(message, role="user") for message in texts]
    mapping: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None}}
    for message in reversed(texts):
        mapping[message.id] = {
            "parent": message.parent_id or "root",
            "message": {
                "author": {"role": message.role},
                "create_time": message.created_at,
                "content": {"content_type": "text", "parts": ["t " + message.text]},
            },
        }
    if "root" in {message.id for message in texts}:
        return
    exported = {
        "title": "T" + chat.info.title,
        "conversation_id": chat.info.id,
        "mapping": mapping,
        "current_node": chat.active_leaf,
    }
    (back,) = read(json.dumps([exported]).encode())
    assert {(m.id, m.parent_id, m.text) for m in back.messages} == {
        (m.id, m.parent_id, "t " + m.text) for m in texts
    }
    if chat.active_leaf:
        assert back.active_leaf == chat.active_leaf


@given(chats())
def test_markdown_can_be_made_of_anything(chat: StoredChat) -> None:
    assert to_markdown(chat.messages, chat.info.title).count("\n## ") >= len(chat.messages) - 1


def test_a_change_comes_back_without_its_place_among_tokens_that_do_not() -> None:
    change = SettingChange(offset=4, name="top_p", old="0.9", new="0.5", num_tokens=2)
    making = Making(model="m", precision="bf16", device="cpu", sampling=Sampling())
    answer = Message(
        role="assistant",
        parts=(TextPart("Hi there"),),
        making=msgspec.structs.replace(making, changes=(change,)),
    )
    (chat,) = read(to_json(StoredChat(info=ChatInfo(), messages=(answer,))))
    assert chat.messages[0].making is not None
    assert chat.messages[0].making.changes == (msgspec.structs.replace(change, num_tokens=None),)


def test_markdown_is_for_people() -> None:
    question = Message(role="user", parts=(TextPart("Hello"),))
    answer = Message(role="assistant", parts=(TextPart("Hi\n\n```\nx\n```"),))
    assert to_markdown((question, answer), "Greeting") == (
        "# Greeting\n\n## You\n\nHello\n\n## Assistant\n\nHi\n\n```\nx\n```\n"
    )


def test_markdown_says_how_an_answer_was_made() -> None:
    change = SettingChange(offset=4, name="top_p", old="0.9", new="0.5")
    making = Making(
        model="smollm2-135m",
        precision="bf16",
        device="cpu",
        sampling=Sampling(temperature=1.5, seed=42),
        changes=(change,),
        finish_reason="cancelled",
    )
    answer = Message(role="assistant", parts=(TextPart("Hi there"),), making=making)
    assert to_markdown((answer,)) == (
        "## Assistant (smollm2-135m, bf16)\n\n"
        "*seed 42 · temperature 1.5 · top_p 0.9 → 0.5 after 4 characters · stopped*\n\nHi there\n"
    )
    plain = msgspec.structs.replace(making, sampling=Sampling(), changes=(), finish_reason="stop")
    answer = msgspec.structs.replace(answer, making=plain)
    assert to_markdown((answer,)) == "## Assistant (smollm2-135m, bf16)\n\nHi there\n"
