"""Questions that are sent while an answer is being written: each is asked when it is its turn."""

import os
import signal
from pathlib import Path

from chatbot.tui.app import ChatApp
from chatbot.tui.variants.screen import VariantsScreen
from tests.tui.helpers import (
    MakeApp,
    answers,
    ask,
    ask_and_wait,
    filled,
    last_answer,
    press,
    questions,
    screen_text,
    until,
)


def asked(app: ChatApp) -> list[str]:
    """The questions of the branch that is shown."""
    return [one.text for one in app.manager.conversation.path() if one.role == "user"]


async def test_each_is_asked_after_the_answer_before(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 20, delay=0.02)
    async with app.run_test() as pilot:
        press(app, *"one", "enter", *"two", "enter", *"three", "enter")
        await until(pilot, lambda: "next two" in screen_text(app))
        assert "next · Up takes it back · three" in screen_text(app)
        assert questions(app) == ["one"]
        await until(pilot, lambda: len(app.manager.conversation) == 6)
        assert asked(app) == ["one", "two", "three"]
        assert "next" not in screen_text(app)


async def test_more_than_a_few_are_counted(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 500, delay=0.02)
    async with app.run_test() as pilot:
        await ask(pilot, "zero")
        for text in ("one", "two", "three", "four\nfive", "six"):
            app._prompt.propose(text)
            press(app, "enter")
            await until(pilot, lambda: not app._prompt.text)
        await until(pilot, lambda: "and · Up takes it back · 2 others" in screen_text(app))
        press(app, "up")
        await until(pilot, lambda: "takes it back · 1 other" in screen_text(app))
        assert app._prompt.text == "six"
        press(app, "escape")
        await until(pilot, lambda: not app.manager.is_busy)


async def test_stopping_brings_back_what_waits(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 500, delay=0.02)
    async with app.run_test() as pilot:
        press(app, *"one", "enter", *"two", "enter", *"three", "enter", *"four")
        await until(pilot, lambda: bool(answers(app)) and "word" in answers(app)[0].text)
        press(app, "escape")
        await until(pilot, lambda: not app.manager.is_busy)
        await until(pilot, lambda: not app._status.is_busy)
        assert app._prompt.text == "two\nthree\nfour"
        assert asked(app) == ["one"]


async def test_the_last_one_comes_back_with_up_and_can_be_sent_again(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 30, delay=0.02)
    async with app.run_test() as pilot:
        press(app, *"one", "enter", *"two", "enter", "up")
        await until(pilot, lambda: app._prompt.text == "two")
        assert "next" not in screen_text(app)
        press(app, "!", "enter")
        await until(pilot, lambda: len(app.manager.conversation) == 4)
        assert asked(app) == ["one", "two!"]


async def test_nothing_more_is_asked_after_an_answer_that_failed(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 500, delay=0.02)
    async with app.run_test() as pilot:
        press(app, *"one", "enter", *"two", "enter")
        await until(pilot, lambda: bool(answers(app)) and "word" in answers(app)[0].text)
        assert app.session.engine.pid is not None
        os.kill(app.session.engine.pid, signal.SIGKILL)
        await until(pilot, lambda: not app.manager.is_busy)
        await until(pilot, lambda: app._prompt.text == "two")
        assert asked(app) == ["one"]


async def test_a_question_that_cannot_be_asked_brings_back_what_waits_behind_it(
    make_app: MakeApp, tmp_path: Path
) -> None:
    (tmp_path / "broken.md").write_text("x")
    app = make_app(answer="word " * 20, delay=0.02)
    async with app.run_test() as pilot:
        await ask(pilot, "one")
        for text in (f"what is in @{tmp_path}/broken.md ?", "two"):
            app._prompt.propose(text)
            press(app, "enter")
            await until(pilot, lambda: not app._prompt.text)
        await until(pilot, lambda: app._prompt.text.endswith("?\ntwo"))
        assert asked(app) == ["one"]


async def test_what_is_sent_before_several_answers_are_shown_waits_until_one_is_kept(
    make_app: MakeApp,
) -> None:
    app = make_app(delay=0.01)
    async with app.run_test(size=(100, 30)) as pilot:
        await ask_and_wait(pilot, app, "one")
        press(app, *"/variants 2", "enter", *"two", "enter")
        await until(pilot, lambda: isinstance(app.screen, VariantsScreen))
        await until(pilot, lambda: not app._status.is_busy)
        await pilot.pause(0.1)
        assert asked(app) == ["one"]
        kept = app.manager.conversation.variants(last_answer(app).id)[2]
        press(app, "right", "enter")
        await until(pilot, lambda: len(app.manager.conversation.path()) == 4)
        assert asked(app) == ["one", "two"]
        assert app.manager.conversation.path()[1].id == kept


async def test_leaving_several_answers_brings_back_what_waits(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 500, delay=0.02)
    async with app.run_test(size=(100, 30)) as pilot:
        press(app, *"/variants 2 which", "enter", *"two", "enter", *"three", "enter")
        await until(pilot, lambda: isinstance(app.screen, VariantsScreen))
        await until(pilot, lambda: "word" in screen_text(app))
        press(app, "escape")
        await until(pilot, lambda: not app.manager.is_busy)
        assert app._prompt.text == "two\nthree"
        press(app, "enter")
        await until(pilot, lambda: not isinstance(app.screen, VariantsScreen))
        await until(pilot, lambda: not app._status.is_busy)
        await pilot.pause(0.1)
        assert asked(app) == ["which"]
        assert "two" in screen_text(app)


async def test_a_command_is_carried_out_at_once_and_one_that_is_refused_changes_nothing(
    make_app: MakeApp,
) -> None:
    app = make_app(answer="word " * 40, delay=0.02)
    async with app.run_test() as pilot:
        press(app, *"one", "enter", *"two", "enter", *"/regen", "enter")
        await until(pilot, lambda: app._prompt.text == "/regen")
        assert "Up takes it back · two" in screen_text(app)
        await until(pilot, lambda: len(app.manager.conversation) == 4)
        assert last_answer(app).text.startswith("word")
        assert asked(app) == ["one", "two"]


async def test_what_was_not_asked_is_in_the_prompt_at_the_next_start(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 500, delay=0.02)
    async with app.run_test() as pilot:
        press(app, *"one", "enter", *"two", "enter", *"three", "enter", *"four")
        await until(pilot, lambda: bool(answers(app)) and app._prompt.text == "four")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app._prompt.text == "two\nthree\nfour")
        press(app, "enter")
        await until(pilot, lambda: asked(app) == ["two\nthree\nfour"])
    app = make_app()
    async with app.run_test() as pilot:
        await filled(pilot)
        assert app._prompt.text == ""


async def test_of_the_prompt_only_what_is_new_is_kept_for_the_next_start(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "one")
        press(app, *"draft", "up")
        await until(pilot, lambda: app._prompt.text == "one")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app._prompt.text == "draft")
        await pilot.press("ctrl+c")
        await ask_and_wait(pilot, app, "one")
        await pilot.press(*"before", "ctrl+t", "k", "e", "!")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app._prompt.text == "before\none!")
