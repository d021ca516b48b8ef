"""Which keys of the settings file are used, and what is said of the others."""

import pytest
from textual.events import Key

from chatbot.paths import config_file
from chatbot.tui.keys import KEYS, check_keymap
from tests.tui.helpers import MakeApp, filled, screen_text, until


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("send", "bogus", "[keys] send: 'bogus' is no key; its own stays: Enter."),
        ("send", "ctrl+enter, hyper+bogus", "'hyper+bogus' is no key"),
        ("hold", " , ", "[keys] hold: it has no key; its own stays: F8."),
        ("stop", "f2,enter", "[keys] stop: Enter is the key of send there"),
        ("edit", "r", "R is the key of regenerate"),
        ("nope", "f2", "[keys] nope: there is no such action"),
        ("prompts", "a", "'a' is needed to write with; its own stays: Ctrl+R."),
        ("send", "f2, space", "'space' is needed to write with"),
        ("quit", "+", "'+' is needed to write with"),
    ],
)
def test_keys_that_cannot_be_used_leave_the_usual_ones(name: str, keys: str, said: str) -> None:
    usable, (problem,) = check_keymap({name: keys, "new_chat": "ctrl+alt+n"})
    assert usable == {"new_chat": "ctrl+alt+n"}
    assert said.lower() in problem.lower()


@pytest.mark.parametrize("name", KEYS)
def test_each_action_can_have_the_keys_it_has(name: str) -> None:
    assert check_keymap({name: KEYS[name].keys}) == ({name: KEYS[name].keys}, ())


async def test_rebound_keys_are_named_on_the_screen(make_app: MakeApp) -> None:
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text('[keys]\nhelp = "f12"\nquit = "f10"\nsend = "ctrl+s"\n')
    app = make_app()
    async with app.run_test(size=(100, 30)):
        shown = screen_text(app)
    for words in ("press Ctrl+S,", "F12     help", "F10     quit", "F12 for help"):
        assert words in shown


async def test_a_key_that_comes_while_all_is_put_away_ends_nothing(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test():
        pass
    assert not app.screen_stack
    await app.on_event(Key("escape", None))


def test_a_key_that_is_taken_back_is_not_taken_by_another() -> None:
    usable, problems = check_keymap({"help": "f3", "ribbon": "f4"})
    assert usable == {}
    assert len(problems) == 2


def test_two_names_of_a_key_are_one() -> None:
    usable, (problem,) = check_keymap({"rate_bad": "plus"})
    assert usable == {}
    assert "rate_good" in problem


def test_two_actions_can_change_keys() -> None:
    wanted = {"hold": "f9", "step": "f8"}
    assert check_keymap(wanted) == (wanted, ())


@pytest.mark.parametrize(
    ("opens", "rebound", "words"),
    [
        ("ctrl+c", "quit = 'ctrl+x'", "Ctrl+X ends the program."),
        ("ctrl+b", "knowledge = 'f6'", "no folder: F6 adds one"),
        ("ctrl+k", "pin_chat = 'f7'", "F2 rename · F7 pin"),
        ("ctrl+o", "next_precision = 'ctrl+l'", "Enter load · ← Ctrl+L precision · + - window"),
        ("f4", "next_pane = 'f9,f10'", "F5 F9 tabs · Esc close"),
        ("f4", "add_folder = 'n'", "No folder is searched; n adds one."),
    ],
)
async def test_frames_name_the_keys_that_are_bound(
    make_app: MakeApp, opens: str, rebound: str, words: str
) -> None:
    config_file().parent.mkdir(parents=True)
    config_file().write_text(f"[keys]\n{rebound}\n")
    app = make_app()
    async with app.run_test(size=(100, 40), notifications=True) as pilot:
        await filled(pilot)
        await pilot.press(opens)
        await until(pilot, lambda: words in screen_text(app))
