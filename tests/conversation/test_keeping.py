"""Conversations and their way to the disk, with an engine that says what it is told to."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from chatbot.config import Config
from chatbot.conversation.manager import ConversationManager
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.errors import CommandError, StoreError
from chatbot.events import TextDelta, TurnEvent, TurnFinished, TurnStarted
from chatbot.messages import Message, TextPart, ThinkingPart
from chatbot.paths import data_dir
from chatbot.session import Session
from chatbot.settings import Settings
from chatbot.store import token_records, writing
from chatbot.store.chat_store import ChatStore
from chatbot.store.database import Database
from chatbot.store.values import StoredChat
from tests.conversation.told_engine import FakeEngine


def echo(messages: Sequence[ChatMessage]) -> list[str]:
    return ["You ", "said ", messages[-1].content, "."]


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[ChatStore]:
    chats = ChatStore(tmp_path / "data")
    yield chats
    chats.close()


def manager_of(store: ChatStore | None, engine: FakeEngine | None = None) -> ConversationManager:
    return ConversationManager(engine or FakeEngine(echo), Settings(), lambda *_: None, store)


async def run(events: AsyncGenerator[TurnEvent]) -> Message:
    answer: Message | None = None
    async for event in events:
        if isinstance(event, TurnFinished):
            answer = event.answer
    assert answer is not None
    return answer


async def reopened(manager: ConversationManager, store: ChatStore) -> ConversationManager:
    """Another manager on what is on the disk of the first one's chat."""
    await manager.settled()
    other = manager_of(store)
    await other.open_chat(manager.conversation.id)
    return other


def shape(manager: ConversationManager) -> tuple[object, ...]:
    conversation = manager.conversation
    return (
        conversation.messages(),
        conversation.active_leaf,
        conversation.title,
        conversation.is_pinned,
        conversation.pinned,
    )


async def test_all_variants_are_there_after_a_restart(store: ChatStore) -> None:
    manager = manager_of(store)
    first = await run(manager.reply("first"))
    for _ in range(3):
        await run(manager.regenerate())
    await run(manager.reply("second"))
    manager.conversation.show(manager.conversation.path()[1].id)
    await run(manager.edit("first, in other words"))
    manager.conversation.show(first.id)
    manager.conversation.pin(True)
    manager.conversation.pin_message(first.id, True)
    other = await reopened(manager, store)
    assert shape(other) == shape(manager)
    assert len(other.conversation.variants(first.id)) == 4
    assert len(other.conversation.variants(first.parent_id or "")) == 2


async def test_the_size_of_a_thought_is_there_after_a_restart(store: ChatStore) -> None:
    manager = manager_of(store)
    answer = await run(manager.reply("first"))
    thought = ThinkingPart("Hm.", num_tokens=412, seconds=6.25, is_cut=True)
    manager.conversation.replace(msgspec.structs.replace(answer, parts=(thought, *answer.parts)))
    other = await reopened(manager, store)
    assert other.conversation[answer.id].parts == (thought, *answer.parts)


async def test_the_question_is_kept_before_the_engine_is_asked(
    store: ChatStore, tmp_path: Path
) -> None:
    engine = FakeEngine(echo)
    manager = manager_of(store, engine)
    seen: list[list[str]] = []

    def answer(messages: Sequence[ChatMessage]) -> list[str]:
        with_database = Database(tmp_path / "data")
        seen.append([row[0] for row in with_database.query("SELECT text FROM messages")])
        with_database.close()
        return ["Yes."]

    engine._answer = answer
    await run(manager.reply("is it there?"))
    assert seen == [["is it there?", ""]]


async def test_what_is_shown_is_on_the_disk_half_a_second_later(
    store: ChatStore, tmp_path: Path
) -> None:
    manager = manager_of(store, FakeEngine(lambda _: ["word "] * 200, seconds=0.01))
    reader = Database(tmp_path / "data")
    loop = asyncio.get_running_loop()
    shown: list[tuple[float, int]] = []
    length = 0
    async for event in manager.reply("go"):
        if isinstance(event, TextDelta):
            length += len(event.text)
            shown.append((loop.time(), length))
            kept = reader.query("SELECT length(text) FROM messages WHERE role = 'assistant'")
            due = max((n for at, n in shown if at <= loop.time() - 0.5), default=0)
            assert kept[0][0] >= due
    reader.close()


