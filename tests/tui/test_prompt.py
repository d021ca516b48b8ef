"""The prompt: several lines, earlier messages, completion, paste, order of keys."""

from pathlib import Path

import pytest
from textual import events

from tests.tui.helpers import MakeApp, ask_and_wait, press, questions, until


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


async def test_slash_commands_are_hinted_and_completed(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("/", "r", "e", "g")
        assert app._hints.display
        assert "/regen" in str(app._hints.content)
        await pilot.press("tab")
        assert app._prompt.text == "/regen "
        await pilot.press("ctrl+a", "ctrl+k", "x")
        assert not app._hints.display


async def test_paste_is_cleaned(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        app.post_message(events.Paste("a\x1b[31mb\u202ec\r\nd"))
        await until(pilot, lambda: app._prompt.text == "abc\nd")


async def test_the_users_editor_gets_and_gives_the_text(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from chatbot.tui.external_editor import edit_text

    script = tmp_path / "editor.sh"
    script.write_text('#!/bin/sh\nprintf " and more\\033[31m" >> "$1"\n')
    script.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(script))
    assert edit_text("before") == "before and more"
