"""What is seen of the message that has the focus."""

import pytest

from tests.tui.helpers import MakeApp, answers, ask_and_wait


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
