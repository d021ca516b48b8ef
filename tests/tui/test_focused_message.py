"""What is seen of the message that has the focus."""

import pytest

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
