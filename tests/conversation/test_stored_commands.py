"""The slash commands that concern the stored chats."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chatbot.conversation.commands import run_command
from chatbot.conversation.manager import ConversationManager
from chatbot.errors import CommandError, StoreError
from chatbot.settings import Settings
from chatbot.store.chat_store import ChatStore
from tests.conversation.building import all_of
from tests.conversation.fake_engine import FakeEngine
from tests.conversation.test_commands import FakeFace


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[FakeFace]:
    """One question was answered, and is kept."""
    store = ChatStore(tmp_path)
    engine = FakeEngine("An answer.")
    face = FakeFace(ConversationManager(engine, Settings(), lambda *_: None, store))
    await all_of(face.manager.reply("Where is the lighthouse?"))
    await face.manager.settled()
    yield face
    store.close()


async def test_chats_lists_and_searches(face: FakeFace) -> None:
    await run_command(face, "/chats")
    assert "Where is the lighthouse?" in face.notes[0]
    await run_command(face, "/chats lighthouse")
    assert "**lighthouse**" in face.notes[1]
    await run_command(face, "/chats nonsense")
    assert face.notes[2] == "No chat matches."


async def test_rename_pin_and_open(face: FakeFace) -> None:
    chat_id = face.manager.conversation.id
    await run_command(face, "/rename The sea")
    await run_command(face, "/pin")
    await face.manager.settled()
    await run_command(face, "/new")
    await run_command(face, "/chats")
    assert "The sea" in face.notes[-1]
    assert "pinned" in face.notes[-1]
    await run_command(face, f"/open {chat_id[:8]}")
    assert face.texts == ["Where is the lighthouse?", "An answer."]
    with pytest.raises(CommandError, match="/chats lists them"):
        await run_command(face, "/open")


async def test_delete_and_undo(face: FakeFace) -> None:
    await run_command(face, "/delete")
    assert face.texts == []
    await run_command(face, "/undo")
    assert face.texts == ["Where is the lighthouse?", "An answer."]


async def test_fork_begins_a_chat_with_the_same_messages(face: FakeFace) -> None:
    before = face.manager.conversation.id
    await run_command(face, "/fork")
    assert face.manager.conversation.id != before
    assert face.texts == ["Where is the lighthouse?", "An answer."]


async def test_continue_refuses_a_whole_answer(face: FakeFace) -> None:
    with pytest.raises(CommandError, match="came to its end"):
        await run_command(face, "/continue")


async def test_without_a_store_the_commands_say_so() -> None:
    face = FakeFace()
    with pytest.raises(StoreError, match="not kept"):
        await run_command(face, "/chats")
