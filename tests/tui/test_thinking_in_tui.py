"""Thinking in the TUI: its size, its end by a key, and what the ribbon says of it."""

import msgspec
import pytest

from chatbot.messages import ThinkingPart
from chatbot.settings import Settings
from chatbot.tui.app import ChatApp
from chatbot.tui.chat.thinking_view import ThinkingView
from chatbot.tui.sidebar.setting_controls import Chooser
from chatbot.tui.variants.screen import VariantsScreen
from tests.tui.helpers import (
    MakeApp,
    answers,
    ask,
    ask_and_wait,
    filled,
    foot,
    last_answer,
    notices,
    press,
    screen_text,
    until,
)

pytestmark = pytest.mark.timeout(60)

LONG_THOUGHT = "think " + "hm " * 2000


@pytest.mark.parametrize("command", ["", "/answer"])
async def test_a_thought_is_counted_and_cut_short(make_app: MakeApp, command: str) -> None:
    app = make_app(answer="Yes.", delay=0.002)
    async with app.run_test(size=(100, 30)) as pilot:
        app.take(LONG_THOUGHT)
        await until(pilot, lambda: "▸ thinking · 1" in screen_text(app))
        await until(pilot, lambda: "thinking · F5 answer now · " in foot(answers(app)[0]))
        if command:
            app.take(command)
        else:
            press(app, "f5")
        await until(pilot, lambda: not app._status.is_busy)
        thought, _ = last_answer(app).parts
        assert isinstance(thought, ThinkingPart)
        assert thought.is_cut
        assert 0 < thought.num_tokens < 2000
        line = f"▸ thought · {thought.num_tokens:,} tokens · {thought.seconds:.1f} s · cut short"
        await until(pilot, lambda: line in screen_text(app))
        await app.draw_conversation()
        await until(pilot, lambda: line in screen_text(app))  # as it is kept


async def test_a_thought_grows_while_it_is_open(make_app: MakeApp) -> None:
    app = make_app(answer="Yes.", delay=0.01)
    async with app.run_test(size=(100, 30)) as pilot:
        app.take("think " + " ".join(f"word{n}" for n in range(400)))
        await until(pilot, lambda: bool(app.query(ThinkingView)))
        view = app.query_one(ThinkingView)
        view.toggle()
        await until(pilot, lambda: "┊ word0 word1" in screen_text(app))
        first = screen_text(app).count("┊")
        await until(pilot, lambda: screen_text(app).count("┊") > first + 1)
        assert not view._is_over
        press(app, "escape")
        await until(pilot, lambda: not app._status.is_busy)
        await until(pilot, lambda: "▾ thought · " in screen_text(app))


async def test_the_ribbon_says_what_thinking_is_left_out(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 30)) as pilot:
        app._sidebar.display = False
        await ask_and_wait(pilot, app, "think one two three four five")
        await until(pilot, lambda: "✂ thinking, left out: 5 tokens" in screen_text(app))
        press(app, "f3")
        await until(pilot, lambda: "room for the answer" in screen_text(app))
        assert "✂ thinking, left out: 5 tokens" in screen_text(app)
        press(app, "f3")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "✂ thinking 5" in screen_text(app))


async def test_with_nothing_to_end_that_is_said(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.session.engine.status.state == "ready")
        press(app, "f5")
        await until(pilot, lambda: "no answer being written" in notices(app))
        await ask(pilot, "hello")
        await until(pilot, lambda: not app._status.is_busy)


# Told to think or not


def thoughts(app: ChatApp) -> list[str]:
    return [part.text for part in last_answer(app).parts if isinstance(part, ThinkingPart)]


async def test_a_model_that_can_be_told_is_switched_in_the_sidebar(make_app: MakeApp) -> None:
    app = make_app(answer="Yes.", switch="always")
    async with app.run_test(size=(140, 48)) as pilot:
        await filled(pilot)
        control = app.query_one("#setting-thinking")
        await until(pilot, lambda: bool(control.display))
        assert "‹ auto ›" in screen_text(app)
        await ask_and_wait(pilot, app, "hello")
        await until(pilot, lambda: "template 3" in screen_text(app))
        control.query_one(Chooser).focus()
        press(app, "left")  # from auto round to off
        await until(pilot, lambda: app.manager.settings.thinking == "off")
        # The next prompt has an empty thought more, and the ribbon counts it.
        await until(pilot, lambda: "template 5" in screen_text(app))
        app._prompt.focus()
        app.take("think one two")
        await until(pilot, lambda: len(app.manager.conversation) == 4)
        await until(pilot, lambda: not app._status.is_busy)
        assert thoughts(app) == []
        assert "bf16 · thinking off · " in foot(answers(app)[-1])
        await ask(pilot, "/set thinking on")
        await until(pilot, lambda: app.manager.settings.thinking == "on")
        app.take("think one two")
        await until(pilot, lambda: len(app.manager.conversation) == 6)
        await until(pilot, lambda: not app._status.is_busy)
        assert thoughts(app) == ["one two "]
        app.take("/variants 2 think one two")
        await until(pilot, lambda: "thought 2 tokens" in screen_text(app))
        await until(pilot, lambda: "Esc back" in screen_text(app))
        press(app, "escape")
        await until(pilot, lambda: not isinstance(app.screen, VariantsScreen))
        app.take("/compare thinking on off")
        await until(pilot, lambda: "thinking off" in screen_text(app))
        await until(pilot, lambda: "Esc back" in screen_text(app))
        assert screen_text(app).count("thought 2 tokens") == 1
        press(app, "escape")
        made = [m.making for m in app.manager.conversation.messages() if m.making]
        assert [m.thinking for m in made] == ["auto", "off", "on", "on", "on", "on", "off"]


@pytest.mark.parametrize("command", ["/set thinking off", "/compare thinking on off"])
async def test_one_that_cannot_is_left_as_it_is(make_app: MakeApp, command: str) -> None:
    app = make_app(answer="Yes.")
    async with app.run_test(size=(140, 48)) as pilot:
        await filled(pilot)
        await ask_and_wait(pilot, app, "hello")
        assert not app.query_one("#setting-thinking").display
        await ask(pilot, command)
        await until(pilot, lambda: "cannot be told to think or not" in notices(app))
        assert app.manager.settings.thinking == "auto"


async def test_what_was_set_for_another_model_is_explained(make_app: MakeApp) -> None:
    app = make_app(settings=msgspec.structs.replace(Settings(), thinking="on"))
    async with app.run_test(size=(140, 48)) as pilot:
        await until(pilot, lambda: "cannot be told to think or not" in notices(app))
        assert app.manager.settings.thinking == "on"  # for the next model


async def test_a_system_prompt_may_stand_in_the_way(make_app: MakeApp) -> None:
    app = make_app(switch="without_system")
    async with app.run_test(size=(140, 48)) as pilot:
        await ask_and_wait(pilot, app, "hello")
        await ask(pilot, "/set thinking on")
        await until(pilot, lambda: "only without a system prompt" in screen_text(app))
        assert app.manager.settings.thinking == "on"
