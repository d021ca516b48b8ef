"""The sidebar, themes, keys and what of them is kept."""

import tomllib

import msgspec
from textual.widgets import Input

from chatbot.paths import config_dir, config_file, shipped_dir
from chatbot.settings import Settings
from chatbot.tui.sidebar.setting_controls import NumberControl
from chatbot.tui.sidebar.sidebar import Sidebar
from tests.tui.helpers import MakeApp, ask, ask_and_wait, filled, notices, screen_text, until

WIDE = (140, 50)


def saved() -> dict[str, object]:
    return tomllib.loads(config_file().read_text())


def palette(name: str) -> dict[str, str]:
    """A shipped theme's colours, as Textual writes them."""
    colours = tomllib.loads((shipped_dir("themes") / f"{name}.toml").read_text())
    return {key: value.upper() for key, value in colours.items() if isinstance(value, str)}


async def test_a_value_outside_the_range_is_refused_at_the_control(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await filled(pilot)
        control = app.query_one("#setting-temperature", NumberControl)
        control.query_one(Input).focus()
        await pilot.pause()
        await pilot.press("9", "enter")
        assert "from 0 to 2" in control.refusal
        await until(pilot, lambda: "must be a number" in screen_text(app))
        assert app.manager.settings.sampling.temperature == 0.3
        control.query_one(Input).value = "1.5"
        await pilot.press("enter")
        assert app.manager.settings.sampling.temperature == 1.5
        assert not control.refusal


async def test_arrow_keys_step_and_stop_at_the_ends(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await filled(pilot)
        app.query_one("#setting-temperature NumberInput").focus()
        await pilot.press("up")
        assert app.manager.settings.sampling.temperature == 0.4
        await pilot.press(*["up"] * 20)
        await until(pilot, lambda: app.manager.settings.sampling.temperature == 2)
        app.query_one("#setting-seed NumberInput").focus()
        await pilot.press("up")
        assert app.manager.settings.sampling.seed == 1
        await pilot.press("down", "down")
        assert app.manager.settings.sampling.seed == 0


async def test_a_click_on_the_bar_chooses_a_value(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await filled(pilot)
        await pilot.pause()
        control = app.query_one("#setting-temperature", NumberControl)
        await pilot.click(control, offset=(control.size.width - 1, 1))
        assert app.manager.settings.sampling.temperature == 2
        await pilot.click(control, offset=(0, 1))
        assert app.manager.settings.sampling.temperature == 0
        await pilot.click(control, offset=(5, 0))  # its label
        await pilot.click(control.query_one(Input))
        assert app.manager.settings.sampling.temperature == 0


async def test_settings_are_kept_and_flags_are_not(make_app: MakeApp) -> None:
    flags = msgspec.structs.replace(Settings(), system_prompt="Only for this run.")
    app = make_app(settings=flags)
    async with app.run_test(size=WIDE) as pilot:
        await filled(pilot)
        await ask(pilot, "/set top_k 7")
        await until(pilot, lambda: app.manager.settings.sampling.top_k == 7)
    assert saved() == {"sampling": {"top_k": 7}}
    again = make_app()
    async with again.run_test(size=WIDE):
        assert again.manager.settings.sampling.top_k == 7
        assert again.manager.settings.system_prompt == Settings().system_prompt


async def test_the_system_prompt_is_taken_when_it_is_left(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await filled(pilot)
        app.query_one("#setting-system_prompt TextArea").focus()
        await pilot.press("f7", "delete", *"Rhyme.")
        app._prompt.focus()
        await until(pilot, lambda: app.manager.settings.system_prompt == "Rhyme.")


async def test_another_precision_reloads_and_keeps_the_chat(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await filled(pilot)
        await ask_and_wait(pilot, app, "hello")
        app.query_one("#setting-precision Chooser").focus()
        await pilot.pause()
        await pilot.press("right")
        await until(
            pilot,
            lambda: bool(i := app.session.engine.status.info) and i.precision == "fp32",
        )
        assert len(app.manager.conversation) == 2
        assert saved()["precision"] == "fp32"


async def test_a_model_that_cannot_be_loaded_leaves_the_old_one(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await filled(pilot)
        await until(pilot, lambda: app.session.engine.status.state == "ready")
        await ask(pilot, "/model missing/one")
        await until(pilot, lambda: "no model 'missing/one'" in notices(app))
        await until(pilot, lambda: app.session.engine.status.state == "ready")
        assert app.manager.settings.model == Settings().model
        assert app.query_one("#setting-model Input", Input).value == Settings().model
        assert (await ask_and_wait(pilot, app, "hi")).text.startswith("You said: hi")


async def test_themes_switch_live_and_are_kept(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await filled(pilot)
        assert app.theme == "night"
        assert app.screen.styles.background.hex == palette("night")["background"]
        await ask(pilot, "/theme day")
        await until(pilot, lambda: app.theme == "day")
        await until(pilot, lambda: app.screen.styles.background.hex == palette("day")["background"])
        assert saved() == {"theme": "day"}
        await ask(pilot, "/theme nonsense")
        await until(pilot, lambda: "no theme 'nonsense'" in notices(app))


async def test_themes_are_chosen_in_the_sidebar(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await filled(pilot)
        app.query_one("#setting-theme Chooser").focus()
        await pilot.pause()
        before = app.theme
        await pilot.press("right")
        assert app.theme != before
        await pilot.press("left")
        assert app.theme == before
        chooser = app.query_one("#setting-theme Chooser")
        await pilot.click(chooser, offset=(chooser.size.width - 1, 0))
        assert app.theme != before


async def test_a_broken_theme_file_is_named_and_not_fatal(make_app: MakeApp) -> None:
    folder = config_dir() / "themes"
    folder.mkdir(parents=True)
    (folder / "broken.toml").write_text('primary = "not a colour"')
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "broken.toml" in notices(app))
        assert app.theme == "night"


async def test_keys_are_rebound_by_name_and_unknown_names_are_said(make_app: MakeApp) -> None:
    config_dir().mkdir(parents=True)
    config_file().write_text('[keys]\ntoggle_sidebar = "f2"\nsend = "ctrl+s"\nfly = "f3"\n')
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await filled(pilot)
        assert "[keys] fly" in notices(app)
        sidebar = app.query_one(Sidebar)
        assert sidebar.display
        await pilot.press("f2")
        assert not sidebar.display
        await pilot.press("ctrl+b")
        assert not sidebar.display
        await pilot.press(*"one", "enter", *"two")
        assert app._prompt.text == "one\ntwo"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(app.manager.conversation) == 2)


async def test_more_entries_that_are_not_used_than_can_be_shown_are_counted(
    make_app: MakeApp,
) -> None:
    config_dir().mkdir(parents=True)
    config_file().write_text("".join(f"wrong_{number} = 1\n" for number in range(5)))
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await filled(pilot)
        for words in ("wrong_0 in", "wrong_1 in", "3 further entries", "doctor names all."):
            await until(pilot, lambda said=words: said in screen_text(app))


async def test_the_sidebar_is_closed_where_there_is_no_room(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await filled(pilot)
        sidebar = app.query_one(Sidebar)
        assert not sidebar.display
        await pilot.press("ctrl+b")
        assert sidebar.display
        assert app.focused is app.query_one("#setting-temperature NumberInput")


async def test_a_sidebar_without_room_beside_the_chat_lies_over_it_and_goes_with_the_focus(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(60, 20)) as pilot:
        await filled(pilot)
        width = app._chat.size.width
        await pilot.press("ctrl+b")
        await until(pilot, lambda: app._sidebar.region.right == 60)
        assert app._chat.size.width == width
        assert "Temperature" in screen_text(app)
        await pilot.press("escape")
        assert app.focused is app._prompt
        await until(pilot, lambda: "Temperature" not in screen_text(app))
        await pilot.press("ctrl+b")
        await pilot.resize_terminal(100, 20)
        await until(pilot, lambda: app._chat.size.width < 100 - app._sidebar.size.width)
        app.set_focus(app._prompt)
        await pilot.pause()
        assert app._sidebar.display
        await pilot.resize_terminal(60, 20)
        await until(pilot, lambda: not app._sidebar.display)
