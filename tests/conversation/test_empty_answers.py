"""An answer that was stopped before its first token is no variant of the others."""

import asyncio
import shutil
from pathlib import Path

import pytest

from chatbot.conversation.keeping import is_empty
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.tree import Conversation
from chatbot.conversation.variants.wishes import wish_for_seeds
from chatbot.engine.protocol.variants import VariantDelta
from chatbot.errors import StoreError
from chatbot.events import PromptBuilt, VariantsStarted
from chatbot.settings import Settings
from chatbot.store import writing
from chatbot.store.chat_store import ChatStore
from tests.conversation.building import SavedSettings, all_of, make_manager, until
from tests.conversation.fake_engine import FakeEngine

pytestmark = pytest.mark.timeout(10)


async def stopped(manager: ConversationManager, engine: FakeEngine) -> None:
    """Answer the last question once more, and stop before anything comes."""
    engine.script = ["never"]
    async for event in manager.regenerate():
        if isinstance(event, PromptBuilt):
            manager.stop()
    engine.script = ["One."]


async def test_the_answer_that_was_shown_is_shown_again_with_what_follows() -> None:
    engine = FakeEngine("One.")
    manager = make_manager(engine)
    await all_of(manager.reply("first"))
    await all_of(manager.reply("second"))
    conversation, before = manager.conversation, manager.conversation.active_leaf
    first = conversation.path()[1].id
    await all_of(manager.edit("second, in other words"))
    shown = conversation.active_leaf
    conversation.show(conversation.path()[0].id)  # as r on the first answer does
    await stopped(manager, engine)
    assert conversation.active_leaf == shown != before
    assert conversation.variants(first) == (first,)
    assert not any(is_empty(message) for message in conversation.messages())


async def test_without_another_branch_shown_all_stays_as_it_is() -> None:
    engine = FakeEngine("One.")
    manager = make_manager(engine)
    await all_of(manager.reply("first"))
    before = manager.conversation.path()
    await stopped(manager, engine)
    assert manager.conversation.path() == before


async def test_of_a_first_answer_the_line_stays_until_there_is_another() -> None:
    engine = FakeEngine(asyncio.Event(), "never")
    manager = make_manager(engine)
    turn = asyncio.create_task(all_of(manager.reply("first")))
    await until(lambda: engine.generations and engine.generations[0].is_waiting)
    manager.stop()
    await turn
    empty = manager.conversation.last("assistant")
    assert empty is not None
    assert is_empty(empty)
    await stopped(manager, engine)
    assert manager.conversation.path()[-1] == empty
    await all_of(manager.continue_answer())
    answer = manager.conversation.path()[-1]
    assert answer.text == "One."
    assert manager.conversation.variants(answer.id) == (answer.id,)


async def first_stopped(manager: ConversationManager, engine: FakeEngine) -> None:
    """Ask the first question, and stop before anything comes."""
    engine.script = ["never"]
    async for event in manager.reply("first"):
        if isinstance(event, PromptBuilt):
            manager.stop()
    engine.script = ["One."]


async def test_what_was_asked_below_an_empty_answer_stays() -> None:
    engine = FakeEngine()
    manager = make_manager(engine)
    await first_stopped(manager, engine)
    await all_of(manager.reply("second"))
    conversation, before = manager.conversation, manager.conversation.path()
    conversation.show(before[0].id)  # as r on the empty answer does
    await all_of(manager.regenerate())
    assert len(conversation.path()) == 2
    assert conversation.path(before[-1].id) == before
    assert {message.id for message in before} <= {m.id for m in conversation.messages()}


async def test_several_answers_in_the_place_of_an_empty_one_have_its_number() -> None:
    engine = FakeEngine()
    manager = make_manager(engine)
    await first_stopped(manager, engine)
    events = [e async for e in manager.answer_variously(wish_for_seeds(Settings(), 2))]
    assert isinstance(events[0], VariantsStarted)
    plans = events[0].plans
    assert [plan.number for plan in plans] == [1, 2]
    answers = manager.conversation.variants(manager.conversation.path()[-1].id)
    assert answers == tuple(plan.answer_id for plan in plans)


