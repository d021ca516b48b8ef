"""The page with all keys and commands."""

import pytest

from chatbot.paths import config_file
from chatbot.tui.help_screen import HelpScreen, page_lines, sections
from chatbot.tui.keys import KEYS
from tests.tui.helpers import MakeApp, press, screen_text, until


def shown(width: int, *words: str, keymap: dict[str, str] | None = None) -> list[str]:
    """The lines of the page."""
    return [line.plain.rstrip() for line in page_lines(list(sections(keymap or {})), words, width)]


def test_keys_stand_there_as_they_are_bound() -> None:
    row = f"{'F2':<20}{'show or hide the settings':<54}toggle_sidebar"
    assert row in shown(94, keymap={"toggle_sidebar": "f2"})


@pytest.mark.parametrize("width", [40, 43, 66, 94])
def test_nothing_is_lost_however_narrow_it_is(width: int) -> None:
    lines = shown(width)
    assert max(map(len, lines)) <= width
    text = "".join("".join(lines).split())
    names = [name for name, key in KEYS.items() if key.is_listed]
    assert [name for name in names if name not in text] == []


def test_rows_are_found_by_what_they_do_their_keys_and_their_place() -> None:
    assert shown(94, "side", "answers")[0] == "With several answers side by side"
    assert [line[:6] for line in shown(94, "ctrl+t")] == ["Everyw", "Ctrl+T"]
    assert "On a message" in shown(94, "variant", "message")
    assert shown(94, "zzz") == ["Nothing here has all of these words."]


async def test_what_is_typed_is_searched_for(make_app: MakeApp) -> None:
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text('[keys]\nhelp = "f12"\n')
    app = make_app()
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("f12")
        await until(pilot, lambda: "stop the answer" in screen_text(app))
        assert len(list(app.screen.walk_children())) < 10  # or it takes long to open
        await pilot.press("pagedown")
        await until(pilot, lambda: "stop the answer" not in screen_text(app))
        press(app, *"quit")
        await until(pilot, lambda: "Ctrl+Q" in screen_text(app))
        assert "pin_chat" not in screen_text(app)
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("f12")
        assert not isinstance(app.screen, HelpScreen)
        assert app._prompt.text == ""
