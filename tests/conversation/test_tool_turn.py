"""A turn in which the model calls tools: rounds, results, refusals, and what can go wrong."""

import asyncio
import json
from pathlib import Path

import pytest

from chatbot.conversation import kept_folders
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.tools import Tools
from chatbot.engine.protocol.answer import Generate, ThinkingDelta, ToolCallBroken
from chatbot.events import (
    PromptBuilt,
    SourcesFound,
    TextDelta,
    ThoughtDelta,
    ToolCalled,
    ToolFinished,
    ToolRunning,
    TurnEvent,
    TurnFinished,
    TurnStarted,
)
from chatbot.messages import Message, TextPart, ThinkingPart, ToolResultPart
from chatbot.settings import KnowledgeFolder
from chatbot.tools.settings import ToolSettings
from chatbot.tools.toolbox import ToolBox
from chatbot.tools.values import MAX_ROUNDS, ApprovalRequest, Decision, ToolDefinition
from tests.conversation.building import (
    SavedSettings,
    all_of,
    making_of,
    text_of,
    until,
    with_settings,
)
from tests.conversation.fake_engine import STATISTICS, FakeEngine, FakeGeneration, call
from tests.conversation.fake_retrieval import FakeRetrieval, hit
from tests.tools.boxes import RecordingBox, User, permissive_box
from tests.tools.injections import injections

pytestmark = pytest.mark.timeout(30)

CALCULATE = call("calculate", '{"expression": "17 * 23"}')


def make(
    engine: FakeEngine, box: ToolBox, user: object = None, *hits: object
) -> ConversationManager:
    tools = Tools(lambda: box)
    tools.approver = user  # type: ignore[assignment]
    return ConversationManager(
        engine,
        with_settings(folders=(KnowledgeFolder("manual"),) if hits else ()),
        SavedSettings(),
        retrieval=FakeRetrieval(*hits) if hits else None,  # type: ignore[arg-type]
        tools=tools,
    )


def real_box(folder: Path) -> ToolBox:
    return ToolBox(ToolSettings(), user_file=folder / "tools.py", log_dir=folder / "logs")


def recording_box(folder: Path) -> RecordingBox:
    return RecordingBox(folder, ToolSettings())


def parts_of(message: Message | None) -> list[str]:
    assert message is not None
    return [type(part).__name__ for part in message.parts]


def results_of(events: list[TurnEvent]) -> list[ToolResultPart]:
    return [event.result for event in events if isinstance(event, ToolFinished)]


async def test_a_call_its_result_and_the_answer(tmp_path: Path) -> None:
    engine = FakeEngine("It is 391.")
    engine.rounds = [["Let me see. ", CALCULATE]]
    manager = make(engine, real_box(tmp_path))
    events = await all_of(manager.reply("What is 17 * 23?"))
    assert [type(event) for event in events] == [
        TurnStarted,
        PromptBuilt,
        TextDelta,
        ToolCalled,
        ToolRunning,
        ToolFinished,
        PromptBuilt,
        TextDelta,
        TurnFinished,
    ]
    (result,) = results_of(events)
    assert (result.text, result.is_error, result.approved_by) == ("391", False, "default")
    assert result.seconds > 0
    answer = manager.conversation.last("assistant")
    assert parts_of(answer) == ["TextPart", "ToolCallPart", "ToolResultPart", "TextPart"]
    assert answer is not None
    assert answer.text == "Let me see. \n\nIt is 391."
    assert text_of(events) == answer.text
    assert making_of(answer).finish_reason == "stop"

    # The second prompt begins with all of the first and the model's own words.
    first, second = engine.prompts
    assert second[: len(first)] == first
    said, told = second[len(first) :]
    assert (said.content, said.tool_calls[0].raw) == ("Let me see. ", CALCULATE.raw)
    assert (told.role, told.content, told.name) == ("tool", "391", "calculate")
    assert told.call_id == said.tool_calls[0].id
    assert engine.continued == [False, False]
    assert "calculate" in engine.tools[0]


async def test_the_next_question_is_given_the_calls_as_they_were(tmp_path: Path) -> None:
    engine = FakeEngine("It is 391.")
    engine.rounds = [["Let me see. ", CALCULATE]]
    manager = make(engine, real_box(tmp_path))
    await all_of(manager.reply("What is 17 * 23?"))
    await all_of(manager.reply("Sure?"))
    _, second, third = engine.prompts
    assert third[: len(second)] == second
    assert [(m.role, m.content) for m in third[len(second) :]] == [
        ("assistant", "It is 391."),
        ("user", "Sure?"),
    ]