async def test_an_empty_one_among_several_keeps_the_numbers_of_the_others() -> None:
    def stop() -> None:
        manager.stop()

    engine = FakeEngine(VariantDelta(request_id=1, variant=1, text="b", num_tokens=1), stop)
    manager = make_manager(engine)
    wish = wish_for_seeds(Settings(), 2)
    events = [event async for event in manager.answer_variously(wish, "first")]
    assert isinstance(events[0], VariantsStarted)
    shown = manager.conversation.path()[-1]
    assert shown.text == "b"
    ids = tuple(plan.answer_id for plan in events[0].plans)
    assert manager.conversation.variants(shown.id) == ids


async def test_several_that_are_stopped_before_a_word_leave_nothing() -> None:
    engine = FakeEngine("One.")
    manager = make_manager(engine)
    await all_of(manager.reply("first"))
    before = manager.conversation.path()
    engine.script = [asyncio.Event(), "never"]

    async def answer_variously() -> None:
        async for _ in manager.answer_variously(wish_for_seeds(Settings(), 2)):
            pass

    turn = asyncio.create_task(answer_variously())
    await until(lambda: engine.variants and engine.variants.is_waiting)
    manager.stop()
    await turn
    assert manager.conversation.path() == before
    assert len(manager.conversation) == 2


async def test_nothing_of_it_is_there_after_a_restart(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "data")
    engine = FakeEngine("One.")
    manager = ConversationManager(engine, Settings(), SavedSettings(), store)
    await all_of(manager.reply("first"))
    before = manager.conversation.path()
    await stopped(manager, engine)
    await manager.settled()
    chat = await store.load_chat(manager.conversation.id)
    other = ConversationManager(engine, Settings(), SavedSettings(), store)
    other.open_stored(chat)
    assert [m.id for m in other.conversation.messages()] == [m.id for m in before]
    assert other.conversation.active_leaf == before[-1].id
    assert other.written_elsewhere == ()
    store.close()


@pytest.mark.parametrize("fails_at_once", [True, False])
async def test_nothing_of_it_comes_back_once_the_disk_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails_at_once: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("The disk is full.")

    store = ChatStore(tmp_path / "data")
    engine = FakeEngine("One.")
    manager = ConversationManager(engine, Settings(), SavedSettings(), store)
    await all_of(manager.reply("first"))
    for broken in ("delete_branch", "describe_chat")[: 1 if fails_at_once else 2]:
        with monkeypatch.context() as patch:
            if fails_at_once == (broken == "delete_branch"):
                patch.setattr(writing, broken, fail)
            if broken == "delete_branch":
                await stopped(manager, engine)
            else:
                manager.rename("lost")
            await manager.settled()
    manager.rename("kept")
    await manager.settled()
    assert manager.is_kept
    chat = await store.load_chat(manager.conversation.id)
    assert chat.info.title == "kept"
    assert len(Conversation.from_stored(chat)) == 2
    store.close()


async def test_nobody_waits_for_one_that_another_program_gave_up(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "data")
    engine = FakeEngine("One.")
    manager = ConversationManager(engine, Settings(), SavedSettings(), store)
    await all_of(manager.reply("first"))
    await stopped(manager, engine)
    await manager.settled()
    other = ChatStore(tmp_path / "data")
    chat = await other.load_chat(manager.conversation.id)
    assert chat.written_elsewhere == ()
    other.close()
    store.close()


async def test_what_was_not_begun_when_the_program_died_hides_nothing(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "data")
    engine = FakeEngine("One.")
    manager = ConversationManager(engine, Settings(), SavedSettings(), store)
    await all_of(manager.reply("first"))
    before = manager.conversation.path()
    begun, gate = asyncio.Event(), asyncio.Event()
    engine.script = [begun.set, gate, "never"]
    turn = asyncio.create_task(all_of(manager.regenerate()))
    await begun.wait()
    await manager.settled()
    running = ChatStore(tmp_path / "data")
    watching = ConversationManager(engine, Settings(), SavedSettings(), running)
    await watching.open_chat(manager.conversation.id)
    assert len(watching.conversation) == 3  # it may come yet
    running.close()
    shutil.copytree(tmp_path / "data", tmp_path / "copy")  # as a kill leaves it
    gate.set()
    await turn
    store.close()
    kept = ChatStore(tmp_path / "copy")
    other = ConversationManager(engine, Settings(), SavedSettings(), kept)
    await other.open_chat(manager.conversation.id)
    assert [m.id for m in other.conversation.path()] == [m.id for m in before]
    engine.script = ["Two."]
    await all_of(other.reply("second"))
    assert [m.content for m in engine.prompts[-1][1:]] == ["first", "One.", "second"]
    kept.close()
