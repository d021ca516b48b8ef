"""One turn after another on a scripted engine, with everything that can go wrong in it."""

import asyncio
from contextlib import aclosing

import pytest

from chatbot.engine.protocol.answer import ThinkingCut, ThinkingDelta
from chatbot.errors import CommandError, ContextError, WorkerError
from chatbot.events import (
    PromptBuilt,
    SettingChanged,
    TextDelta,
    ThoughtCut,
    ThoughtDelta,
    TurnFinished,
    TurnStarted,
)
from chatbot.messages import SettingChange, TextPart, ThinkingPart
from chatbot.settings import Settings
from tests.conversation.building import (
    all_of,
    make_manager,
    making_of,
    text_of,
    unseeded,
    until,
    with_settings,
)
from tests.conversation.fake_engine import STATISTICS, FakeEngine

pytestmark = pytest.mark.timeout(10)

DEATH = WorkerError("The engine was killed; send your message again.")


async def test_the_events_of_a_turn_and_their_order() -> None:
    manager = make_manager(FakeEngine("Hel", "lo."))
    events = await all_of(manager.reply("hi"))
    assert [type(e) for e in events] == [
        TurnStarted,
        PromptBuilt,
        TextDelta,
        TextDelta,
        TurnFinished,
    ]
    started, _, first, second, finished = events
    assert isinstance(started, TurnStarted)
    assert isinstance(finished, TurnFinished)
    assert (first, second) == (TextDelta("Hel", 1), TextDelta("lo.", 2))
    assert started.question.text == "hi"
    assert started.answer_id == finished.answer.id
    assert finished.answer.parent_id == started.question.id
    assert manager.conversation.path() == (started.question, finished.answer)
    made = making_of(finished.answer)
    assert finished.answer.text == "Hello."
    assert (made.finish_reason, made.error, made.statistics) == ("stop", "", STATISTICS)
    assert (made.model, made.precision, made.device) == ("smollm2-135m", "fp32", "cpu")
    assert unseeded(made.sampling) == Settings().sampling
    assert not manager.is_busy


async def test_the_engine_is_given_the_history_and_the_window() -> None:
    engine = FakeEngine("Fine.")
    manager = make_manager(engine, with_settings(context_length=80))
    await all_of(manager.reply("How are you?"))
    await all_of(manager.reply("Good."))
    assert [m.content for m in engine.prompts[1][1:]] == ["How are you?", "Fine.", "Good."]
    assert engine.generations[1].context_length == 80


async def test_the_answer_is_in_the_tree_by_the_last_event() -> None:
    manager = make_manager(FakeEngine("x"))
    async with aclosing(manager.reply("hi")) as events:
        async for event in events:
            if isinstance(event, TurnFinished):
                assert event.answer.id in manager.conversation


async def test_stopping_while_the_model_loads() -> None:
    engine = FakeEngine("never")
    engine.load_gates["smollm2-135m"] = asyncio.Event()
    manager = make_manager(engine)
    events = []
    async for event in manager.reply("hi"):
        events.append(event)
        manager.stop()
    assert [type(e) for e in events] == [TurnStarted, TurnFinished]
    answer = manager.conversation.last("assistant")
    made = making_of(answer)
    assert answer is not None
    assert answer.text == ""
    assert (made.finish_reason, made.model) == ("cancelled", "smollm2-135m")
    assert engine.generations == []


async def test_stopping_while_the_prompt_is_counted() -> None:
    engine = FakeEngine("never")
    engine.count_gate = asyncio.Event()
    manager = make_manager(engine)
    turn = asyncio.create_task(all_of(manager.reply("hi")))
    await until(lambda: engine.loads)
    manager.stop()
    events = await turn
    assert [type(e) for e in events] == [TurnStarted, TurnFinished]
    assert making_of(manager.conversation.last("assistant")).device == "cpu"
    assert engine.generations == []


async def test_stopping_when_the_prompt_is_there() -> None:
    engine = FakeEngine("never")
    manager = make_manager(engine)
    async for event in manager.reply("hi"):
        if isinstance(event, PromptBuilt):
            manager.stop()
    assert engine.generations[0].is_cancelled
    answer = manager.conversation.last("assistant")
    assert (answer and answer.text) == ""
    assert making_of(answer).finish_reason == "cancelled"


async def test_stopping_in_mid_answer_keeps_what_there_is() -> None:
    manager = make_manager(FakeEngine("so ", "far", asyncio.Event(), " and no further"))
    async for event in manager.reply("hi"):
        if event == TextDelta("far", 2):
            manager.stop()
    answer = manager.conversation.last("assistant")
    assert (answer and answer.text) == "so far"
    made = making_of(answer)
    assert (made.finish_reason, made.statistics) == ("cancelled", STATISTICS)


async def test_the_engine_dies_before_the_answer() -> None:
    engine = FakeEngine()
    engine.count_error = DEATH
    manager = make_manager(engine)
    events = await all_of(manager.reply("hi"))
    assert [type(e) for e in events] == [TurnStarted, TurnFinished]
    made = making_of(manager.conversation.last("assistant"))
    assert (made.finish_reason, made.error) == ("error", str(DEATH))