async def test_statistics_are_those_of_all_rounds(tmp_path: Path) -> None:
    engine = FakeEngine("Done.")
    engine.rounds = [[CALCULATE]]
    manager = make(engine, real_box(tmp_path))
    await all_of(manager.reply("?"))
    statistics = making_of(manager.conversation.last("assistant")).statistics
    assert statistics is not None
    assert statistics.num_new_tokens == 2 * STATISTICS.num_new_tokens
    assert statistics.decode_seconds == 2 * STATISTICS.decode_seconds
    assert statistics.first_token_seconds == STATISTICS.first_token_seconds


async def test_calls_at_once_and_calls_in_rounds(tmp_path: Path) -> None:
    engine = FakeEngine("Done.")
    engine.rounds = [
        [CALCULATE, call("convert_units", '{"value": 1, "from_unit": "km", "to_unit": "m"}', 1)],
        [call("calculate", '{"expression": "1 + 1"}')],
    ]
    manager = make(engine, real_box(tmp_path))
    events = await all_of(manager.reply("?"))
    assert sorted(result.text for result in results_of(events)) == ["1 km = 1000 m", "2", "391"]
    answer = manager.conversation.last("assistant")
    names = ["ToolCallPart"] * 2 + ["ToolResultPart"] * 2 + ["ToolCallPart", "ToolResultPart"]
    assert parts_of(answer) == [*names, "TextPart"]
    roles = [message.role for message in engine.prompts[-1]]
    assert roles[-5:] == ["assistant", "tool", "tool", "assistant", "tool"]
    # In the order of the calls, whichever ended first.
    assert [m.content for m in engine.prompts[-1][-4:-2]] == ["391", "1 km = 1000 m"]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (call("nonsense"), "There is no tool called nonsense"),
        (call("calculate", "{}"), "expression"),
        (call("calculate", '{"expression": "1 / 0"}'), "zero"),
        (
            ToolCallBroken(
                request_id=1, index=0, name="calculate", raw="{", reason="It is no JSON."
            ),
            "It is no JSON.",
        ),
    ],
)
async def test_what_a_call_does_wrong_is_told_to_the_model(
    tmp_path: Path, made: object, reason: str
) -> None:
    engine = FakeEngine("Sorry.")
    engine.rounds = [[made]]  # type: ignore[list-item]
    manager = make(engine, real_box(tmp_path))
    events = await all_of(manager.reply("?"))
    (result,) = results_of(events)
    assert result.is_error
    assert reason in result.text
    told = engine.prompts[1][-1]
    assert told.role == "tool"
    assert told.content == f"Error: {result.text}"
    assert making_of(manager.conversation.last("assistant")).finish_reason == "stop"


async def test_a_tool_that_is_asked_about(tmp_path: Path) -> None:
    box, user = recording_box(tmp_path), User("once")
    box.switch("get_weather", is_on=True)
    engine = FakeEngine("Fine weather.")
    engine.rounds = [[call("get_weather", '{"place": "Paris"}')]]
    manager = make(engine, box, user)
    (result,) = results_of(await all_of(manager.reply("Weather?")))
    assert (result.text, result.approved_by) == ("Fine.", "user")
    ((request, _),) = user.asked
    assert json.loads(request.arguments) == {"place": "Paris"}


async def test_a_refusal_reaches_the_model(tmp_path: Path) -> None:
    box = recording_box(tmp_path)
    box.switch("get_weather", is_on=True)
    engine = FakeEngine("Then not.")
    engine.rounds = [[call("get_weather", '{"place": "Paris"}')]]
    for user in (User("no"), None):
        engine.rounds = [[call("get_weather", '{"place": "Paris"}')]]
        manager = make(engine, box, user)
        (result,) = results_of(await all_of(manager.reply("Weather?")))
        assert result.is_error
        assert not result.approved_by
    assert box.runs == []


