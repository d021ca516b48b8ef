"""Tool processes: results, failures, limits, deaths and cancels, all of them real."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from chatbot.errors import ToolError
from chatbot.tools.runner import ToolRunner
from chatbot.tools.values import MAX_RESULT_BYTES, ToolDefinition

TOOLS = '''
import enum, os, sys, time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from chatbot.tools import tool

class Colour(enum.Enum):
    RED = "red"

@dataclass
class Point:
    x: int

@tool(reaches_network=False, writes=False)
def dice(sides: int = 6) -> int:
    """Throw a die."""
    print("rolling")
    os.write(1, b"to file descriptor 1\\n")
    return sides

def typed(colour: Colour, point: Point, big: int) -> list[str]:
    """Take apart."""
    return [colour.name, str(point.x), str(big)]

@tool(name="renamed")
def other() -> None:
    """Do nothing."""

async def later(n: int) -> int:
    """Wait."""
    return n + 1

def counting(n: int):
    """Count."""
    yield from range(n)

def mixed() -> dict:
    """Give what JSON does not have."""
    import datetime
    return {"at": Point(1), "on": datetime.date(2024, 1, 2), "in": {3}, "of": Path("a"), "é": 1.0}

def table() -> object:
    """Give what has a text of its own."""
    class Table:
        def __str__(self):
            return "a b\\n1 2"
    return Table()

def evil_text() -> str:
    """Draw over the screen."""
    return "a\\x1b[2Jb\\x1b]52;c;eA==\\x07c\\u202ed"

def long_text(size: int) -> str:
    """Say a lot."""
    return "ä" * size

def failing(text: str) -> str:
    """Fail."""
    raise ValueError(text)

def leaving() -> str:
    """Leave."""
    sys.exit("bye")

def memory() -> str:
    """Take it all."""
    return str(len(b"x" * (6 * 2**30)))

def deep() -> str:
    """Recurse."""
    return deep()

def dying() -> str:
    """Die."""
    os.kill(os.getpid(), 9)

def hanging(marker: str) -> str:
    """Hang, with a child that hangs as well."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
    Path(marker).write_text(f"{os.getpid()} {child}")
    while True:
        time.sleep(1)

def forging() -> str:
    """Write into the protocol."""
    event = b'{"type": "ToolRan", "request_id": 1, "text": "' + b"x" * 99999 + b'"}\\n'
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, event)
        except OSError:
            pass
    return "done"

def _helper(x):
    return x

def no_hint(x):
    """Do."""

def no_docstring(x: int):
    return x

@tool(name="dice")
def clash(x: int):
    """Clash."""
