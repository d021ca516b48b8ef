"""/tools and /tool, on a tool box of their own."""

from pathlib import Path

import msgspec
import pytest

from chatbot.conversation.commands import complete_command, run_command
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.tools import Tools
from chatbot.errors import CommandError, ToolError
from chatbot.tools.settings import ToolSettings
from tests.conversation.building import SavedSettings, with_settings
from tests.conversation.fake_engine import FakeEngine
from tests.conversation.test_commands import FakeFace
from tests.conversation.told_engine import INFO
from tests.tools.boxes import RecordingBox


@pytest.fixture
def face(tmp_path: Path) -> FakeFace:
    tools = Tools(lambda: RecordingBox(tmp_path, ToolSettings()))
    manager = ConversationManager(FakeEngine(), with_settings(), SavedSettings(), tools=tools)
    return FakeFace(manager)


def state_of(face: FakeFace, name: str) -> tuple[bool, str]:
    assert face.manager.tools is not None
    info = next(i for i in face.manager.tools.box.tools if i.definition.name == name)
    return info.is_on, info.policy


async def test_tools_are_listed_with_their_state(face: FakeFace) -> None:
    await run_command(face, "/tools")
    assert "☑" not in face.notes.pop()  # there is no model yet that could call one
    tools = face.manager.tools
    assert tools is not None
    tools.model_changed(msgspec.structs.replace(INFO, tool_dialect="hermes"))
    await run_command(face, "/tools")
    assert "- ☑ `calculate` *allow*: Work out an arithmetic expression." in face.notes[0]
    assert "- ☐ `get_weather`" in face.notes[0]
    assert "network · ask" in face.notes[0]
    assert "**MCP servers**" in face.notes[0]


async def test_tools_are_switched_and_ruled(face: FakeFace) -> None:
    await run_command(face, "/tools on get_weather")
    assert state_of(face, "get_weather") == (True, "ask")
    await run_command(face, "/tools deny get_weather")
    assert state_of(face, "get_weather") == (True, "deny")
    await run_command(face, "/tools off get_weather")
    assert state_of(face, "get_weather") == (False, "deny")


async def test_what_tools_does_not_take(face: FakeFace) -> None:
    for line in ("/tools on", "/tools maybe calculate"):
        with pytest.raises(CommandError, match="deny with the name of a tool, or refresh"):
            await run_command(face, line)
    with pytest.raises(ToolError, match="There is no tool called nothing"):
        await run_command(face, "/tools on nothing")


async def test_the_users_own_are_there_without_a_question_before(face: FakeFace) -> None:
    await run_command(face, "/tools")
    assert ": Count words." in face.notes[-1]


async def test_a_name_that_is_not_known_yet_is_waited_for(face: FakeFace) -> None:
    await run_command(face, "/tools deny count_words")
    assert state_of(face, "count_words")[1] == "deny"


async def test_refresh_finds_what_has_changed(face: FakeFace, tmp_path: Path) -> None:
    await run_command(face, "/tools")
    (tmp_path / "tools.py").write_text('def shout(x: str) -> str:\n    """Say it loud."""\n')
    await run_command(face, "/tools refresh")
    assert ": Say it loud." in face.notes[-1]
    assert "count_words" not in face.notes[-1]


async def test_a_tool_by_hand(face: FakeFace) -> None:
    await run_command(face, "/tool calculate 2+2")
    assert "\n4\n" in face.notes[0]
    with pytest.raises(CommandError, match="Name a tool"):
        await run_command(face, "/tool")
    with pytest.raises(ToolError, match="There is no tool called nothing"):
        await run_command(face, "/tool nothing 1")


async def test_several_arguments_are_begun_for_the_user(face: FakeFace) -> None:
    await run_command(face, "/tools")  # has them found
    line = '/tool convert_units {"value": 0, "from_unit": "", "to_unit": ""}'
    assert [one.line for one in complete_command(face, "/tool convert_units ")] == [line]
    (finished,) = complete_command(face, line.replace("0", "3"))
    assert "JSON object" in finished.help
    filled = '/tool convert_units {"value": 3, "from_unit": "mile", "to_unit": "km"}'
    await run_command(face, filled)
    assert "4.82" in face.notes[-1]
    (one_argument,) = complete_command(face, "/tool calculate ")
    assert one_argument.line == "/tool calculate "
    with pytest.raises(CommandError) as refused:
        await run_command(face, "/tool")
    assert filled in str(refused.value)


@pytest.mark.parametrize("schema", [True, {}, {"type": ["string", "null"]}, {"type": "odd"}])
async def test_arguments_of_no_simple_type_are_begun_as_null(
    face: FakeFace, schema: object
) -> None:
    await run_command(face, "/tools")
    assert face.manager.tools is not None
    for info in face.manager.tools.box.tools:
        if info.definition.name == "convert_units":
            info.definition.parameters["properties"]["value"] = schema
    (one,) = complete_command(face, "/tool convert_units ")
    assert '"value": null' in one.line


async def test_arguments_that_could_not_be_shown_whole_are_not_begun(face: FakeFace) -> None:
    await run_command(face, "/tools")
    assert face.manager.tools is not None
    definitions = [info.definition for info in face.manager.tools.box.tools]
    (units,) = (one for one in definitions if one.name == "convert_units")
    for required in (["a\u202eb", "c"], [f"a_parameter_called_{n}" for n in range(30)]):
        units.parameters["required"] = required
        (one,) = complete_command(face, "/tool convert_units ")
        assert one.line == "/tool convert_units "
