"""Arguments whose check would take for ever: it is stopped, and nothing waits for it meanwhile."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chatbot.errors import ToolError
from chatbot.tools.built_in.registry import FUNCTIONS
from chatbot.tools.definitions import define
from chatbot.tools.runner import ToolRunner
from chatbot.tools.settings import ToolSettings
from chatbot.tools.validation import is_short
from chatbot.tools.values import ToolCall, ToolDefinition
from tests.tools.boxes import FakeServer, RecordingBox, User, run_one

ENDLESS = "^(a+)+$"
TEXT = "a" * 60 + "!"


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"k": value}
    return value


def doubled() -> dict[str, Any]:
    """Definitions that each refer twice to the one before: 2^40 of them, once followed."""
    levels = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n - 1}"}] * 2} for n in range(1, 41)}
    return {"a0": {"type": "string"}, **levels}


TWICE = {"properties": {"k": {"$ref": "#/$defs/a"}}}

CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "pattern": ({"properties": {"x": {"pattern": ENDLESS}}}, TEXT),
    # Whoever takes patterns out of schemas does not look for them there.
    "pattern in a default": (
        {
            "properties": {"x": {"$ref": "#/default/properties"}},
            "default": {"properties": {"pattern": ENDLESS}},
        },
        TEXT,
    ),
    "pattern of names": ({"properties": {"x": {"patternProperties": {ENDLESS: {}}}}}, {TEXT: 1}),
    "doubled": ({"properties": {"x": {"$ref": "#/$defs/a40"}}, "$defs": doubled()}, TEXT),
    "recursive": (
        {"properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"allOf": [TWICE, TWICE]}}},
        nested(28),
    ),
    "unique": ({"properties": {"x": {"uniqueItems": True}}}, [{"a": n} for n in range(12_000)]),
    "many by many": ({"properties": {"x": {"items": {"allOf": [{}] * 9000}}}}, [1] * 50_000),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[ToolDefinition, dict[str, Any]]:
    parameters, value = CASES[request.param]
    definition = ToolDefinition(
        name="chat__post",
        description="Post.",
        parameters={"type": "object", "required": [], **parameters},
        origin="mcp",
        server="chat",
        remote_name="post",
    )
    return definition, {"x": value}


async def test_an_endless_check_ends_the_call_and_keeps_nothing_waiting(
    tmp_path: Path, case: tuple[ToolDefinition, dict[str, Any]]
) -> None:
    definition, arguments = case
    box = RecordingBox(tmp_path, ToolSettings(), time_limit_seconds=1)
    server = FakeServer()
    server.definitions = (definition,)
    servers: Any = box._catalogue._servers
    servers["chat"] = server
    box.switch("chat__post", is_on=True)
    turn = box.begin_turn(is_tainted=False, approver=User(otherwise="once"))
    call = ToolCall(name="chat__post", arguments=json.dumps(arguments))
    running = asyncio.create_task(run_one(turn, call))
    num_ticks = 0
    while not running.done():
        await asyncio.sleep(0.01)
        num_ticks += 1
    assert running.result().error == (
        "The check of chat__post's arguments was stopped after 1 seconds."
    )
    assert num_ticks > 10
    assert not box.runs


async def test_a_check_in_a_process_says_and_mends_what_one_here_does(runner: ToolRunner) -> None:
    tool = ToolDefinition(
        name="send",
        description="Send.",
        parameters={
            "type": "object",
            "properties": {
                "to": {"$ref": "#/$defs/address"},
                "count": {"type": "integer"},
                "big": {"type": "integer"},
            },
            "required": ["to"],
            "$defs": {"address": {"type": "string", "pattern": "^[a-z]+@[a-z]+$"}},
        },
    )
    given = {"to": "me@home", "count": "3", "big": 10**40}
    checked = await runner.check(tool, given)
    assert checked == {"to": "me@home", "count": 3, "big": 10**40}
    assert list(checked) == list(given)
    for arguments, sentence in (
        ({}, "send needs the argument to; its arguments are: to, count, big."),
        ({"to": 5}, "The argument to of send must be of the type string."),
        ({"to": "x"}, "The argument to of send is wrong: 'x' does not match '^[a-z]+@[a-z]+$'."),
    ):
        with pytest.raises(ToolError) as raised:
            await runner.check(tool, arguments)
        assert str(raised.value) == sentence


def test_what_is_checked_without_a_process(
    case: tuple[ToolDefinition, dict[str, Any]],
) -> None:
    definition, arguments = case
    assert not is_short(definition, arguments)
    for function in FUNCTIONS.values():
        assert is_short(define(function), {"text": "x" * 10_000, "number": 5})
    plain = msgspec.structs.replace(
        definition,
        parameters={"properties": {f"x{n}": {"type": "string"} for n in range(50)}},
    )
    assert is_short(plain, {f"x{n}": "text" for n in range(50)})
    assert not is_short(plain, {f"x{n}": "text" * 3000 for n in range(50)})
