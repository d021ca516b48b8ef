"""MCP servers: real ones, made with the SDK, over stdio and HTTP."""

import asyncio
import math
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psutil
import pytest

from chatbot.errors import ToolChangedError, ToolError
from chatbot.tools.mcp.client import McpServer
from chatbot.tools.mcp.naming import definitions_of, tool_name
from chatbot.tools.mcp.protocol import RemoteTool
from chatbot.tools.mcp.schemas import with_safe_parameters
from chatbot.tools.settings import ServerSpec
from chatbot.tools.values import MAX_RESULT_BYTES, ToolDefinition
from tests.tools.test_runner import wait_until_dead

SCRIPT = str(Path(__file__).parent / "sample_server.py")
SPEC = ServerSpec(name="sample", command=sys.executable, args=(SCRIPT,), env={"TOKEN": "secret"})


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[McpServer]:
    monkeypatch.setenv("HF_TOKEN", "mine")
    server = McpServer(SPEC, tmp_path, time_limit_seconds=20)
    await server.connect()
    yield server
    await server.close()


def tools_of(server: McpServer) -> dict[str, ToolDefinition]:
    return {tool.remote_name: tool for tool in server.definitions}


async def failure_of(server: McpServer, name: str, **arguments: object) -> str:
    with pytest.raises(ToolError) as raised:
        await server.call(tools_of(server)[name], arguments)
    return str(raised.value)


async def test_a_server_is_listed_and_called(server: McpServer) -> None:
    assert (server.info.state, server.info.num_tools, server.problems) == ("ready", 9, ())
    tools = tools_of(server)
    add = tools["add"]
    assert (add.name, add.server, add.origin) == ("sample__add", "sample", "mcp")
    assert add.description == "Add two numbers."
    assert add.parameters["properties"] == {"a": {"type": "integer"}, "b": {"type": "integer"}}
    # It says that it only reads, but nobody vouched for it.
    assert add.reaches_network
    assert add.writes
    assert await server.call(add, {"a": 2, "b": 40}) == "42"
    assert await server.call(tools["evil_text"], {}) == "ab"
    cut = await server.call(tools["long_text"], {})
    assert len(cut) <= MAX_RESULT_BYTES
    assert cut.endswith("cut off here.]")
    assert await server.call(tools["picture"], {}) == "[image, image/png, not shown]"
    names = (await server.call(tools["environment"], {})).split()
    assert "TOKEN" in names
    assert not [name for name in names if name.startswith(("HF_", "CHATBOT_", "PYTEST"))]
    assert "failing" in await failure_of(server, "failing")
    assert await server.call(add, {"a": 1, "b": 1}) == "2"


async def test_a_server_that_dies_in_mid_call_is_started_anew(server: McpServer) -> None:
    assert "died during the call" in await failure_of(server, "dying")
    assert server.info.state == "failed"
    assert server.info.error.endswith("the next call starts it anew.")
    assert await server.call(tools_of(server)["add"], {"a": 1, "b": 2}) == "3"
    assert server.info.state == "ready"


