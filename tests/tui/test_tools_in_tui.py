"""Tool calls in the TUI: cards, thoughts, the question whether one may run, and the sidebar."""

from pathlib import Path

import pytest
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Markdown, Static

from chatbot.messages import ToolCallPart, ToolResultPart
from chatbot.paths import config_dir, config_file
from chatbot.tui.app import ChatApp
from chatbot.tui.approval_screen import ApprovalScreen
from chatbot.tui.chat.thinking_view import ThinkingView
from chatbot.tui.chat.tool_card import FOLDED_LINES, ToolCard
from chatbot.tui.sidebar.tool_list import ToolList
from tests.tui.helpers import (
    MakeApp,
    answers,
    ask,
    ask_and_wait,
    filled,
    last_answer,
    notices,
    press,
    screen_text,
    until,
)

pytestmark = pytest.mark.timeout(60)

CALL = 'call calculate {"expression": "17 * 23"}'
WEATHER = 'call get_weather {"place": "Paris"}'


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches the network: nothing listens on this port."""
    for name in ("CHATBOT_GEOCODING_URL", "CHATBOT_WEATHER_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


async def test_a_call_is_a_card_between_the_texts(make_app: MakeApp) -> None:
    app = make_app(tools=["calculate"])
    async with app.run_test(size=(120, 40)) as pilot:
        answer = await ask_and_wait(pilot, app, CALL)
        assert answer.text == "The tools said: 391"
        (card,) = app.query(ToolCard)
        await until(pilot, lambda: "✓" in screen_text(app))
        shown = screen_text(app)
        assert "⚙ calculate expression: 17 * 23" in shown
        assert "│ 391" in shown
        assert shown.index("⚙ calculate") < shown.index("The tools said: 391")
        assert card.result is not None
        assert card.result.approved_by == "default"


async def test_cards_come_back_with_the_chat(make_app: MakeApp) -> None:
    app = make_app(tools=["calculate"])
    async with app.run_test(size=(120, 40)) as pilot:
        app.take(f"think let me see\n{CALL}")
        await until(pilot, lambda: "The tools said" in screen_text(app))
        await until(pilot, lambda: not app._status.is_busy)
        await app.draw_conversation()
        await pilot.pause()
        (card,) = app.query(ToolCard)
        assert card.result is not None
        assert card.result.text == "391"
        assert [view.text for view in app.query(ThinkingView)] == ["let me see "]
        texts = list(app.query("AnswerView Markdown").results(Markdown))
        assert len(texts) == 1
        assert "The tools said: 391" in screen_text(app)


async def test_thoughts_are_folded_until_they_are_opened(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await ask_and_wait(pilot, app, "think nobody should see this at once")
        await until(pilot, lambda: "▸ thought · 6 tokens · 0.1 s" in screen_text(app))
        assert "┊" not in screen_text(app)
        answers(app)[-1].focus()
        press(app, "x")
        await until(pilot, lambda: "┊ nobody should see this at once" in screen_text(app))
        press(app, "x")
        await until(pilot, lambda: "┊" not in screen_text(app))


async def question_read(pilot: Pilot[int], app: ChatApp) -> None:
    """Wait until the question whether a tool may run takes answers."""
    await until(pilot, lambda: isinstance(app.screen, ApprovalScreen) and app.screen._is_read)


@pytest.mark.parametrize(
    ("key", "approved_by"), [("o", "user"), ("c", "user"), ("A", "user"), ("n", ""), ("escape", "")]
)
async def test_the_user_decides(make_app: MakeApp, key: str, approved_by: str) -> None:
    app = make_app(tools=["get_weather"])
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(pilot, WEATHER)
        await question_read(pilot, app)
        assert '"place": "Paris"' in screen_text(app)
        press(app, key)
        await until(pilot, lambda: not app._status.is_busy)
        results = [p for p in last_answer(app).parts if isinstance(p, ToolResultPart)]
        assert [result.approved_by for result in results] == [approved_by]
        assert app.manager.tools is not None
        weather = next(
            info for info in app.manager.tools.box.tools if info.definition.name == "get_weather"
        )
        assert weather.is_always_allowed == (key == "A")


async def test_what_is_typed_when_the_question_comes_up_is_no_answer(make_app: MakeApp) -> None:
    app = make_app(tools=["get_weather"])
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(pilot, WEATHER)
        await until(pilot, lambda: isinstance(app.screen, ApprovalScreen))
        screen = app.screen
        press(app, *"coAn", "enter")
        await until(pilot, lambda: app._prompt.text == "coAn")
        assert app.screen is screen
        await question_read(pilot, app)
        press(app, "o")
        await until(pilot, lambda: not app._status.is_busy)
        results = [p for p in last_answer(app).parts if isinstance(p, ToolResultPart)]
        assert [result.approved_by for result in results] == ["user"]
        assert app.manager.tools is not None
        assert not any(info.is_always_allowed for info in app.manager.tools.box.tools)


async def test_esc_says_no_at_once(make_app: MakeApp) -> None:
    app = make_app(tools=["get_weather"])
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(pilot, WEATHER)
        await until(pilot, lambda: isinstance(app.screen, ApprovalScreen))
        press(app, "escape")
        await until(pilot, lambda: not app._status.is_busy)
        assert "refused" in screen_text(app)


async def test_enter_does_the_harmless_thing(make_app: MakeApp) -> None:
    app = make_app(tools=["get_weather"])
    async with app.run_test(size=(80, 24)) as pilot:
        await ask(pilot, WEATHER)
        await question_read(pilot, app)
        press(app, "enter")
        await until(pilot, lambda: not app._status.is_busy)
        assert "refused" in screen_text(app)


@pytest.mark.parametrize("size", [(60, 15), (40, 12), (160, 48)])
async def test_all_answers_and_all_arguments_are_in_reach(
    make_app: MakeApp, size: tuple[int, int]
) -> None:
    app = make_app(tools=["get_weather"])
    place = "x " * 45 + "the end"
    async with app.run_test(size=size) as pilot:
        app.take(f'call get_weather {{"place": "{place}"}}')
        await question_read(pilot, app)
        for _ in range(60):
            for words in ("Once (o)", "No (n)"):
                assert words in screen_text(app)
            if "the end" in screen_text(app):
                break
            await pilot.press("down")
        assert "the end" in screen_text(app)
        press(app, "n")
        await until(pilot, lambda: not app._status.is_busy)


async def test_a_long_text_to_be_allowed_is_shown_on_its_lines(make_app: MakeApp) -> None:
    app = make_app(tools=["get_weather"])
    async with app.run_test(size=(80, 24)) as pilot:
        app.take(
            'call get_weather {"place": "@@ -1,2 +1,2 @@\\n-old\\n+new\\n'
            'what is longer than a row, as this line here is by a few words, goes on"}'
        )
        await until(pilot, lambda: isinstance(app.screen, ApprovalScreen))
        await until(pilot, lambda: "┊ -old\\n" in screen_text(app))
        shown = app.screen.query_one("#approval-arguments", Static).content
        assert isinstance(shown, Content)
        coloured = {shown.plain[s.start : s.end]: str(s.style) for s in shown.spans}
        assert all("┊" in row for row in shown.plain.splitlines()[2:-1])
        assert len(shown.plain.splitlines()) == 7  # two of them for the longer line
        assert coloured["-old\\n"] == "$text-error"
        assert coloured["+new\\n"] == "$text-success"
        press(app, "escape")
        await until(pilot, lambda: not app._status.is_busy)


async def test_nothing_in_the_arguments_can_draw_over_the_question(make_app: MakeApp) -> None:
    app = make_app(tools=["get_weather"])
    hostile = (
        'call get_weather {"place": "[red]Paris[/] \\u001b[2J\\u001b[HAllow? \\u202eon\\u202c '
        + "x " * 60
        + '"}'
    )
    async with app.run_test(size=(100, 30)) as pilot:
        app.take(hostile)
        await until(pilot, lambda: isinstance(app.screen, ApprovalScreen))
        await until(pilot, lambda: "[red]Paris[/]" in screen_text(app))
        shown = screen_text(app)
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        # Above and below the frame stand the program's own words alone.
        lines = shown.splitlines()
        top = next(i for i, line in enumerate(lines) if "exactly these arguments" in line)
        assert any("reaches the network" in line for line in lines[:top])
        assert any("No (n)" in line for line in lines[top:])
        await question_read(pilot, app)
        press(app, "n")
        await until(pilot, lambda: not app._status.is_busy)


async def test_a_turn_that_is_stopped_takes_its_question_away(make_app: MakeApp) -> None:
    app = make_app(tools=["get_weather"])
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(pilot, WEATHER)
        await until(pilot, lambda: isinstance(app.screen, ApprovalScreen))
        app.manager.stop()
        await until(pilot, lambda: not app._status.is_busy)
        await until(pilot, lambda: not isinstance(app.screen, ApprovalScreen))
        assert "stopped by the user" in screen_text(app)
        await ask_and_wait(pilot, app, "and now?")


async def test_a_long_result_is_folded(make_app: MakeApp) -> None:
    call = ToolCallPart(id="1", name="read_document", arguments='{"file": "a.md"}')
    text = "\n".join(f"line {number}" for number in range(20))
    app = make_app()
    async with app.run_test(size=(100, 40)) as pilot:
        card = ToolCard(call, ToolResultPart(call_id="1", text=text, approved_by="default"))
        await app._chat.mount(card)
        await pilot.pause()
        assert f"line {FOLDED_LINES - 1}" in screen_text(app)
        assert f"line {FOLDED_LINES}" not in screen_text(app)
        await pilot.click(ToolCard)
        await until(pilot, lambda: "line 19" in screen_text(app))


async def test_tools_in_the_sidebar(make_app: MakeApp) -> None:
    (config_dir()).mkdir(parents=True, exist_ok=True)
    (config_dir() / "tools.py").write_text(
        "from chatbot.tools import tool\n\n"
        "@tool(reaches_network=False, writes=False)\n"
        'def dice(sides: int = 6) -> int:\n    """Throw a die."""\n    return 4\n\n'
        'def broken(x) -> int:\n    """No hint."""\n    return 1\n'
    )
    app = make_app()
    async with app.run_test(size=(120, 60)) as pilot:
        await filled(pilot)
        tools = app.query_one(ToolList)
        await until(pilot, lambda: any(i.definition.name == "dice" for i in tools.rows))
        tools.scroll_visible(animate=False)
        await pilot.pause()
        await until(pilot, lambda: "broken" in " ".join(tools.problems))
        by_name = {info.definition.name: info for info in tools.rows}
        assert not by_name["dice"].is_on
        assert not by_name["get_weather"].is_on
        tools.focus()
        tools.cursor = list(by_name).index("dice")
        press(app, "space")
        await until(
            pilot,
            lambda: next(i for i in tools.rows if i.definition.name == "dice").is_on,
        )
        assert "[tools.dice]" in config_file().read_text()
        press(app, "p")
        await until(
            pilot,
            lambda: next(i for i in tools.rows if i.definition.name == "dice").policy == "allow",
        )


async def test_a_tool_that_is_not_there_is_said(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(tools=["calculate", "no_such_tool"])
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "no_such_tool" in notices(app))
        answer = await ask_and_wait(pilot, app, CALL)
        assert answer.text == "The tools said: 391"