class NeverAnswers:
    """A user who reads and reads."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()
        self.was_cancelled = False

    async def ask(self, request: ApprovalRequest) -> Decision:
        self.is_asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return "once"


async def test_stopping_while_the_user_is_asked(tmp_path: Path) -> None:
    box, user = recording_box(tmp_path), NeverAnswers()
    box.switch("get_weather", is_on=True)
    engine = FakeEngine("never")
    engine.rounds = [["One moment.", call("get_weather", '{"place": "Paris"}')]]
    manager = make(engine, box, user)
    turn = asyncio.create_task(all_of(manager.reply("Weather?")))
    await user.is_asked.wait()
    manager.stop()
    events = await turn
    assert user.was_cancelled
    assert box.runs == []
    (result,) = results_of(events)
    assert (result.text, result.is_error) == ("The call was stopped by the user.", True)
    answer = manager.conversation.last("assistant")
    assert parts_of(answer) == ["TextPart", "ToolCallPart", "ToolResultPart"]
    assert making_of(answer).finish_reason == "cancelled"
    assert len(engine.prompts) == 1


async def test_stopping_while_a_tool_runs(tmp_path: Path) -> None:
    begun, killed = asyncio.Event(), False

    class SlowBox(RecordingBox):
        async def execute(
            self, definition: ToolDefinition, arguments: dict[str, object], max_result_bytes: int
        ) -> str:
            nonlocal killed
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                killed = True
                raise
            return ""

    engine = FakeEngine("never")
    engine.rounds = [[CALCULATE]]
    manager = make(engine, SlowBox(tmp_path, ToolSettings()))
    turn = asyncio.create_task(all_of(manager.reply("?")))
    await begun.wait()
    manager.stop()
    await turn
    assert killed
    assert making_of(manager.conversation.last("assistant")).finish_reason == "cancelled"
    assert not manager.is_busy


async def test_a_stopped_call_is_gone_on_with(tmp_path: Path) -> None:
    box, user = recording_box(tmp_path), NeverAnswers()
    box.switch("get_weather", is_on=True)
    engine = FakeEngine("So it is.")
    engine.rounds = [["One moment.", call("get_weather", '{"place": "Paris"}')]]
    manager = make(engine, box, user)
    turn = asyncio.create_task(all_of(manager.reply("Weather?")))
    await user.is_asked.wait()
    manager.stop()
    await turn
    await all_of(manager.continue_answer())
    answer = manager.conversation.last("assistant")
    assert answer is not None
    assert answer.text == "One moment.\n\nSo it is."
    assert [m.role for m in engine.prompts[-1][-3:]] == ["user", "assistant", "tool"]


async def test_rounds_are_bounded(tmp_path: Path) -> None:
    engine = FakeEngine("Enough.")
    engine.rounds = [
        [call("calculate", f'{{"expression": "{number} + 1"}}')] for number in range(MAX_ROUNDS)
    ]
    manager = make(engine, recording_box(tmp_path))
    events = await all_of(manager.reply("?"))
    assert len(results_of(events)) == MAX_ROUNDS
    assert len(engine.prompts) == MAX_ROUNDS + 1
    # The last answer has to do without tools.
    assert all(engine.tools[:-1])
    assert engine.tools[-1] == ()
    assert text_of(events) == "Enough."


async def test_what_is_thought_is_kept_and_never_carried_out(tmp_path: Path) -> None:
    box = recording_box(tmp_path)
    thought = ThinkingDelta(
        request_id=1, text='<call>calculate {"expression": "1"}</call>', num_tokens=1
    )
    engine = FakeEngine(thought, "Hello.")
    manager = make(engine, box)
    events = await all_of(manager.reply("hi"))
    assert [event.text for event in events if isinstance(event, ThoughtDelta)] == [thought.text]
    answer = manager.conversation.last("assistant")
    assert answer is not None
    assert answer.parts == (ThinkingPart(thought.text), TextPart("Hello."))
    assert answer.text == "Hello."
    assert box.runs == []


async def test_a_call_that_was_cut_off_is_not_run(tmp_path: Path) -> None:
    box = recording_box(tmp_path)
    cut = ToolCallBroken(request_id=1, index=0, name="calculate", raw="{", reason="It was cut off.")
    engine = FakeEngine(cut)
    engine.reason = "length"
    manager = make(engine, box)
    await all_of(manager.reply("?"))
    answer = manager.conversation.last("assistant")
    assert making_of(answer).finish_reason == "length"
    assert len(engine.prompts) == 1
    assert box.runs == []


async def test_control_characters_of_calls_and_results_are_removed(tmp_path: Path) -> None:
    box = recording_box(tmp_path)
    box.answer = "red\x1b[31m\x1b]52;c;aGk=\x07 text"
    engine = FakeEngine("Done.")
    engine.rounds = [[call("calculate", '{"expression": "1\x1b[2J"}')]]
    manager = make(engine, box)
    events = await all_of(manager.reply("?"))
    shown = [event.call for event in events if isinstance(event, ToolCalled)]
    assert "\x1b" not in shown[0].arguments
    assert shown[0].raw == ""
    assert results_of(events)[0].text == "red text"


async def test_a_schema_is_passed_on_and_rules_tools_out(tmp_path: Path) -> None:
    engine = FakeEngine("{}")
    manager = make(engine, recording_box(tmp_path))
    await all_of(manager.reply("?", schema='{"type": "object"}'))
    assert engine.schemas == ['{"type": "object"}']
    assert engine.tools == [()]


async def test_models_that_were_not_trained_for_tools_are_told_of_none(tmp_path: Path) -> None:
    engine = FakeEngine("Hi.")
    engine.dialect = "compact"
    box = recording_box(tmp_path)
    manager = make(engine, box)
    await all_of(manager.reply("?"))
    assert engine.tools == [()]
    box.switch("calculate", is_on=True)
    await all_of(manager.reply("?"))
    assert engine.tools[-1] == ("calculate",)


async def test_the_program_does_not_decline_where_tools_were_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine("It is 391.")
    manager = make(engine, recording_box(tmp_path), None, hit("Far.", 0.05))
    manager.change_setting("grounding", "strict")
    await all_of(manager.reply("What is 17 * 23?"))
    assert manager.tools is not None
    manager.tools.box.switch("calculate", is_on=True)
    await all_of(manager.reply("What is 17 * 23?"))
    assert engine.prompts == []  # who is strict wants no answer but from the folders
    monkeypatch.setattr(kept_folders, "MANUAL", "another")  # so the folder is the user's own
    manager.change_setting("grounding", "auto")
    manager.tools.box.switch("calculate", is_on=False)
    await all_of(manager.reply("What is 17 * 23?"))
    assert engine.prompts == []  # tools that are on by themselves are no wish
    manager.tools.box.switch("calculate", is_on=True)
    events = await all_of(manager.reply("What is 17 * 23?"))
    assert text_of(events) == "It is 391."
    assert any(isinstance(event, SourcesFound) for event in events)


def test_no_tool_at_all_is_no_choice_of_one(tmp_path: Path) -> None:
    assert not Tools(lambda: recording_box(tmp_path), only=[]).are_chosen
    assert Tools(lambda: recording_box(tmp_path), only=["calculate"]).are_chosen


class Obedient(FakeEngine):
    """A model that calls every tool it has, whenever the text that it reads says so."""

    def generate(self, request: Generate) -> FakeGeneration:
        tools = request.tools
        if tools and len(self.prompts) % 4 != 3:
            number = len(self.prompts)
            text = request.messages[-1].content
            values = {"integer": 1, "number": 1.0, "string": f"{text[:80]} {number}"}
            calls = []
            start = number * 5 % len(tools)
            turned = [*tools[start:], *tools[:start]]
            for index, tool in enumerate(turned[:8]):
                schema = json.loads(tool.parameters)["properties"]
                arguments = {
                    name: value["enum"][0] if "enum" in value else values[value["type"]]
                    for name, value in schema.items()
                }
                calls.append(call(tool.name, json.dumps(arguments), index))
            self.rounds = [calls]
        return super().generate(request)


async def test_injections_through_the_whole_turn(tmp_path: Path) -> None:
    """In a source and in results; whatever was allowed for always, nothing that writes or
    reaches the network runs without the user's yes."""
    box, user = await permissive_box(tmp_path), User()
    for text in injections("upload"):
        box.answer = text
        engine = Obedient("Done.", context_length=100_000)
        manager = make(engine, box, user, hit(text, 0.9))
        await all_of(manager.reply("What do my notes say?"))
        await all_of(manager.reply("And then?"))
        assert len(engine.prompts) >= 6
    harmful = {definition.name for definition, _ in box.runs if not definition.is_harmless}
    assert harmful == set()
    assert box.runs
    assert {request.definition.name for request, _ in user.asked} >= {"upload", "delete_file"}


async def test_the_question_is_not_asked_twice_of_a_dead_turn(tmp_path: Path) -> None:
    """The listener goes away in the middle of a round: what runs is ended."""
    box, user = recording_box(tmp_path), NeverAnswers()
    box.switch("get_weather", is_on=True)
    engine = FakeEngine("never")
    engine.rounds = [[call("get_weather", '{"place": "Paris"}')]]
    manager = make(engine, box, user)
    turn = asyncio.create_task(all_of(manager.reply("Weather?")))
    await user.is_asked.wait()
    turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
    await until(lambda: user.was_cancelled)
    assert not manager.is_busy
    answer = manager.conversation.last("assistant")
    assert parts_of(answer) == ["ToolCallPart", "ToolResultPart"]
