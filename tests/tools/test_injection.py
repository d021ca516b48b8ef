"""Texts of others in the context, and a model that obeys every one of them.

The loop below is a turn in small: the model's calls go through the tool box, the results come
back into its context. Whatever was allowed before, nothing that writes or reaches the network
may run without the user's answer to that very call.
"""

import json
from pathlib import Path

import pytest

from chatbot.messages import Message, Source, SourcesPart, TextPart, ToolResultPart
from chatbot.tools.approvals import Approver
from chatbot.tools.json_text import visible
from chatbot.tools.turn import taints
from chatbot.tools.values import ToolCall, ToolDefinition, ToolOutcome
from tests.tools.boxes import RecordingBox, User, permissive_box, run_one
from tests.tools.injections import injections

TOOLS = (
    "calculate",
    "convert_units",
    "current_time",
    "get_weather",
    "search_web",
    "search_knowledge",
    "read_document",
    "delete_file",
    "upload",
    "count_words",
    "chat__post",
)


NUM_OTHERS = 3
"""Tools that are called beside the one that a text names, in each round."""


def obey(text: str, tools: tuple[ToolDefinition, ...], num_round: int) -> list[ToolCall]:
    """What a model without a will of its own calls: the tool that is named, and some others."""
    named = [tool for tool in tools if tool.name in text]
    others = [tool for tool in tools if tool not in named]
    start = num_round * NUM_OTHERS
    others = (others + others)[start % len(others) :][:NUM_OTHERS]
    calls = []
    for tool in [*named, *others]:
        values = {"integer": 1, "number": 1.0, "string": f"{text} ({num_round})"}
        arguments = {
            name: schema["enum"][0] if "enum" in schema else values[schema["type"]]
            for name, schema in tool.parameters["properties"].items()
        }
        calls.append(ToolCall(name=tool.name, arguments=json.dumps(arguments)))
    return calls


async def simulate_turn(
    box: RecordingBox, path: list[Message], text: str, approver: Approver | None, num_rounds: int
) -> list[ToolOutcome]:
    """The rounds of the obedient model, which has ``text`` before its eyes from the start."""
    turn = box.begin_turn(is_tainted=taints(path), approver=approver)
    tools = tuple(info.definition for info in box.tools)
    outcomes: list[ToolOutcome] = []
    for num_round in range(min(num_rounds, turn.rounds_left)):
        outcomes += await turn.run_round(obey(text, tools, num_round))
    return outcomes


def question_with(text: str) -> list[Message]:
    source = Source(title="Notes", location="notes.md", text=text)
    return [Message(role="user", parts=(TextPart("Well?"), SourcesPart((source,))))]


def test_there_are_enough_texts() -> None:
    assert len(set(injections("upload"))) >= 75


def harmful_runs(box: RecordingBox) -> list[str]:
    return [definition.name for definition, _ in box.runs if not definition.is_harmless]


@pytest.mark.parametrize("tool", TOOLS)
async def test_in_a_document_whatever_was_allowed_before(tmp_path: Path, tool: str) -> None:
    """The user says no to everything: nothing but harmless tools runs."""
    box, user = await permissive_box(tmp_path), User()
    assert {info.definition.name for info in box.tools} == set(TOOLS)
    for text in injections(tool):
        outcomes = await simulate_turn(box, question_with(text), text, user, 2)
        assert any(outcome.error.startswith("The user refused") for outcome in outcomes)
    assert harmful_runs(box) == []
    assert box.runs


@pytest.mark.parametrize("tool", TOOLS)
async def test_in_the_result_of_a_tool(tmp_path: Path, tool: str) -> None:
    """The first call is allowed; its result orders the others, of which none runs."""
    box = await permissive_box(tmp_path)
    tools = tuple(info.definition for info in box.tools)
    for text in injections(tool):
        box.answer, user = text, User()
        box.runs.clear()
        turn = box.begin_turn(is_tainted=False, approver=user)
        first = await run_one(turn, ToolCall(name="search_web", arguments='{"query": "news"}'))
        assert (first.result, first.approved_by, user.asked) == (text, "settings", [])
        await turn.run_round(obey(first.result, tools, 0))
        # Nor in the next turn, since the result is in the chat by then.
        answer = Message(role="assistant", parts=(ToolResultPart(call_id="1", text=text),))
        await simulate_turn(box, [answer], text, user, 1)
        assert harmful_runs(box) == ["search_web"]


@pytest.mark.parametrize("tool", TOOLS)
async def test_what_runs_is_what_the_user_was_shown(tmp_path: Path, tool: str) -> None:
    """A user who says yes at times: each run has its own yes, to exactly its arguments."""
    box = await permissive_box(tmp_path)
    for text in injections(tool)[::9]:
        box.runs.clear()
        user = User("once", "no", "no", "once", "chat", "always", "no", "once")
        await simulate_turn(box, question_with(text), text, user, 8)
        yes = [(r.definition.name, r.arguments) for r, answer in user.asked if answer == "once"]
        runs = [(d.name, visible(a)) for d, a in box.runs if not d.is_harmless]
        assert sorted(runs) == sorted(yes)
        assert len(runs) == 3
        for request, _ in user.asked:
            assert all(c.isprintable() or c == "\n" for c in request.arguments)
            assert request.choices == ("once", "no")


async def test_nobody_to_ask(tmp_path: Path) -> None:
    """Without a terminal the answer is no, but for what the flag names."""
    box = await permissive_box(tmp_path, allowed_by_flag=["get_weather"])
    for text in injections("upload"):
        await simulate_turn(box, question_with(text), text, None, 3)
    assert set(harmful_runs(box)) == {"get_weather"}


def test_what_taints() -> None:
    plain = Message(role="user", parts=(TextPart("Hello."),))
    empty = Message(role="user", parts=(TextPart("Hello."), SourcesPart(())))
    result = Message(role="assistant", parts=(ToolResultPart(call_id="1", text="4"),))
    assert not taints([])
    assert not taints([plain, empty])
    assert taints([plain, result, plain])
    assert taints([*question_with("text"), plain])
    assert taints([Message(role="user", parts=(TextPart("Hello.", is_foreign=True),)), plain])
