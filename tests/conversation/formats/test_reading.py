"""Broken, huge and hostile files: a clear error or a clean import."""

import contextlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.conversation.formats import json_stream, openai_jsonl, reading
from chatbot.conversation.formats.json_stream import split_objects
from chatbot.conversation.formats.reading import read_chat, read_chats
from chatbot.errors import FormatError
from chatbot.messages import ThinkingPart, ToolCallPart, ToolResultPart
from chatbot.store.values import BrokenChat, StoredChat
from chatbot.terminal_text import is_safe


def node(role: str | None, text: str = "", parent: str | None = None, **more: Any) -> Any:
    if role is None:
        return {"message": None, "parent": parent}
    content = {"content_type": "text", "parts": [text]}
    return {
        "message": {"author": {"role": role}, "content": content, "create_time": 1.5e9, **more},
        "parent": parent,
    }


def chatgpt(mapping: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"title": "A chat", "conversation_id": "c-1", "mapping": mapping, **more}


def read(tmp_path: Path, content: Any) -> list[StoredChat | BrokenChat]:
    file = tmp_path / "file"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return list(read_chats(file))


def reason(tmp_path: Path, content: Any) -> str:
    """Why a file is refused."""
    try:
        (broken,) = read(tmp_path, content)
    except FormatError as error:
        return str(error)
    assert isinstance(broken, BrokenChat), broken
    return broken.reason


def test_a_chatgpt_export(tmp_path: Path) -> None:
    mapping = {
        "root": node(None),
        "sys": node("system", "", "root"),
        "q": node("user", "What time is it?", "sys"),
        "think": node("assistant", "hm", "q", metadata={"model_slug": "gpt-x"}),
        "call": node("assistant", "now()", "think", recipient="clock"),
        "result": node("tool", "noon", "call"),
        "a": node("assistant", "It is noon.", "result", metadata={"model_slug": "gpt-x"}),
        "a2": node("assistant", "Late.", "q"),
    }
    mapping["think"]["message"]["content"] = {
        "content_type": "thoughts",
        "thoughts": [{"summary": "Clock", "content": "ask it"}],
    }
    (chat,) = read(tmp_path, [chatgpt(mapping, current_node="a", create_time=1.4e9)])
    assert isinstance(chat, StoredChat)
    question, answer, other = chat.messages
    assert (question.text, question.parent_id) == ("What time is it?", None)
    assert [type(part) for part in answer.parts[:3]] == [ThinkingPart, ToolCallPart, ToolResultPart]
    assert answer.text == "It is noon."
    assert answer.making is not None
    assert answer.making.model == "gpt-x"
    assert other.parent_id == question.id
    assert chat.active_leaf == answer.id
    assert chat.info.title == "A chat"
    assert chat.info.created_at == 1.4e9


ROOT = "00000000-0000-4000-8000-000000000000"


def claude(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    begun = "2026-03-29T07:06:34.084721Z"
    return {"uuid": "u", "name": "A chat", "created_at": begun, "chat_messages": messages, **more}


def said(uuid: str, sender: str, parent: str = "", **more: Any) -> dict[str, Any]:
    message = {"uuid": uuid, "sender": sender, "text": "", "created_at": "2026-03-29T07:06:35Z"}
    return message | ({"parent_message_uuid": parent} if parent else {}) | more


def test_an_export_of_claude_keeps_the_tree_and_what_was_attached(tmp_path: Path) -> None:
    pasted = {"file_name": "", "file_type": "txt", "extracted_content": "a long\ntext"}
    steps = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "tool_use", "id": "t1", "name": "clock", "input": {"zone": "UTC"}},
        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "noon"}]},
        {"type": "text", "text": "It is noon."},
        {"type": "token_budget"},
    ]
    question = said("q", "human", ROOT, attachments=[pasted], files=[{"file_name": "a.png"}])
    question["content"] = [{"type": "text", "text": "What time is it?"}]
    answers = [
        said("a", "assistant", "q", content=steps),
        said("b", "assistant", "q", text="Late."),
    ]
    export = claude(question, *answers, current_leaf_message_uuid="a", model="claude-x")
    (chat,) = read(tmp_path, [export, claude(uuid="empty")])
    assert isinstance(chat, StoredChat)
    assert (chat.info.title, chat.active_leaf) == ("A chat", "a")
    asked, answer, other = chat.messages
    file, picture, text = asked.parts
    assert (file.name, file.text) == ("pasted.txt", "a long\ntext")  # type: ignore[union-attr]
    assert picture.text + text.text == "[a.png]\nWhat time is it?"  # type: ignore[union-attr]
    assert [type(part).__name__ for part in answer.parts] == [
        "ThinkingPart",
        "ToolCallPart",
        "ToolResultPart",
        "TextPart",
    ]
    assert answer.parts[1].arguments == '{"zone":"UTC"}'  # type: ignore[union-attr]
    assert answer.parts[2].text == "noon"  # type: ignore[union-attr]
    assert answer.making is not None
    assert answer.making.model == "claude-x"
    assert [m.parent_id for m in (asked, answer, other)] == [None, "q", "q"]
    assert asked.created_at == 1774767995.0


