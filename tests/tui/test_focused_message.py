"""What is seen of the message that has the focus."""

import pytest

from chatbot.paths import config_file
from tests.tui.helpers import MakeApp, answers, ask_and_wait, screen_text, until


@pytest.mark.parametrize("state", ["-good", "-bad", "-failed", "-streaming", "-left-out"])
async def test_whatever_became_of_a_message_its_focus_is_seen(
    make_app: MakeApp, state: str
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "first")
        view = answers(app)[0]
        view.add_class(state)
        before = view.styles.border_left
        await pilot.press("ctrl+t")
        assert app.focused is view
        accent = app.theme_variables["accent"]
        assert view.styles.border_left[1].hex.lower() == accent.lower() != before[1].hex.lower()


async def test_a_pinned_message_says_so(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await ask_and_wait(pilot, app, "first")
        await pilot.press("ctrl+t", "p")
        await until(pilot, lambda: "◆ pinned" in screen_text(app))
        await pilot.press("p")
        await until(pilot, lambda: "◆ pinned" not in screen_text(app))
        await pilot.press("k", "p")
        await until(pilot, lambda: "◆ pinned" in screen_text(app))
        app.show_conversation()
        await until(pilot, lambda: not app.query("MessageView:focus"))
        await until(pilot, lambda: "◆ pinned" in screen_text(app))


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100])
async def test_the_main_keys_of_a_message_stand_below_the_prompt(
    make_app: MakeApp, width: int
) -> None:
    app = make_app()
    async with app.run_test(size=(width, 24)) as pilot:
        await ask_and_wait(pilot, app, "first")
        assert "all keys" not in screen_text(app)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "all keys" in screen_text(app) or width < 40)
        assert ("k/j move · r again · " in screen_text(app)) is (width >= 40)
        assert "…" not in str(app._prompt.border_subtitle)
        assert app._prompt.border_subtitle in screen_text(app)
        await pilot.press("e")
        await until(pilot, lambda: "editing ·" in screen_text(app))
        assert "all keys" not in screen_text(app)


async def test_the_hint_follows_rebound_keys(make_app: MakeApp) -> None:
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text('[keys]\nhelp = "f12"\nregenerate = "ctrl+alt+r,R"\n')
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await ask_and_wait(pilot, app, "first")
        await pilot.press("ctrl+t")
        hint = "k/j move · Ctrl+Alt+R again · e edit · c copy · t tokens · F12 all keys"
        await until(pilot, lambda: hint in screen_text(app))
        await pilot.resize_terminal(60, 24)
        await until(pilot, lambda: "e edit · F12 all keys ─" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "all keys" not in screen_text(app))