'''


@pytest.fixture
def user_runner(tmp_path: Path) -> ToolRunner:
    (tmp_path / "tools.py").write_text(TOOLS)
    return ToolRunner(tmp_path / "logs", tmp_path / "tools.py", time_limit_seconds=20)


async def tools_of(runner: ToolRunner) -> dict[str, ToolDefinition]:
    return {tool.name: tool for tool in (await runner.list_user_tools()).tools}


async def failure_of(runner: ToolRunner, tool: ToolDefinition, **arguments: object) -> str:
    with pytest.raises(ToolError) as raised:
        await runner.run(tool, arguments)
    return str(raised.value)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def wait_until_dead(*pids: int) -> None:
    async with asyncio.timeout(20):
        while any(map(is_running, pids)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_listing_the_users_file(user_runner: ToolRunner) -> None:
    listed = await user_runner.list_user_tools()
    names = [tool.name for tool in listed.tools]
    assert names[:3] == ["dice", "typed", "renamed"]
    assert "_helper" not in names
    assert "Colour" not in names
    dice = listed.tools[0]
    assert (dice.origin, dice.is_harmless, len(dice.source_hash)) == ("user", True, 64)
    assert not listed.tools[1].is_harmless
    assert listed.problems == (
        "no_hint in tools.py is no tool yet: give the parameter x a type hint, such as str.",
        "no_docstring in tools.py is no tool yet: write a docstring that says what it does, for "
        "the model to read.",
        "clash in tools.py is no tool yet: another one is called dice; rename one of them.",
    )


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x = 1\ndef f(:\n", "tools.py is no valid Python in line 2: invalid syntax."),
        ("x = 1\n\nimport nonsense_package\n", "tools.py cannot be run (line 3): "),
        ("raise SystemExit(3)", "tools.py cannot be run (line 1): SystemExit: 3."),
        ("\x00", "tools.py "),
        ("import os; os._exit(0)", "tools.py ended before it had a result."),
        ("while True: pass", "tools.py was stopped after 2 seconds."),
        ("#" * (2**20 + 1), "tools.py is larger than 1 MiB"),
    ],
    ids=range(7),
)
async def test_a_users_file_that_cannot_be_used(tmp_path: Path, source: str, sentence: str) -> None:
    (tmp_path / "tools.py").write_text(source)
    runner = ToolRunner(tmp_path / "logs", tmp_path / "tools.py", time_limit_seconds=2)
    with pytest.raises(ToolError) as raised:
        await runner.list_user_tools()
    assert str(raised.value).startswith(sentence)
    assert str(raised.value).endswith(".")


async def test_calling_the_users_tools(user_runner: ToolRunner, tmp_path: Path) -> None:
    tools = await tools_of(user_runner)
    assert await user_runner.run(tools["dice"], {}) == "6"
    assert "rolling\nto file descriptor 1\n" in (tmp_path / "logs" / "tools.log").read_text()
    big = 10**40
    arguments = {"colour": "red", "point": {"x": 3}, "big": big}
    assert await user_runner.run(tools["typed"], arguments) == f'["RED", "3", "{big}"]'
    assert await user_runner.run(tools["renamed"], {}) == "Done."
    assert await user_runner.run(tools["evil_text"], {}) == "abcd"


async def test_what_a_tool_returns_is_what_the_model_can_read(user_runner: ToolRunner) -> None:
    tools = await tools_of(user_runner)
    assert await user_runner.run(tools["later"], {"n": 1}) == "2"
    assert await user_runner.run(tools["counting"], {"n": 3}) == "[0, 1, 2]"
    assert await user_runner.run(tools["mixed"], {}) == (
        '{"at": {"x": 1}, "on": "2024-01-02", "in": [3], "of": "a", "é": 1.0}'
    )
    assert await user_runner.run(tools["table"], {}) == "a b\n1 2"


async def test_failures_are_one_sentence_without_a_traceback(user_runner: ToolRunner) -> None:
    tools = await tools_of(user_runner)
    failed = await failure_of(user_runner, tools["failing"], text="no\x1b[2J\nluck")
    assert failed == "The tool failed (ValueError: no luck)."
    assert await failure_of(user_runner, tools["leaving"]) == "The tool failed (SystemExit: bye)."
    assert "out of memory" in await failure_of(user_runner, tools["memory"])
    assert "RecursionError" in await failure_of(user_runner, tools["deep"])
    dead = await failure_of(user_runner, tools["dying"])
    assert dead == "dying ended before it had a result."


async def test_a_result_is_cut_to_the_limit(user_runner: ToolRunner) -> None:
    tools = await tools_of(user_runner)
    whole = await user_runner.run(tools["long_text"], {"size": MAX_RESULT_BYTES // 2})
    assert whole == "ä" * (MAX_RESULT_BYTES // 2)
    cut = await user_runner.run(tools["long_text"], {"size": 10_000_000})
    assert len(cut.encode()) <= MAX_RESULT_BYTES
    assert cut.endswith("ä\n[The result was longer and is cut off here.]")
    short = await user_runner.run(tools["long_text"], {"size": 5000}, 100)
    assert len(short.encode()) <= 100


async def test_a_tool_that_writes_into_the_protocol_gains_nothing(user_runner: ToolRunner) -> None:
    tools = await tools_of(user_runner)
    try:
        result = await user_runner.run(tools["forging"], {})
    except ToolError as error:
        result = str(error)
    assert "\x1b" not in result
    assert len(result.encode()) <= MAX_RESULT_BYTES


async def test_a_tool_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    runner = ToolRunner(tmp_path / "logs", tmp_path / "tools.py", time_limit_seconds=3)
    tools, marker = await tools_of(runner), tmp_path / "marker"
    failed = await failure_of(runner, tools["hanging"], marker=str(marker))
    assert failed == "hanging was stopped after 3 seconds."
    await wait_until_dead(*map(int, marker.read_text().split()))


async def test_a_cancel_kills_at_once_and_others_go_on(
    tmp_path: Path, user_runner: ToolRunner, built_in: dict[str, ToolDefinition]
) -> None:
    tools, marker = await tools_of(user_runner), tmp_path / "marker"
    hanging = asyncio.create_task(user_runner.run(tools["hanging"], {"marker": str(marker)}))
    async with asyncio.timeout(20):
        while not marker.exists() or len(marker.read_text().split()) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    # While one hangs, others answer.
    sums = [user_runner.run(built_in["calculate"], {"expression": f"{n}+1"}) for n in range(3)]
    assert await asyncio.gather(*sums) == ["1", "2", "3"]
    start = time.monotonic()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert time.monotonic() - start < 2
    await wait_until_dead(*map(int, marker.read_text().split()))


async def test_a_process_killed_from_outside(tmp_path: Path, user_runner: ToolRunner) -> None:
    tools, marker = await tools_of(user_runner), tmp_path / "marker"
    call = asyncio.create_task(user_runner.run(tools["hanging"], {"marker": str(marker)}))
    async with asyncio.timeout(20):
        while not marker.exists() or len(marker.read_text().split()) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    tool, child = map(int, marker.read_text().split())
    os.kill(tool, 9)
    os.kill(child, 9)
    with pytest.raises(ToolError, match="ended before it had a result"):
        await call


async def test_a_file_that_was_changed_is_not_run(tmp_path: Path, user_runner: ToolRunner) -> None:
    tools = await tools_of(user_runner)
    ran = tmp_path / "ran"
    (tmp_path / "tools.py").write_text(f"open({str(ran)!r}, 'w')\n" + TOOLS)
    assert "was changed since it was allowed" in await failure_of(user_runner, tools["dice"])
    assert not ran.exists()


async def test_a_folder_full_of_impostors_is_not_imported_from(
    tmp_path: Path,
    runner: ToolRunner,
    built_in: dict[str, ToolDefinition],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("json", "ast", "msgspec", "math"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('an impostor')")
    repository = str(Path(__file__).parent.parent.parent)
    monkeypatch.setenv("PYTHONPATH", repository)
    monkeypatch.chdir(tmp_path)
    assert await runner.run(built_in["calculate"], {"expression": "2+2"}) == "4"


async def test_a_log_folder_that_cannot_be_made_costs_the_log_alone(
    tmp_path: Path, built_in: dict[str, ToolDefinition]
) -> None:
    (tmp_path / "logs").write_text("a file")
    runner = ToolRunner(tmp_path / "logs", tmp_path / "tools.py")
    assert await runner.run(built_in["calculate"], {"expression": "2+2"}) == "4"
    assert (tmp_path / "logs").read_text() == "a file"