def test_an_older_export_of_claude_is_one_branch(tmp_path: Path) -> None:
    export = claude(said("q", "human", text="hello"), said("a", "assistant", text="Hi."))
    (chat,) = read(tmp_path, [export])
    assert isinstance(chat, StoredChat)
    assert [(m.text, m.parent_id) for m in chat.messages] == [("hello", None), ("Hi.", "q")]
    assert "no sender 'robot'" in reason(tmp_path, [claude(said("x", "robot"))])
    lost = claude(said("q", "human", "nowhere", text="hello"))
    assert "parent is missing" in reason(tmp_path, [lost])


@pytest.mark.parametrize("separator", [",", "\n"])
def test_messages_by_themselves_are_one_chat(tmp_path: Path, separator: str) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hi."},
    ]
    content = separator.join(json.dumps(message) for message in messages)
    (chat,) = read(tmp_path, (f"[{content}]" if separator == "," else content).encode())
    assert isinstance(chat, StoredChat)
    assert [(m.role, m.text) for m in chat.messages] == [
        ("system", "Be kind."),
        ("user", "hello"),
        ("assistant", "Hi."),
    ]
    assert chat.info.title == "hello"
    if separator == "\n":
        assert "is broken" in reason(tmp_path, content.encode() + b"\nno message\n")


def test_messages_by_themselves_are_no_more_than_a_chat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_jsonl, "MAX_OBJECT_BYTES", 100)
    messages = [{"role": "user", "content": "hello"}] * 4
    assert "too long for one chat" in reason(tmp_path, messages)


@pytest.mark.parametrize(
    ("mapping", "more", "word"),
    [
        ({"a": node("user", "x", "b"), "b": node("user", "y", "a")}, {}, "loop"),
        ({"a": node(None, parent="b"), "b": node(None, parent="a")}, {}, "loop"),
        ({"a": node("user", "x", "a")}, {}, "loop"),
        (
            {"r": node("user", "r"), "a": node("user", "x", "b"), "b": node(None, parent="a")},
            {},
            "loop",
        ),
        ({"a": node("user", "x", "nowhere")}, {}, "missing"),
        ({"a": node("wizard", "x")}, {}, "wizard"),
        ({"a": node("user", "x")}, {"current_node": "b"}, "does not have"),
        ({"a": {"message": {"author": 5}}}, {}, "mapping"),
        ({"a": node("user", "x")}, {"title": 17}, "title"),
    ],
)
def test_broken_chatgpt_exports(
    tmp_path: Path, mapping: dict[str, Any], more: dict[str, Any], word: str
) -> None:
    assert word in reason(tmp_path, [chatgpt(mapping, **more)])


def test_long_chains_and_empty_chats(tmp_path: Path) -> None:
    chain: dict[str, Any] = {"n0": node(None)}
    for number in range(1, 20_000):
        role = ("user", "assistant", None)[number % 3]
        chain[f"n{number}"] = node(role, f"m{number}", f"n{number - 1}")
    empty = chatgpt({"root": node(None)}, conversation_id="empty")
    (chat,) = read(tmp_path, [empty, chatgpt(chain, current_node="n19999")])
    assert isinstance(chat, StoredChat)
    assert len(chat.messages) == 13_332 or len(chat.messages) == 13_333


