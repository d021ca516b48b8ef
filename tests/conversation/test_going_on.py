"""An answer that is gone on with: its tokens are counted once, and its marks stay."""

from pathlib import Path

import msgspec
import pytest

from chatbot.conversation.draft import sum_of_rounds
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.tools import Tools
from chatbot.events import (
    PromptBuilt,
    SettingChanged,
    TextDelta,
    ToolCalled,
    ToolFinished,
    TurnEvent,
    TurnStarted,
)
from chatbot.messages import Statistics
from chatbot.tools.settings import ToolSettings
from tests.conversation.building import (
    SavedSettings,
    all_of,
    make_manager,
    making_of,
    with_settings,
)
from tests.conversation.fake_engine import FakeEngine, call
from tests.tools.boxes import RecordingBox

pytestmark = pytest.mark.timeout(10)


def cost(num_prompt: int, num_new: int, *, cached: int = 0, first: float = 0.5) -> Statistics:
    return Statistics(
        num_prompt_tokens=num_prompt,
        num_cached_tokens=cached,
        num_new_tokens=num_new,
        first_token_seconds=first,
        decode_seconds=num_new / 10,
        num_guessed=2,
        num_guessed_right=1,
    )


async def stopped_after(
    manager: ConversationManager, num_deltas: int, question: str = "hi"
) -> list[TurnEvent]:
    """Ask, and stop after so many pieces."""
    events: list[TurnEvent] = []
    async for event in manager.reply(question):
        events.append(event)
        if sum(isinstance(told, TextDelta) for told in events) == num_deltas:
            manager.stop()
    return events


def test_what_was_written_before_is_in_the_next_prompt_and_counted_once() -> None:
    both = sum_of_rounds(cost(69, 136, cached=60, first=0.19), cost(205, 15, cached=69, first=1.6))
    assert both is not None
    assert (both.num_prompt_tokens, both.num_new_tokens) == (69, 151)
    assert (both.num_cached_tokens, both.first_token_seconds) == (60, 0.19)
    assert both.decode_seconds == pytest.approx(15.1)
    assert both.seconds == pytest.approx(0.19 + 13.6 + 1.6 + 1.5)  # the reading of both prompts too
    assert (both.num_guessed, both.num_guessed_right) == (4, 2)


def test_the_first_token_of_a_round_is_none_of_its_speed() -> None:
    def made(num_new: int) -> Statistics:  # ten a second
        return msgspec.structs.replace(cost(9, num_new), decode_seconds=max(num_new - 1, 0) / 10)

    so_far: Statistics | None = None
    for num_new in (3, 2, 0, 6):
        so_far = sum_of_rounds(so_far, made(num_new))
        assert so_far is not None
        assert so_far.tokens_per_second == pytest.approx(10.0)


def test_what_tools_said_is_part_of_the_prompt() -> None:
    # 30 tokens of the call, and 20 that hold what became of it.
    both = sum_of_rounds(cost(50, 30), cost(100, 10))
    assert both is not None
    assert (both.num_prompt_tokens, both.num_new_tokens) == (70, 40)


def test_a_prompt_without_what_was_thought_is_no_less_than_the_first() -> None:
    both = sum_of_rounds(cost(50, 300), cost(80, 40))
    assert both is not None
    assert (both.num_prompt_tokens, both.num_new_tokens) == (50, 340)


async def test_while_it_goes_on_the_whole_answer_is_told_of() -> None:
    engine = FakeEngine("a ", "b ", "c ", "d ")
    engine.statistics = cost(9, 2)
    manager = make_manager(engine, with_settings())
    await stopped_after(manager, 2)
    engine.statistics = cost(11, 4, first=3.0)
    events = await all_of(manager.continue_answer())
    started, built = events[0], next(e for e in events if isinstance(e, PromptBuilt))
    assert isinstance(started, TurnStarted)
    assert started.num_tokens_so_far == built.num_generated_tokens == 2
    assert [e.num_tokens for e in events if isinstance(e, TextDelta)] == [3, 4, 5, 6]
    made = making_of(manager.conversation.last("assistant"))
    assert made.statistics == sum_of_rounds(cost(9, 2), cost(11, 4, first=3.0))


async def test_marks_stay_while_it_goes_on_and_a_new_one_comes_at_once() -> None:
    engine = FakeEngine("a ", lambda: manager.change_setting("temperature", "0.7"), "b ", "c ")
    manager = make_manager(engine)
    await stopped_after(manager, 2)
    manager.change_setting("temperature", "0.9")
    engine.script = ["d "]
    events = await all_of(manager.continue_answer())
    assert isinstance(events[0], TurnStarted)
    (before,) = events[0].changes_so_far
    assert (before.name, before.new) == ("temperature", "0.7")
    (now,) = [e.change for e in events if isinstance(e, SettingChanged)]
    assert (now.name, now.old, now.new) == ("temperature", "0.7", "0.9")
    assert making_of(manager.conversation.last("assistant")).changes == (before, now)


async def test_after_calls_the_whole_answer_is_told_of(tmp_path: Path) -> None:
    engine = FakeEngine("It ", "is.")
    engine.rounds = [["Well. ", call("calculate", '{"expression": "17 * 23"}')]]
    engine.statistics = cost(9, 3)
    box = RecordingBox(tmp_path, ToolSettings())
    manager = ConversationManager(
        engine, with_settings(), SavedSettings(), tools=Tools(lambda: box)
    )
    events = await all_of(manager.reply("17 * 23?"))
    assert any(isinstance(event, ToolCalled) for event in events)
    counts = [event.num_tokens for event in events if isinstance(event, TextDelta)]
    assert counts == [1, 4, 5]
    assert [e.num_generated_tokens for e in events if isinstance(e, PromptBuilt)] == [0, 3]


async def test_what_is_changed_while_a_tool_runs_is_marked(tmp_path: Path) -> None:
    engine = FakeEngine("It ", "is.")
    engine.rounds = [["Well. ", call("calculate", '{"expression": "17 * 23"}')]]
    box = RecordingBox(tmp_path, ToolSettings())
    manager = ConversationManager(
        engine, with_settings(), SavedSettings(), tools=Tools(lambda: box)
    )
    events: list[TurnEvent] = []
    async for event in manager.reply("17 * 23?"):
        events.append(event)
        if isinstance(event, ToolFinished):
            manager.change_setting("temperature", "0.9")
            manager.change_setting("seed", "7")
    assert engine.generations[1].sampling.seed == 7
    changed = [event.change for event in events if isinstance(event, SettingChanged)]
    assert [(c.name, c.new, c.offset) for c in changed] == [
        ("temperature", "0.9", len("Well. ")),
        ("seed", "7", len("Well. ")),
    ]
    assert making_of(manager.conversation.last("assistant")).changes == tuple(changed)