async def test_the_engine_dies_in_mid_answer_and_the_next_one_goes_on() -> None:
    engine = FakeEngine("half an ", DEATH)
    manager = make_manager(engine)
    events = await all_of(manager.reply("hi"))
    answer = manager.conversation.last("assistant")
    assert (answer and answer.text) == text_of(events) == "half an "
    made = making_of(answer)
    assert (made.finish_reason, made.error, made.statistics) == ("error", str(DEATH), None)
    engine.script = ("whole",)
    assert text_of(await all_of(manager.reply("again"))) == "whole"
    assert [m.content for m in engine.prompts[1][1:]] == ["hi", "half an ", "again"]


async def test_a_question_that_does_not_fit_is_answered_by_an_error() -> None:
    manager = make_manager(FakeEngine("x", context_length=40))
    await all_of(manager.reply("word " * 40))
    made = making_of(manager.conversation.last("assistant"))
    assert made.finish_reason == "error"
    assert "does not fit" in made.error
    assert text_of(await all_of(manager.reply("short"))) == "x"


async def test_the_engine_too_may_find_that_it_does_not_fit() -> None:
    manager = make_manager(FakeEngine(ContextError("The prompt takes 9 tokens.")))
    await all_of(manager.reply("hi"))
    assert making_of(manager.conversation.last("assistant")).error == "The prompt takes 9 tokens."


async def test_changed_settings_are_noted_where_they_act() -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    engine = FakeEngine("12345", gates[0], "678", gates[1], "9")
    manager = make_manager(engine)
    events = []
    async for event in manager.reply("hi"):
        events.append(event)
        if event == TextDelta("12345", 1):
            manager.change_setting("temperature", "1.5")
            manager.change_setting("top_k", "7")
            gates[0].set()
        if event == TextDelta("678", 2):
            manager.change_setting("seed", "42")
            manager.change_setting("temperature", "1.5")  # no change
            gates[1].set()
    made = making_of(manager.conversation.last("assistant"))
    expected = (
        SettingChange(offset=5, name="temperature", old="0.3", new="1.5", num_tokens=1),
        SettingChange(offset=5, name="top_k", old="50", new="7", num_tokens=1),
        SettingChange(offset=8, name="seed", old=str(made.sampling.seed), new="42", num_tokens=2),
    )
    assert made.changes == expected
    assert unseeded(made.sampling) == Settings().sampling  # as it was at the first token
    assert tuple(e.change for e in events if isinstance(e, SettingChanged)) == expected
    kinds = [type(e).__name__[0] for e in events[2:-1]]
    assert "".join(kinds) == "TSSTST"  # texts, and settings where they changed


async def test_a_setting_changed_while_the_model_loads_holds_from_the_start() -> None:
    engine = FakeEngine("x")
    gate = engine.load_gates["smollm2-135m"] = asyncio.Event()
    manager = make_manager(engine)
    async for event in manager.reply("hi"):
        if isinstance(event, TurnStarted):
            manager.change_setting("temperature", "0")
            gate.set()
    made = making_of(manager.conversation.last("assistant"))
    assert made.sampling.temperature == 0
    assert made.changes == ()


async def test_a_model_chosen_while_another_loads_answers() -> None:
    engine = FakeEngine("x")
    gate = engine.load_gates["smollm2-135m"] = asyncio.Event()
    manager = make_manager(engine)
    async for event in manager.reply("hi"):
        if isinstance(event, TurnStarted):
            manager.change_setting("model", "other")
            manager.change_setting("precision", "bf16")
            gate.set()
    made = making_of(manager.conversation.last("assistant"))
    assert (made.model, made.precision) == ("other", "bf16")
    assert len(engine.prompts) == 1


async def test_a_model_chosen_while_the_prompt_is_counted_answers() -> None:
    engine = FakeEngine("x")
    gate = engine.count_gate = asyncio.Event()
    manager = make_manager(engine)
    turn = asyncio.create_task(all_of(manager.reply("hi")))
    await until(lambda: engine.loads)
    manager.change_setting("model", "other")
    gate.set()
    await turn
    assert making_of(manager.conversation.last("assistant")).model == "other"
    assert len(engine.prompts) == 1


async def test_a_missing_model_that_was_given_up_meanwhile_costs_nothing() -> None:
    engine = FakeEngine("x")
    engine.missing.add("missing")
    gate = engine.load_gates["missing"] = asyncio.Event()
    manager = make_manager(engine, with_settings(model="missing"))
    async for event in manager.reply("hi"):
        if isinstance(event, TurnStarted):
            manager.change_setting("model", "other")
            gate.set()
    made = making_of(manager.conversation.last("assistant"))
    assert (made.model, made.finish_reason) == ("other", "stop")


