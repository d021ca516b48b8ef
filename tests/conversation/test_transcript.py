import json
import os
import resource
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.conversation import transcript
from chatbot.conversation.tree import Conversation
from chatbot.errors import CommandError
from chatbot.messages import Making, Message, SettingChange, Statistics, TextPart
from chatbot.settings import Sampling
from chatbot.terminal_text import clean, is_safe

safe_texts = st.text(max_size=200).map(clean)
counts = st.integers(0, 2**40)
seconds = st.floats(0, 1e6)
makings = st.builds(
    Making,
    model=st.sampled_from(["smollm2-135m", "org/name"]),
    precision=st.sampled_from(["fp32", "bf16"]),
    device=st.just("cpu"),
    sampling=st.builds(
        Sampling, temperature=st.floats(0, 2), seed=st.none() | st.integers(0, 2**32)
    ),
    changes=st.lists(
        st.builds(
            SettingChange,
            offset=st.integers(0, 500),
            name=st.just("temperature"),
            old=st.just("0"),
            new=st.just("2"),
        ),
        max_size=3,
    ).map(tuple),
    finish_reason=st.sampled_from(["stop", "length", "cancelled", "error"]),
    error=st.just("") | st.just("It broke."),
    statistics=st.none()
    | st.builds(
        Statistics,
        num_prompt_tokens=counts,
        num_cached_tokens=counts,
        num_new_tokens=counts,
        first_token_seconds=seconds,
        decode_seconds=seconds,
    ),
    num_controls_removed=counts,
)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Trees of all shapes."""
    conversation = Conversation()
    ids: list[str | None] = [None]
    for index in range(draw(st.integers(0, 12))):
        is_answer = bool(draw(st.booleans()))
        message = Message(
            role="assistant" if is_answer else "user",
            parts=(TextPart(draw(safe_texts)),),
            id=f"m{index}",
            parent_id=draw(st.sampled_from(ids)),
            created_at=draw(st.floats(0, 4e9)),
            making=draw(makings) if is_answer else None,
        )
        conversation.add(message)
        ids.append(message.id)
    conversation.show(draw(st.sampled_from(ids)))
    return conversation


@given(conversation=conversations())
def test_what_is_saved_is_what_is_loaded(
    conversation: Conversation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("saved") / "chat.json"
    transcript.save(conversation, file)
    loaded = transcript.load(file)
    assert loaded.messages() == conversation.messages()
    assert loaded.active_leaf == conversation.active_leaf
    for message in conversation.messages():
        assert loaded.variants(message.id) == conversation.variants(message.id)


def message(name: str, parent: str | None = None, **fields: Any) -> dict[str, Any]:
    """A message as it stands in a file."""
    text = {"type": "text", "text": "hello"}
    return {"role": "user", "parts": [text], "id": name, "parent_id": parent, **fields}


def document(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    leaf = messages[-1]["id"] if messages else None
    return {
        "format": "chatbot-conversation",
        "version": 1,
        "active_leaf": leaf,
        "messages": list(messages),
        **fields,
    }


def write(folder: Path, content: Any) -> Path:
    file = folder / "chat.json"
    file.write_text(json.dumps(content))
    return file


def refusal_of(file: Path) -> str:
    with pytest.raises(CommandError) as refusal:
        transcript.load(file)
    sentence = str(refusal.value)
    assert is_safe(sentence)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_the_smallest_file(tmp_path: Path) -> None:
    loaded = transcript.load(write(tmp_path, document(message("a"))))
    assert [m.text for m in loaded.path()] == ["hello"]
    assert transcript.load(write(tmp_path, document())).path() == ()


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        "text",
        {"format": "something else"},
        {"format": "chatbot-conversation"},
        document(message("a"), message("a")),
        document(message("a", "nowhere")),
        document(message("a", "b"), message("b", "a")),
        document(message("a", "a")),
        document(message("a"), active_leaf="nowhere"),
        document(message("a"), active_leaf=7),
        document(message("a", role="wizard")),
        document(message("a", role="system")),
        document(message("a", parts=[{"type": "image"}])),
        document(message("a", parts="hello")),
        document(message("a", created_at="yesterday")),
        document(message("a", making={"model": 3})),
        document(message("a\x1b[2J")),
        document(message("a"), version=2),
    ],
)
def test_what_is_no_conversation_is_refused(tmp_path: Path, content: Any) -> None:
    assert "is not a conversation saved by /save: " in refusal_of(write(tmp_path, content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"\xff\xfe\x00",
        b"\x00" * 1000,
        b"[" * 200_000,
        b'{"format":"chatbot-conversation","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"format":"chatbot-conversation","active_leaf":null,"messages":[1e999]}',
    ],
)
def test_broken_files_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "chat.json"
    file.write_bytes(content)
    assert "is not a conversation saved by /save: " in refusal_of(file)


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = json.dumps(document(message("a"), message("b", "a", role="assistant"))).encode()
    file = tmp_path / "chat.json"
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        refusal_of(file)


def test_hostile_texts_are_cleaned_wherever_they_stand(tmp_path: Path) -> None:
    hostile = "x\x1b]52;c;aGFjaw==\x07\x9b2J\u202ey"
    making = {
        "model": hostile,
        "precision": hostile,
        "device": hostile,
        "sampling": {},
        "changes": [{"offset": -5, "name": hostile, "old": hostile, "new": hostile}],
        "finish_reason": "error",
        "error": hostile,
    }
    parts = [{"type": "text", "text": hostile}]
    content = document(
        message("a", parts=parts), message("b", "a", role="assistant", parts=parts, making=making)
    )
    loaded = transcript.load(write(tmp_path, content))
    question, answer = loaded.path()
    made = answer.making
    assert question.text == answer.text == "xy"
    assert made is not None
    assert {made.model, made.precision, made.device, made.error} == {"xy"}
    assert made.changes == (SettingChange(offset=0, name="xy", old="xy", new="xy"),)


def test_hostile_texts_in_an_error_are_cleaned(tmp_path: Path) -> None:
    content = document(message("a", "\x1b]0;owned\x07" + "long" * 1000))
    sentence = refusal_of(write(tmp_path, content))
    assert "owned" not in sentence
    assert len(sentence) < 1000
    file = tmp_path / "\x1b]0;owned\x07.json"
    assert "owned" not in refusal_of(file)


@pytest.mark.parametrize("name", ["none.json", "folder", "fifo", "~no-such-user/x.json", "a" * 300])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    refusal_of(Path(name) if name.startswith("~") else tmp_path / name)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs an endless file")
def test_an_endless_file_is_refused(tmp_path: Path) -> None:
    assert "no regular file" in refusal_of(Path("/dev/zero"))


def test_a_file_that_is_far_too_long_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    with file.open("wb") as out:
        out.truncate(transcript.MAX_FILE_BYTES + 1)  # takes no room on the disk
    assert "too long" in refusal_of(file)


def test_saving_never_writes_over_anything(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text("precious")
    (tmp_path / "link.json").symlink_to(tmp_path / "nowhere")
    for taken in (file, tmp_path, tmp_path / "link.json"):
        with pytest.raises(CommandError, match="exists already"):
            transcript.save(Conversation(), taken)
    assert file.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["no/such/folder/chat.json", "~no-such-user/chat.json", "a" * 300])
def test_what_cannot_be_written_is_said(tmp_path: Path, name: str) -> None:
    file = Path(name) if name.startswith("~") else tmp_path / name
    with pytest.raises(CommandError, match="cannot be written"):
        transcript.save(Conversation(), file)


def test_a_disk_that_fills_up_leaves_no_half_file(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    conversation = Conversation()
    conversation.add(Message(role="user", parts=(TextPart("word " * 100_000),)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(CommandError, match="cannot be written"):
            transcript.save(conversation, tmp_path / "chat.json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    transcript.save(Conversation(), Path("~/chat.json"))
    assert stat.S_ISREG((tmp_path / "chat.json").stat().st_mode)
    assert transcript.load(Path("~/chat.json")).path() == ()


def test_markdown_holds_the_branch_that_is_shown() -> None:
    conversation = Conversation()
    conversation.add(Message(role="user", parts=(TextPart("Hi?\n"),), id="q"))
    making = Making(model="m", precision="bf16", device="cpu", sampling=Sampling())
    for name in ("other", "Hello."):
        conversation.add(
            Message(
                role="assistant", parts=(TextPart(name),), id=name, parent_id="q", making=making
            )
        )
    assert transcript.to_markdown(conversation) == (
        "## You\n\nHi?\n\n## Assistant (m, bf16)\n\nHello.\n"
    )
    assert transcript.to_markdown(Conversation()) == ""