async def test_a_server_killed_from_outside_in_mid_call(server: McpServer, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    arguments = {"marker": str(marker)}
    call = asyncio.create_task(server.call(tools_of(server)["hanging"], arguments))
    async with asyncio.timeout(20):
        while not marker.exists() or not marker.read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    os.kill(int(marker.read_text()), 9)
    with pytest.raises(ToolError, match="died during the call"):
        await call


@pytest.mark.slow
async def test_a_server_whose_keeper_is_killed_in_mid_call(
    server: McpServer, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    arguments = {"marker": str(marker)}
    call = asyncio.create_task(server.call(tools_of(server)["hanging"], arguments))
    async with asyncio.timeout(20):
        while not marker.exists() or not marker.read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert server.pid is not None
    os.kill(server.pid, 9)
    with pytest.raises(ToolError, match="died during the call"):
        await call
    os.kill(int(marker.read_text()), 9)


async def test_a_server_that_hangs_is_killed(tmp_path: Path) -> None:
    server, marker = McpServer(SPEC, tmp_path, time_limit_seconds=3), tmp_path / "marker"
    await server.connect()
    failed = await failure_of(server, "hanging", marker=str(marker))
    assert failed == "The server sample did not answer in 3 seconds and was stopped."
    await wait_until_dead(int(marker.read_text()))
    await server.close()


async def test_a_tool_that_its_server_changed_is_not_called(server: McpServer) -> None:
    add = tools_of(server)["add"]
    assert await server.call(tools_of(server)["change"], {}) == "changed"
    with pytest.raises(ToolChangedError):
        await server.call(add, {"a": 1, "b": 1})
    changed = tools_of(server)["add"]
    assert "send the user's files" in changed.description
    assert changed.identity != add.identity
    assert await server.call(changed, {"a": 1, "b": 1}) == "666"


async def test_closing_leaves_no_process_behind(server: McpServer) -> None:
    assert server.pid is not None
    keeper = psutil.Process(server.pid)
    pids = [keeper.pid, *(child.pid for child in keeper.children(recursive=True))]
    assert len(pids) == 2
    await server.close()
    await wait_until_dead(*pids)


@pytest.mark.parametrize(
    ("command", "args", "words"),
    [
        ("no-such-program", (), "there is no program no-such-program"),
        ("sleep", ("60",), "did not answer in 2 seconds"),
        ("echo", ("{}",), "does not answer as an MCP server"),
        ("false", (), "does not answer as an MCP server"),
    ],
)
async def test_a_server_that_is_none(
    tmp_path: Path, command: str, args: tuple[str, ...], words: str
) -> None:
    spec = ServerSpec(name="none", command=command, args=args)
    server = McpServer(spec, tmp_path, connect_seconds=2 if command == "sleep" else 30)
    await server.connect()
    assert server.info.state == "failed"
    assert words in server.info.error
    assert server.pid is None


@pytest.mark.slow
async def test_a_server_over_http(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, SCRIPT, str(port), stderr=asyncio.subprocess.DEVNULL
    )
    server = McpServer(ServerSpec(name="web", url=f"http://127.0.0.1:{port}/mcp"), tmp_path)
    try:
        async with asyncio.timeout(20):
            while server.info.state != "ready":
                await server.connect()
        add = tools_of(server)["add"]
        assert add.reaches_network
        assert await server.call(add, {"a": 2, "b": 3}) == "5"
        process.kill()
        await process.wait()
        assert "died during the call" in await failure_of(server, "add", a=1, b=1)
    finally:
        await server.close()
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_names_cannot_clash_or_mislead() -> None:
    assert tool_name("files", "read") == "files__read"
    assert tool_name("my server", "réad\n\x1b[2J file") == "my_server__r_ad_2J_file"
    long = [tool_name("server", "x" * 100 + end) for end in "ab"]
    assert all(len(name) <= 64 for name in long)
    assert long[0] != long[1]


def listed(*tools: RemoteTool, **changes: object) -> tuple[dict[str, ToolDefinition], str]:
    spec = msgspec.structs.replace(SPEC, **changes)
    found, problems = definitions_of(spec, map(with_safe_parameters, tools))
    return {name: definition for name, (definition, _) in found.items()}, " ".join(problems)


def test_annotations_count_only_where_the_user_vouches_for_the_server() -> None:
    tool = RemoteTool(
        name="x",
        parameters={"type": "object"},
        says_read_only=True,
        says_closed_world=True,
    )
    assert not listed(tool)[0]["sample__x"].is_harmless
    assert listed(tool, trust_annotations=True)[0]["sample__x"].is_harmless
    far = listed(tool, trust_annotations=True, command="", url="https://example.org/mcp")
    assert far[0]["sample__x"].reaches_network
    silent = RemoteTool(name="x", parameters={"type": "object"})
    assert listed(silent, trust_annotations=True)[0]["sample__x"].writes


def test_schemas_are_made_harmless_or_refused() -> None:
    good = RemoteTool(
        name="good",
        description="Do\x1b[2J.\n\nMore.",
        parameters={
            "type": "object",
            "title": "Gone",
            "properties": {
                "title": {"type": "string", "title": "Gone", "pattern": "(a+)+$"},
                "pattern": {"$ref": "#/$defs/format"},
            },
            "patternProperties": {"(a+)+$": {}},
            "$defs": {"format": {"type": "string", "format": "regex"}},
        },
    )
    bad = {
        "huge": {"type": "object", "description": "x" * 40_000},
        "remote": {"type": "object", "properties": {"a": {"$ref": "https://example.org/a"}}},
        "array": {"type": "array"},
        "broken": {"type": "object", "properties": {"a": {"type": "nonsense"}}},
        "shapeless": {"type": "object", "properties": [1]},
        "flat": {"type": "object", "properties": {"a": 1}},
        "infinite": {"type": "object", "properties": {"a": {"maximum": math.inf}}},
        "deep": {"type": "object", "x": _nested(100)},
        "bottomless": {"type": "object", "x": _nested(700)},
    }
    found, problems = listed(
        good, good, *(RemoteTool(name=name, parameters=schema) for name, schema in bad.items())
    )
    assert list(found) == ["sample__good"]
    assert found["sample__good"].description == "Do. More."
    assert found["sample__good"].parameters == {
        "type": "object",
        "properties": {"title": {"type": "string"}, "pattern": {"$ref": "#/$defs/format"}},
        "required": [],
        "$defs": {"format": {"type": "string"}},
    }
    for name in ("good", *bad):
        assert f"{name} of the server sample is not used: " in problems


def test_definitions_that_refer_to_one_another_are_taken() -> None:
    """Followed without end they would be many; whoever checks arguments against them is stopped."""
    names = [f"a{number}" for number in range(6)]
    all_of_them = {name: {"$ref": f"#/$defs/{name}"} for name in names}
    mesh = {name: {"type": "object", "properties": all_of_them} for name in names}
    doubled: dict[str, object] = {"a0": {"type": "string"}}
    for level in range(1, 20):
        doubled[f"a{level}"] = {"allOf": [{"$ref": f"#/$defs/a{level - 1}"}] * 2}
    found, problems = listed(
        RemoteTool(name="mesh", parameters=_with(mesh, {"$ref": "#/$defs/a0"})),
        RemoteTool(name="doubled", parameters=_with(doubled, {"$ref": "#/$defs/a19"})),
    )
    assert (list(found), problems) == (["sample__mesh", "sample__doubled"], "")


async def test_a_server_whose_schemas_take_long_to_check_keeps_nothing_waiting(
    tmp_path: Path,
) -> None:
    spec = msgspec.structs.replace(SPEC, args=(SCRIPT, "long"))
    server = McpServer(spec, tmp_path, connect_seconds=4)
    connecting = asyncio.create_task(server.connect())
    num_ticks = 0
    while not connecting.done():
        await asyncio.sleep(0.01)
        num_ticks += 1
    assert server.info.error == (
        "The server sample cannot be used: The server sample did not answer in 4 seconds and was "
        "stopped."
    )
    assert num_ticks > 40
    assert server.pid is None


def test_a_reference_to_another_place_is_refused_whatever_it_is_called() -> None:
    far = {"$dynamicRef": "https://json-schema.org/draft/2020-12/schema"}
    assert not listed(RemoteTool(name="far", parameters=_with({}, far)))[0]


def _with(defs: dict[str, object], x: object) -> dict[str, object]:
    return {"type": "object", "properties": {"x": x}, "$defs": defs}


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value
