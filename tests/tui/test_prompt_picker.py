"""The prompt library in the TUI."""

import pytest
from textual.pilot import Pilot
from textual.visual import visualize
from textual.widgets import Input, OptionList

from chatbot.paths import config_dir
from chatbot.settings import Settings
from chatbot.tui.app import ChatApp
from chatbot.tui.prompts.fields import Field
from chatbot.tui.prompts.picker import PromptPicker
from tests.tui.helpers import (
    MakeApp,
    answers,
    ask,
    last_answer,
    notices,
    press,
    questions,
    screen_text,
    until,
)


async def open_picker(pilot: Pilot[int], app: ChatApp) -> PromptPicker:
    """Open the picker by its key, and wait until a prompt is shown."""
    press(app, "ctrl+r")
    await until(pilot, lambda: isinstance(app.screen, PromptPicker))
    picker = app.screen
    assert isinstance(picker, PromptPicker)
    await until(pilot, lambda: picker._group is not None and picker._group.is_mounted)
    return picker


async def choose(pilot: Pilot[int], picker: PromptPicker, name: str) -> None:
    """Search for a prompt until it is the one that is shown."""
    press(pilot.app, *name)
    await until(pilot, lambda: bool(picker._prompt and picker._prompt.name == name))


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_list_fields_and_preview_are_in_sight(
    make_app: MakeApp, size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        picker = await open_picker(pilot, app)
        await choose(pilot, picker, "summary")
        await until(pilot, lambda: "Sum up the text below" in screen_text(app))
        shown = screen_text(app)
        for part in (
            "Sums up a text, as long as you say",
            "Questions",
            "length       ‹ three sentences › 2/4",
            "What is sent",
            "‹input›",
            "Still needed: input",
            "Enter send",
        ):
            assert part in shown


async def test_what_is_typed_is_previewed_and_sent(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        picker = await open_picker(pilot, app)
        await choose(pilot, picker, "summary")
        press(app, "tab", *"A long story", "tab", "right", "tab", *"cats")
        await until(pilot, lambda: "one paragraph, for" in screen_text(app))
        assert "This answer alone: temperature 0.2" in screen_text(app)
        press(app, "enter")
        await until(pilot, lambda: bool(answers(app)) and not app._status.is_busy)
        (question,) = questions(app)
        assert question.startswith("Sum up the text below in one paragraph, for cats.\n")
        assert question.endswith("Text:\nA long story")
        made = last_answer(app).making
        assert made is not None
        assert made.sampling.temperature == 0.2
        assert app.manager.settings.sampling == Settings().sampling


async def test_enter_goes_to_what_is_missing(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_picker(pilot, app)
        # In one burst: each key acts where the keys before have led.
        press(app, *"tran", "enter", *"Hi", "ctrl+j", *"you", "enter", *"Dutch", "enter")
        await until(pilot, lambda: bool(questions(app)))
        assert questions(app)[0].startswith("Translate the text below into Dutch.")
        assert questions(app)[0].endswith("Text:\nHi\nyou")


async def test_the_message_box_is_the_input(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"why?")
        picker = await open_picker(pilot, app)
        await until(pilot, lambda: "why?" in str(picker._group and picker._group.values))
        press(app, "escape")
        await until(pilot, lambda: app.screen is not picker)
        assert app._prompt.text == "why?"
        picker = await open_picker(pilot, app)
        await choose(pilot, picker, "plain")
        press(app, "enter")
        await until(pilot, lambda: questions(app) != [])
        assert questions(app)[0].startswith("why?\n\nAnswer directly.")
        assert app._prompt.text == ""


async def test_values_stay_while_one_looks_at_other_prompts(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        picker = await open_picker(pilot, app)
        await choose(pilot, picker, "review")
        press(app, "tab", *"text", "tab", *"a poet", "shift+tab", "shift+tab")
        await until(pilot, lambda: picker.focused is picker.query_one(Input))
        press(app, "ctrl+u", *"plain")
        await until(pilot, lambda: bool(picker._prompt and picker._prompt.name == "plain"))
        await until(pilot, lambda: bool(picker._group and picker._group.values))
        assert picker._group is not None
        assert picker._group.values == {"input": "text"}
        press(app, "ctrl+u", *"review")
        await until(pilot, lambda: "You are a poet." in screen_text(app))


async def test_the_command_opens_the_picker_with_what_it_says(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await ask(pilot, "/prompt translation tone=formal Good morning")
        await until(pilot, lambda: "Use a formal tone." in screen_text(app))
        assert "Still needed: language" in screen_text(app)
        press(app, "enter", *"Greek", "enter")
        await until(pilot, lambda: questions(app) != [])
        assert "into Greek.\nUse a formal tone." in questions(app)[0]


async def test_letters_right_behind_its_key_are_for_the_picker(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        press(app, "a", "ctrl+r", *"transl")
        await until(pilot, lambda: "Translate the text" in screen_text(app))
        assert app._prompt.text == "a"


async def test_a_persona_becomes_the_system_prompt(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        picker = await open_picker(pilot, app)
        await choose(pilot, picker, "tutor")
        await until(pilot, lambda: "What becomes the system prompt" in screen_text(app))
        press(app, "enter")
        await until(pilot, lambda: "patient tutor" in app.manager.settings.system_prompt)
        await until(pilot, lambda: "The model is now tutor" in screen_text(app))
        assert questions(app) == []


async def test_a_question_of_the_library_waits_while_an_answer_is_written(
    make_app: MakeApp,
) -> None:
    app = make_app(answer="word " * 100, delay=0.02)
    async with app.run_test(size=(80, 24)) as pilot:
        press(app, *"first", "enter", *"second", "enter")
        await until(pilot, lambda: "next" in screen_text(app))
        picker = await open_picker(pilot, app)
        await choose(pilot, picker, "translation")
        press(app, "tab", *"Tree", "tab", *"Greek", "enter")
        await until(pilot, lambda: app.screen is not picker)
        await until(pilot, lambda: "takes it back · Translate" in screen_text(app))
        await until(pilot, lambda: len(app.manager.conversation) == 6)
        assert questions(app)[:2] == ["first", "second"]
        assert "into Greek" in questions(app)[2]
        making = last_answer(app).making
        assert making is not None
        assert making.sampling.temperature == 0.2


async def test_mistakes_are_said_below_the_preview(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        picker = await open_picker(pilot, app)
        await choose(pilot, picker, "few-shot")
        press(app, "tab", *"x", "tab", "tab", *"nonsense", "ctrl+j")
        await until(pilot, lambda: "'nonsense' is not" in screen_text(app))
        assert picker._state.has_class("-failed")
        press(app, "enter")
        await pilot.pause()
        assert app.screen is picker


async def test_no_prompt_with_these_words(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        picker = await open_picker(pilot, app)
        press(app, *"xyzzy", "enter", "tab", "up")
        await until(pilot, lambda: "No prompt has these words." in screen_text(app))
        assert app.screen is picker
        press(app, "ctrl+u", "down")
        await until(pilot, lambda: picker.query_one(OptionList).highlighted == 2)


async def test_ones_own_prompts_are_marked_and_broken_ones_named(make_app: MakeApp) -> None:
    folder = config_dir() / "prompts"
    folder.mkdir(parents=True)
    (folder / "mine.md").write_text("---\ndescription: My [b]own[/b]\n---\nHello [red]you[/]")
    (folder / "bad.md").write_text("---\ndescription: Bad\n---\n{{ nothing }}")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        picker = await open_picker(pilot, app)
        await choose(pilot, picker, "mine")
        await until(pilot, lambda: "Hello [red]you[/]" in screen_text(app))
        assert "mine yours" in screen_text(app)
        assert "My [b]own[/b]" in screen_text(app)
        assert "bad.md is not used" in notices(app)


async def test_keys_of_the_chat_do_nothing_behind_the_picker(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await ask(pilot, "first")
        await until(pilot, lambda: bool(answers(app)) and not app._status.is_busy)
        picker = await open_picker(pilot, app)
        press(app, "ctrl+n", "ctrl+b", "f1", "ctrl+r", "ctrl+p", "ctrl+t")
        await pilot.pause(0.1)
        assert app.screen is picker
        press(app, "escape")
        await until(pilot, lambda: app.screen is not picker)
        assert questions(app) == ["first"]
        assert not app._sidebar.display


async def test_what_is_said_of_a_field_is_no_markup(make_app: MakeApp) -> None:
    folder = config_dir() / "prompts"
    folder.mkdir(parents=True)
    said = "[/] [@click=app.quit]x[/]"
    (folder / "mine.md").write_text(
        f"---\ndescription: Mine\nvariables:\n  input: '{said}'\n---\nHello {{{{ input }}}}"
    )
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        picker = await open_picker(pilot, app)
        await choose(pilot, picker, "mine")
        await until(pilot, lambda: said in screen_text(app))
        field = picker.query(Field).last()
        assert str(visualize(field, field.tooltip)) == said  # as a tip is made


async def test_the_key_can_be_rebound(make_app: MakeApp) -> None:
    config_dir().mkdir(parents=True)
    (config_dir() / "config.toml").write_text('[keys]\nprompts = "f7"\n')
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        press(app, "f7")
        await until(pilot, lambda: isinstance(app.screen, PromptPicker))