def test_escape_sequences_are_gone_everywhere(tmp_path: Path) -> None:
    evil = "\x1b]52;c;aGFjaw==\x07\x1b[2J\u202eoops\x9b31m\x00"
    own = {
        "format": "chatbot-conversation",
        "id": evil,
        "title": evil,
        "active_leaf": evil,
        "messages": [
            {
                "id": evil,
                "role": "assistant",
                "parts": [
                    {"type": "text", "text": evil},
                    {"type": "thinking", "text": evil},
                    {
                        "type": "sources",
                        "sources": [{"title": evil, "location": evil, "text": evil}],
                    },
                    {"type": "tool_call", "id": evil, "name": evil, "arguments": evil},
                    {"type": "tool_result", "call_id": evil, "text": evil},
                    {"type": "image", "media_type": evil, "data": ""},
                ],
                "making": {
                    "model": evil,
                    "precision": evil,
                    "device": evil,
                    "sampling": {},
                    "error": evil,
                    "changes": [{"offset": 0, "name": evil, "old": evil, "new": evil}],
                },
            }
        ],
    }
    messages = [{"role": "user", "content": evil}, {"role": "assistant", "content": evil}]
    for content in (
        own,
        {"messages": messages},
        [{"id": evil, "title": evil, "conversations": [{"from": "human", "value": evil}]}],
        [chatgpt({evil: node("user", evil)}, title=evil, conversation_id=evil)],
    ):
        (chat,) = read(tmp_path, content)
        assert isinstance(chat, StoredChat), chat
        for text in all_texts(chat):
            assert is_safe(text)
            assert "\x1b" not in text
        assert "oops" in chat.messages[0].text


def all_texts(value: Any) -> list[str]:
    import msgspec

    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple):
        return [text for item in value for text in all_texts(item)]
    if isinstance(value, dict):
        return [text for item in value.values() for text in all_texts(item)]
    if isinstance(value, msgspec.Struct):
        return all_texts(msgspec.to_builtins(value))
    return []


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"   \n", "empty"),
        (b"hello", "not a list of chats"),
        (b"17", "not a list of chats"),
        (b"[1, 2]", "not a list of chats"),
        (b'[{"messages": [{"role": "user", "content": "x"}]} {}]', "not a list of chats"),
        (b'[{"messages": []},]', "not a list of chats"),
        (b'{"messages": [{"role": "user"', "breaks off"),
        (b'[{"messages": []}', "breaks off"),
        (b'[{"messages": []}] x', "follows after"),
        (b'{"nothing": "known"}', "format is not known"),
        (b'{"messages": [}}', "not JSON"),
        (b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}', "not JSON"),
        (b'{"messages": [{"role": "pirate", "content": "x"}]}', "pirate"),
        (b'{"messages": [{"role": "user", "content": 5}]}', "content"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "JSON"),
        (b'[{"conversations": [{"from": "martian", "value": "x"}]}]', "martian"),
        (b'{"format": "chatbot-conversation", "messages": []}', "active_leaf"),
    ],
)
def test_broken_files_are_refused_with_a_reason(tmp_path: Path, content: bytes, word: str) -> None:
    assert word in reason(tmp_path, content)


def test_a_line_that_is_no_object_is_one_broken_chat_among_others(tmp_path: Path) -> None:
    good = b'{"messages": [{"role": "user", "content": "x"}]}\n'
    line = b"oops " * 300_000
    first, broken, last, end = read(tmp_path, good + line + b"\n" + good + b"oops")
    assert isinstance(first, StoredChat)
    assert isinstance(last, StoredChat)
    assert isinstance(broken, BrokenChat)
    assert broken.reason.startswith("Chat 2 is broken: ")
    assert isinstance(end, BrokenChat)


