"""The prompt: several lines, earlier messages, completion, paste, order of keys."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from textual import events

from chatbot.conversation.commands import COMMANDS
from tests.tui.helpers import (
    MakeApp,
    answers,
    ask,
    ask_and_wait,
    filled,
    press,
    questions,
    until,
)


async def test_newlines_and_sending(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        press(app, *"one", "ctrl+j", *"two", "shift+enter", *"three", "enter")
        await until(pilot, lambda: questions(app) == ["one\ntwo\nthree"])


async def test_keys_in_one_burst_keep_their_order(make_app: MakeApp) -> None:
    app = make_app(delay=0.05)
    async with app.run_test() as pilot:
        press(app, "a", "b", "enter", "c", "left", "d")
        await until(pilot, lambda: questions(app) == ["ab"])
        await until(pilot, lambda: app._prompt.text == "dc")


async def test_letters_of_a_burst_stay_out_of_a_question_that_is_edited_after_them(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "one")
        app.post_message(events.Paste("two "))
        press(app, *"three", "ctrl+t", "k", "e", "!", "escape", *" four")
        await until(pilot, lambda: app._prompt.text == "two three four")
        await pilot.press("ctrl+c", "up", "up")
        assert app._prompt.text == "one!"


async def test_earlier_messages_come_back_and_the_draft_stays(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "one")
        await ask_and_wait(pilot, app, "two")
        await pilot.press(*"draft", "up")
        assert app._prompt.text == "two"
        await pilot.press("up", "up")
        assert app._prompt.text == "one"
        await pilot.press("down", "down")
        assert app._prompt.text == "draft"


async def test_what_was_made_of_an_earlier_message_stays_until_something_is_sent(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "one")
        await ask_and_wait(pilot, app, "two")
        await pilot.press(*"draft", "up", *" changed", "up")
        assert app._prompt.text == "one"
        await pilot.press("down")
        assert app._prompt.text == "two changed"
        await pilot.press("down")
        assert app._prompt.text == "draft"
        await ask_and_wait(pilot, app, " sent")
        await pilot.press("up", "up")
        assert app._prompt.text == "two"


async def test_escape_puts_the_list_away_until_something_is_typed(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press(*"/re")
        assert app._hints.display
        await pilot.press("escape")
        assert not app._hints.display
        assert app._prompt.text == "/re"
        await pilot.press("tab")
        assert app._hints.display
        await pilot.press("escape", "n")
        assert "/rename" in str(app._hints.content)


async def test_slash_commands_are_hinted_and_completed(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("/", "r", "e", "g")
        assert app._hints.display
        assert "/regen" in str(app._hints.content)
        await pilot.press("tab")
        assert app._prompt.text == "/regen "
        await pilot.press("ctrl+u", "x")
        assert not app._hints.display


async def test_paste_is_cleaned(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        app.post_message(events.Paste("a\x1b[31mb\u202ec\r\nd"))
        await until(pilot, lambda: app._prompt.text == "abc\nd")


async def test_a_long_paste_is_undone_and_done_again(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        pasted = "line\n" * 100
        app._prompt.post_message(events.Paste(pasted))
        await until(pilot, lambda: app._prompt.text == pasted)
        press(app, "ctrl+z")
        await until(pilot, lambda: app._prompt.text == "")
        press(app, "ctrl+y")
        await until(pilot, lambda: app._prompt.text == pasted)


async def test_the_users_editor_gets_and_gives_the_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from chatbot.tui.external_editor import edit_text

    script = tmp_path / "editor.sh"
    script.write_text('#!/bin/sh\nprintf " and more\\033[31m" >> "$1"\n')
    script.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(script))
    assert await edit_text("before") == "before and more"


async def test_an_answer_goes_on_while_an_editor_has_the_terminal(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The editor ends when the answer has, and not before: else both would wait for ever.
    done = tmp_path / "done"
    script = tmp_path / "editor.sh"
    script.write_text(
        '#!/bin/sh\nprintf " two" >> "$1"\nkill -INT $PPID\n'
        f"while [ ! -e {done} ]; do sleep 0.05; done\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(script))
    app = make_app(answer="word " * 60, delay=0.01)
    monkeypatch.setattr(app, "suspend", nullcontext)
    async with app.run_test() as pilot:
        await ask(pilot, "go")
        await until(pilot, lambda: bool(answers(app)) and "word" in answers(app)[0].text)
        await pilot.press(*"one")
        app._prompt.action_editor()
        await until(pilot, lambda: app._batch_count > 0)
        await until(pilot, lambda: not app.manager.is_busy)
        assert app.manager.conversation.path()[-1].text.split() == ["word"] * 60
        assert app._prompt.text == "one"
        done.touch()
        await until(pilot, lambda: app._prompt.text == "one two")
        assert app._batch_count == 0


async def test_tab_and_arrows_go_through_what_a_command_could_become(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press(*"/re")
        for key, shown in (
            ("tab", "/reset"),
            ("tab", "/regen"),
            ("tab", "/rename"),
            ("tab", "/reset"),
            ("shift+tab", "/rename"),
            ("up", "/regen"),
            ("down", "/rename"),
        ):
            await pilot.press(key)
            await until(pilot, lambda shown=shown: app._prompt.text == shown)
        assert "/reset" in str(app._hints.content)  # the others stay in sight
        await pilot.press("space")
        await until(pilot, lambda: "/reset" not in str(app._hints.content))


async def test_arguments_are_hinted_and_completed(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press(*"/theme pap", "tab")
        await until(pilot, lambda: app._prompt.text == "/theme paper ")
        await pilot.press("ctrl+u", *"/set top_k ")
        await until(pilot, lambda: "a whole number from 0 to 1000" in str(app._hints.content))
        await pilot.press("down")
        await until(pilot, lambda: app._prompt.text == "/set top_k 50")


async def test_the_choice_is_always_in_sight(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("/")
        for _ in range(len(COMMANDS)):
            await pilot.press("down")
            await pilot.pause()
            assert app._prompt.text in str(app._hints.content)
        assert app._prompt.text == "/quit"
        assert app._hints.size.height <= 9


async def test_arrows_on_an_earlier_command_go_on_through_earlier_messages(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "one")
        await pilot.press(*"/token", "tab")
        await until(pilot, lambda: app._prompt.text == "/tokens ")
        await pilot.press("backspace", "down", "enter")
        await until(pilot, lambda: app._prompt.text == "")
        await pilot.press("up")
        assert app._prompt.text == "/tokens"
        await pilot.press("up")
        assert app._prompt.text == "one"
        await pilot.press("down", "down")
        assert app._prompt.text == ""


async def test_shift_tab_in_other_text_goes_to_what_is_before(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await filled(pilot)
        await pilot.press(*"text", "shift+tab")
        assert app.focused is not app._prompt
        assert app._prompt.text == "text"