async def test_whoever_listens_may_leave_and_the_text_stays() -> None:
    engine = FakeEngine("one ", "two ", "three")
    manager = make_manager(engine)
    async with aclosing(manager.reply("hi")) as events:
        async for event in events:
            if event == TextDelta("two ", 2):
                break
    answer = manager.conversation.last("assistant")
    assert (answer and answer.text) == "one two "
    assert making_of(answer).finish_reason == "cancelled"
    assert engine.generations[0].is_cancelled
    assert not manager.is_busy


async def test_a_cancelled_listener_leaves_the_text_too() -> None:
    engine = FakeEngine("one ", asyncio.Event(), "two")
    manager = make_manager(engine)
    turn = asyncio.create_task(all_of(manager.reply("hi")))
    await until(lambda: engine.generations and engine.generations[0].is_waiting)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    answer = manager.conversation.last("assistant")
    assert (answer and answer.text) == "one "
    assert engine.generations[0].is_cancelled
    assert not manager.is_busy


async def test_sequences_split_over_deltas_are_cleaned_and_counted() -> None:
    hostile = "a\x1b]52;c;aGk=\x07b\x1b[2Jc\u202ed\r\ne"
    manager = make_manager(FakeEngine(*hostile))
    events = await all_of(manager.reply("hi"))
    answer = manager.conversation.last("assistant")
    assert (answer and answer.text) == text_of(events) == "abcd\ne"
    assert making_of(answer).num_controls_removed == 3
    assert all(e.text for e in events if isinstance(e, TextDelta))


async def test_what_the_cleaner_held_back_is_said_at_the_end() -> None:
    manager = make_manager(FakeEngine("end\x1b[31"))
    events = await all_of(manager.reply("hi"))
    answer = manager.conversation.last("assistant")
    assert (answer and answer.text) == text_of(events) == "end[31"
    assert isinstance(events[-1], TurnFinished)


async def test_what_was_held_back_when_the_engine_died_is_not_lost() -> None:
    manager = make_manager(FakeEngine("line\r", DEATH))
    events = await all_of(manager.reply("hi"))
    answer = manager.conversation.last("assistant")
    assert (answer and answer.text) == text_of(events) == "line\n"


async def test_the_question_is_cleaned() -> None:
    engine = FakeEngine("x")
    manager = make_manager(engine)
    await all_of(manager.reply("hi \x1b]0;title\x07there\x9b"))
    assert engine.prompts[0][-1].content == "hi there"


def thought(text: str, size: int) -> ThinkingDelta:
    return ThinkingDelta(
        request_id=1,
        text=text,
        num_tokens=size,
        num_thinking_tokens=size,
        thinking_seconds=size / 4,
    )


async def test_a_thought_is_kept_with_its_size_and_that_it_was_cut() -> None:
    gate = asyncio.Event()
    engine = FakeEngine(
        thought("Hm, ", 2),
        thought("so", 3),
        gate,
        ThinkingCut(request_id=1),
        thought("\n", 4),
        "Yes.",
    )
    manager = make_manager(engine)
    seen = []
    async with aclosing(manager.reply("Really?")) as events:
        async for event in events:
            seen.append(event)
            if event == ThoughtDelta("so", 3, 3, 0.75):
                manager.answer_now()
                assert engine.generations[0].num_answers_wanted == 1
                gate.set()
    assert seen[2:-2] == [
        ThoughtDelta("Hm, ", 2, 2, 0.5),
        ThoughtDelta("so", 3, 3, 0.75),
        ThoughtCut(),
        ThoughtDelta("\n", 4, 4, 1.0),
    ]
    answer = manager.conversation.last("assistant")
    assert answer is not None
    assert answer.parts == (
        ThinkingPart("Hm, so\n", num_tokens=4, seconds=1.0, is_cut=True),
        TextPart("Yes."),
    )


async def test_a_setting_changed_in_a_thought_is_noted_behind_its_tokens() -> None:
    gate = asyncio.Event()
    engine = FakeEngine(thought("Hm, ", 2), thought("so", 3), gate, thought("\n", 4), "Yes.")
    manager = make_manager(engine)
    async for event in manager.reply("Really?"):
        if event == ThoughtDelta("so", 3, 3, 0.75):
            manager.change_setting("temperature", "1.5")
            gate.set()
    (change,) = making_of(manager.conversation.last("assistant")).changes
    assert (change.offset, change.num_tokens) == (0, 3)


async def test_the_answer_can_be_asked_for_before_the_model_is_there() -> None:
    engine = FakeEngine("Yes.")
    gate = engine.load_gates["smollm2-135m"] = asyncio.Event()
    manager = make_manager(engine)
    turn = asyncio.ensure_future(all_of(manager.reply("Really?")))
    await until(lambda: bool(engine.loads))
    manager.answer_now()
    gate.set()
    await turn
    assert engine.generations[0].num_answers_wanted == 1


async def test_there_has_to_be_an_answer_and_a_model_that_thinks() -> None:
    engine = FakeEngine("Yes.")
    manager = make_manager(engine)
    with pytest.raises(CommandError, match="no answer being written"):
        manager.answer_now()
    engine.thinks = False
    async with aclosing(manager.reply("Really?")) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                with pytest.raises(CommandError, match="smollm2-135m does not think"):
                    manager.answer_now()