def own_json(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": "chatbot-conversation", "active_leaf": None, "messages": messages, **more}


def test_trees_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    def said(key: str, parent: str | None) -> dict[str, Any]:
        return {"id": key, "parent_id": parent, "role": "user", "parts": []}

    assert "one id" in reason(tmp_path, own_json(said("a", None), said("a", None)))
    assert "missing" in reason(tmp_path, own_json(said("a", "b")))
    assert "loop" in reason(tmp_path, own_json(said("a", "b"), said("b", "a")))
    assert "refers" in reason(tmp_path, own_json(said("a", None), active_leaf="b"))
    (chat,) = read(tmp_path, own_json(said("b", "a"), said("a", None)))
    assert isinstance(chat, StoredChat)
    assert [message.id for message in chat.messages] == ["a", "b"]


def test_a_saved_file_of_the_first_version_is_read(tmp_path: Path) -> None:
    first = own_json(
        {"id": "a", "role": "user", "parts": [{"type": "text", "text": "q"}], "created_at": 1e9},
        version=1,
        active_leaf="a",
    )
    chats = [read(tmp_path, first)[0] for _ in range(2)]
    assert chats[0] == chats[1]


def test_only_one_chat_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "two"
    line = json.dumps({"messages": [{"role": "user", "content": "x"}]})
    file.write_text(f"{line}\n{line}\n")
    with pytest.raises(FormatError, match="several"):
        read_chat(file)
    with pytest.raises(FormatError, match="cannot be read"):
        read_chat(tmp_path / "none")
    with pytest.raises(FormatError, match="cannot be read"):
        read_chat(tmp_path)


def zipped(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = json.dumps([chatgpt({"a": node("user", "hello")})]).encode()
    (chat,) = read(tmp_path, zipped({"chat.html": b"x", "conversations.json": export}))
    assert isinstance(chat, StoredChat)
    assert "no conversations.json" in reason(tmp_path, zipped({"x": b"y"}))
    bomb = b"[" + b" " * 50_000_000 + export[1:]
    assert "unpacks to more" in reason(tmp_path, zipped({"conversations.json": bomb}))
    good = zipped({"conversations.json": export})
    assert "broken archive" in reason(tmp_path, good[:-30])
    assert "broken archive" in reason(tmp_path, good[:50] + bytes(10) + good[60:])
    monkeypatch.setattr(reading, "MAX_ENTRIES", 1)
    assert "more than 1 files" in reason(tmp_path, zipped({"a": b"", "b": b""}))


def test_an_archive_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"conversations.json": b"[" + b" " * 50_000_000}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.find(signature) + offset
        content[at : at + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(FormatError):
        read(tmp_path, bytes(content))


def test_an_object_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "MAX_OBJECT_BYTES", 1000)
    monkeypatch.setattr(json_stream, "_CHUNK", 500)
    assert "too long" in reason(tmp_path, {"messages": [{"role": "user", "content": "x" * 5000}]})


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text('"\\{}[], \n\u20ac'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('"\\{}ab'), inner),
    max_leaves=8,
)
objects = st.dictionaries(st.text('"\\{}[]ab', max_size=4), json_values, max_size=4)


@settings(max_examples=100)
@given(st.lists(objects, max_size=5), st.integers(1, 40), st.booleans(), st.sampled_from([None, 1]))
def test_objects_are_cut_where_they_end(
    wanted: list[dict[str, Any]], chunk: int, is_array: bool, indent: int | None
) -> None:
    if is_array:
        content = json.dumps(wanted, indent=indent)
    else:
        content = "\n".join(json.dumps(value, indent=indent) for value in wanted)
    if not content:
        return
    found = list(split_objects(_Slow(content.encode(), chunk)))
    assert [json.loads(raw) for raw in found] == wanted


class _Slow(io.BytesIO):
    """Gives no more than a few bytes at a time."""

    def __init__(self, content: bytes, chunk: int) -> None:
        super().__init__(content)
        self._chunk = chunk

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._chunk)


@settings(max_examples=100)
@given(st.binary(max_size=60) | st.text('{}[]",:\\ a1', max_size=40).map(str.encode))
def test_any_bytes_end_well_or_with_a_reason(content: bytes) -> None:
    with contextlib.suppress(FormatError):
        list(split_objects(io.BytesIO(content)))