async def test_an_interrupted_answer_is_marked_and_continued(
    store: ChatStore, tmp_path: Path
) -> None:
    manager = manager_of(store, FakeEngine(lambda _: ["Half a sen"] + [""] * 10_000, seconds=0.001))
    turn = manager.reply("go")
    async for event in turn:
        if isinstance(event, TextDelta):
            break
    await asyncio.sleep(0.4)
    copy = tmp_path / "copy"
    copy.mkdir()
    # What another program would find if this one died now.
    (copy / "chats.db").write_bytes((tmp_path / "data" / "chats.db").read_bytes())
    manager.stop()
    await turn.aclose()

    after = ChatStore(copy)
    engine = FakeEngine(lambda _: ["tence."])
    other = manager_of(after, engine)
    await other.open_chat(manager.conversation.id)
    cut = other.conversation.path()[-1]
    assert cut.making is not None
    assert (cut.text, cut.making.finish_reason) == ("Half a sen", "interrupted")
    events = [event async for event in other.continue_answer()]
    started = [event for event in events if isinstance(event, TurnStarted)]
    assert [(e.answer_id, e.text_so_far) for e in started] == [(cut.id, "Half a sen")]
    whole = other.conversation[cut.id]
    assert whole.making is not None
    assert (whole.text, whole.making.finish_reason) == ("Half a sentence.", "stop")
    asked, continues = engine.asked[0]
    assert continues
    assert asked[-1] == ChatMessage("assistant", "Half a sen")
    again = await reopened(other, after)
    assert again.conversation[cut.id] == whole
    after.close()


async def test_an_answer_of_a_running_program_is_not_interrupted(
    store: ChatStore, tmp_path: Path
) -> None:
    manager = manager_of(store, FakeEngine(lambda _: ["word "] * 100, seconds=0.01))
    second = ChatStore(tmp_path / "data")
    async for event in manager.reply("go"):
        if isinstance(event, TextDelta) and event.num_tokens == 1:
            other = manager_of(second)
            await other.open_chat(manager.conversation.id)
            (writing,) = other.written_elsewhere
            assert other.conversation.active_leaf == writing
            with pytest.raises(CommandError, match="Another running chatbot"):
                await run(other.continue_answer())
    await manager.settled()
    await other.open_chat(manager.conversation.id)
    assert other.written_elsewhere == ()
    assert shape(other)[:2] == shape(manager)[:2]
    second.close()


class TwoPrograms:
    """Both have a chat open whose answer, ``One, ``, was cut off."""

    def __init__(self, store: ChatStore, other_store: ChatStore) -> None:
        self.engine = FakeEngine(lambda _: ["One, "])
        self.engine.reason = "length"
        self.first = manager_of(store, self.engine)
        self.other_store = other_store
        self.second = manager_of(other_store, FakeEngine(lambda _: ["three."]))

    async def begin(self) -> Message:
        answer = await run(self.first.reply("count"))
        await self.first.settled()
        await self.second.open_chat(self.first.conversation.id)
        return answer


@pytest.fixture
def two(store: ChatStore, tmp_path: Path) -> Iterator[TwoPrograms]:
    other_store = ChatStore(tmp_path / "data")
    yield TwoPrograms(store, other_store)
    other_store.close()


async def test_what_another_program_went_on_with_is_gone_on_with(two: TwoPrograms) -> None:
    """Neither may write over what the other wrote since."""
    cut = await two.begin()
    first, second, engine = two.first, two.second, two.engine
    engine._answer = lambda _: ["two, "]
    assert (await run(first.continue_answer())).text == "One, two, "
    await first.settled()
    events = [event async for event in second.continue_answer()]
    (started,) = [event for event in events if isinstance(event, TurnStarted)]
    assert started.text_so_far == "One, two, "
    assert second.conversation[cut.id].text == "One, two, three."
    await second.settled()
    # It came to its end in the other program, which is known here by now too.
    with pytest.raises(CommandError, match="came to its end"):
        await run(first.continue_answer())
    assert first.conversation[cut.id].text == "One, two, three."


async def test_what_another_program_is_going_on_with_is_left_alone(two: TwoPrograms) -> None:
    cut = await two.begin()
    first, second, engine = two.first, two.second, two.engine
    engine._answer = lambda _: ["two, ", "three."]
    async for event in first.continue_answer():
        if not isinstance(event, TextDelta):
            continue
        for _ in range(2):  # the first time is not to open the way for the second
            with pytest.raises(CommandError, match="Another running chatbot"):
                await run(second.continue_answer())
            await second.settled()
            kept = await two.other_store.load_chat(first.conversation.id)
            assert kept.written_elsewhere == (cut.id,)
        with pytest.raises(CommandError, match="stop it first"):
            await run(first.continue_answer())
    assert first.conversation[cut.id].text == "One, two, three."


async def test_words_that_did_not_get_to_the_disk_are_gone_on_with(
    two: TwoPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two.begin()
    manager, engine = two.first, two.engine

    def full(*_: object, **__: object) -> None:
        raise StoreError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(writing, "put_message", full)
        engine._answer = lambda _: ["two, "]
        await run(manager.continue_answer())
        engine._answer = lambda _: ["three."]
        assert (await run(manager.continue_answer())).text == "One, two, three."


async def test_another_chat_that_is_opened_while_the_disk_is_looked_at_stays(
    two: TwoPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two.begin()
    manager = two.first
    load = manager.store.load_chat  # type: ignore[union-attr]

    async def load_slowly(chat_id: str) -> StoredChat:
        chat = await load(chat_id)
        manager.new_chat()
        return chat

    monkeypatch.setattr(manager.store, "load_chat", load_slowly)
    with pytest.raises(CommandError, match="Another chat was opened meanwhile"):
        await run(manager.continue_answer())
    assert not len(manager.conversation)


async def test_only_an_answer_that_was_cut_off_can_be_continued(store: ChatStore) -> None:
    manager = manager_of(store)
    with pytest.raises(CommandError, match="no answer"):
        await run(manager.continue_answer())
    await run(manager.reply("hello"))
    with pytest.raises(CommandError, match="came to its end"):
        await run(manager.continue_answer())


async def test_an_answer_without_a_word_is_made_once_more(store: ChatStore) -> None:
    engine = FakeEngine(lambda _: ["<dies>"])
    manager = manager_of(store, engine)
    empty = await run(manager.reply("hello"))
    engine._answer = echo
    answer = await run(manager.continue_answer())
    assert (answer.text, engine.asked[-1][1]) == ("You said hello.", False)
    assert len(manager.conversation.variants(empty.id)) == 2


async def test_deleted_messages_come_back_also_after_a_restart(store: ChatStore) -> None:
    manager = manager_of(store)
    first = await run(manager.reply("first"))
    second = await run(manager.reply("second"))
    manager.delete_message(second.parent_id or "")
    assert manager.conversation.active_leaf == first.id
    other = await reopened(manager, store)
    assert shape(other) == shape(manager)
    assert len(other.conversation) == 2
    assert other.conversation.restore() is not None
    again = await reopened(other, store)
    assert again.conversation.active_leaf == second.id
    assert await manager.undo_deletion()
    assert not await manager.undo_deletion()


async def test_a_deleted_variant_gives_way_to_its_neighbour(store: ChatStore) -> None:
    manager = manager_of(store)
    first = await run(manager.reply("q"))
    second = await run(manager.regenerate())
    manager.delete_message(second.id)
    assert manager.conversation.active_leaf == first.id
    manager.delete_message(first.id)
    assert manager.conversation.active_leaf == first.parent_id


async def test_a_deleted_chat_comes_back(store: ChatStore) -> None:
    manager = manager_of(store)
    await run(manager.reply("precious"))
    chat_id = manager.conversation.id
    await manager.delete_chat()
    assert len(manager.conversation) == 0
    assert await store.list_chats() == []
    assert await manager.undo_deletion()
    assert manager.conversation.id == chat_id
    assert [chat.title for chat in await store.list_chats()] == ["precious"]


async def test_a_fork_is_a_chat_of_its_own(store: ChatStore) -> None:
    manager = manager_of(store)
    first = await run(manager.reply("first"))
    await run(manager.reply("second"))
    original = manager.conversation.id
    manager.fork(first.id)
    await run(manager.reply("elsewhere"))
    assert manager.conversation.id != original
    other = await reopened(manager, store)
    assert [m.text for m in other.conversation.path() if m.role == "user"] == ["first", "elsewhere"]
    assert len((await store.load_chat(original)).messages) == 4


async def test_titles_come_from_the_question_until_the_user_gives_one(store: ChatStore) -> None:
    manager = manager_of(store)
    await run(manager.reply("# What *is* a tree?\nTell me."))
    assert manager.conversation.title == "What is a tree?"
    manager.rename("Trees")
    await run(manager.reply("and a bush?"))
    await manager.settled()
    assert [chat.title for chat in await store.list_chats()] == ["Trees"]
    with pytest.raises(CommandError):
        manager.rename(" \x1b[2J ")


async def test_a_store_that_fails_loses_nothing_and_catches_up(tmp_path: Path) -> None:
    blocked = tmp_path / "data"
    blocked.write_text("a file where the folder should be")
    store = ChatStore(blocked)
    manager = manager_of(store)
    problems: list[str] = []
    manager.on_problem(problems.append)
    await run(manager.reply("one"))
    await run(manager.regenerate())
    await manager.settled()
    await asyncio.sleep(0.05)
    assert len(manager.conversation) == 3
    assert len(problems) == 1
    assert "not being saved" in problems[0]
    blocked.unlink()
    await run(manager.reply("two"))
    await manager.settled()
    await asyncio.sleep(0.05)
    assert "saved again" in problems[-1]
    other = await reopened(manager, store)
    assert shape(other) == shape(manager)
    store.close()


def locked(*_: object, **__: object) -> None:
    raise StoreError("Another program keeps it locked.")


async def test_what_a_later_write_went_past_is_made_good(
    store: ChatStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of the two writes of a deletion fails, the second does not."""
    manager = manager_of(store)
    problems: list[str] = []
    manager.on_problem(problems.append)
    first = await run(manager.reply("first"))
    second = await run(manager.reply("second"))
    await manager.settled()
    with monkeypatch.context() as broken:
        broken.setattr(writing, "delete_branch", locked)
        manager.delete_message(second.parent_id or "")
    await manager.settled()
    assert manager.is_kept
    assert ["not being saved" in problem for problem in problems] == [True, False]
    kept = await store.load_chat(manager.conversation.id)
    assert kept.active_leaf == first.id
    assert set(kept.deletions[0].message_ids) == {second.parent_id, second.id}
    with monkeypatch.context() as broken:
        broken.setattr(writing, "restore_branch", locked)
        assert await manager.undo_deletion()
    other = await reopened(manager, store)
    assert other.conversation.active_leaf == second.id
    assert shape(other) == shape(manager)


async def test_a_write_that_catches_up_and_fails_is_not_tried_over_and_over(
    store: ChatStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = manager_of(store)
    answer = await run(manager.reply("first"))
    await manager.settled()
    tries: list[object] = []

    def count(*values: object) -> None:
        tries.append(values)
        locked()

    with monkeypatch.context() as broken:
        broken.setattr(writing, "delete_branch", locked)
        broken.setattr(writing, "save_chat", count)
        manager.delete_message(answer.id)
        for _ in range(5):
            await manager.settled()
    assert len(tries) == 1
    assert not manager.is_kept
    manager.rename("Once more")
    other = await reopened(manager, store)
    assert shape(other) == shape(manager)


async def test_a_chat_that_is_left_is_made_good_once_more(
    store: ChatStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = manager_of(store)
    await run(manager.reply("hello"))
    await manager.settled()
    chat_id = manager.conversation.id
    with monkeypatch.context() as broken:
        broken.setattr(writing, "describe_chat", locked)
        manager.rename("Greetings")
    manager.new_chat()  # perhaps before it is known that the write failed
    await manager.settled()
    assert (await store.load_chat(chat_id)).info.title == "Greetings"


@pytest.mark.parametrize("is_in_loop", [True, False])
async def test_the_end_of_a_run_makes_good_what_failed(
    monkeypatch: pytest.MonkeyPatch, is_in_loop: bool
) -> None:
    session = Session(Config(), Settings())
    conversation = session.manager.conversation
    conversation.add(Message(role="user", parts=(TextPart("hello"),)))
    with monkeypatch.context() as broken:
        broken.setattr(writing, "describe_chat", locked)
        conversation.rename("Greetings")
    await session.close_workers()
    if is_in_loop:
        await session.__aexit__()
    else:
        await asyncio.to_thread(session.close_store)
    db = Database(data_dir())
    assert db.query("SELECT title FROM chats") == [("Greetings",)]
    db.close()


async def test_catching_up_leaves_an_answer_that_is_being_written(
    two: TwoPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = await two.begin()
    manager = two.first
    two.engine._answer = lambda _: ["two, "]
    async for event in manager.continue_answer():
        if isinstance(event, TextDelta):
            with monkeypatch.context() as broken:
                broken.setattr(writing, "describe_chat", locked)
                manager.rename("Numbers")
            manager.conversation.pin_message(cut.parent_id or "", True)
            await manager.settled()
            assert manager.is_kept
            kept = await two.other_store.load_chat(manager.conversation.id)
            assert (kept.info.title, kept.written_elsewhere) == ("Numbers", (cut.id,))
    assert manager.conversation[cut.id].text == "One, two, "


async def test_tokens_of_a_fork_are_copied_with_what_was_missed(
    store: ChatStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = manager_of(store)
    await run(manager.reply("hello"))
    await manager.settled()
    with monkeypatch.context() as broken:
        broken.setattr(writing, "save_chat", locked)
        manager.fork()
        await manager.settled()
        assert not manager.is_kept
    manager.rename("Elsewhere")
    await manager.settled()
    (_, copy) = manager.conversation.path()
    tokens = await store.load_tokens(manager.conversation.id, copy.id)
    assert "".join(token.text for token in tokens) == copy.text


async def test_an_answer_is_kept_together_with_its_tokens(
    store: ChatStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that dies between the two would leave an answer without its tokens."""
    manager = manager_of(store)

    def fail(*_: object) -> None:
        raise StoreError("The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(token_records, "put_tokens", fail)
        answer = await run(manager.reply("hello"))
        await manager.settled()
    (_, kept) = (await store.load_chat(manager.conversation.id)).messages
    assert kept.making is not None
    assert kept.making.finish_reason == "interrupted"
    manager.rename("Once more")  # the next thing that is kept takes along what was missed
    await manager.settled()
    (_, kept) = (await store.load_chat(manager.conversation.id)).messages
    assert kept == answer
    tokens = await store.load_tokens(manager.conversation.id, answer.id)
    assert "".join(token.text for token in tokens) == answer.text


async def test_without_a_store_everything_goes_on_in_memory() -> None:
    manager = manager_of(None)
    await run(manager.reply("hello"))
    manager.fork()
    assert len(manager.conversation) == 2
    with pytest.raises(StoreError, match="--no-save"):
        await manager.open_chat("x")


async def test_what_was_asked_for_is_done_when_the_store_is_closed(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "data")
    manager = manager_of(store)
    await run(manager.reply("hello"))
    manager.rename("Last word")
    store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.list_chats()
    db = Database(tmp_path / "data")
    assert db.query("SELECT title FROM chats") == [("Last word",)]
    db.close()


async def test_the_store_does_not_hold_up_the_loop(store: ChatStore) -> None:
    import time

    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)

    ticking = asyncio.create_task(tick())
    await store.do(lambda db: time.sleep(0.5))
    ticking.cancel()
    assert longest < 0.2
