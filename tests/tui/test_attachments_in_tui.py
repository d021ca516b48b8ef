"""Files attached to a question, in the TUI: named, completed, counted, shown and opened."""

from pathlib import Path

import pytest
from textual.app import App, ComposeResult

from chatbot.conversation.file_block import files_of
from chatbot.messages import FilePart, Message, TextPart
from chatbot.tui.chat.file_view import OPEN_LINES, FileView
from chatbot.tui.chat.question_view import QuestionView
from tests.tui.helpers import MakeApp, ask_and_wait, filled, notices, screen_text, until


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "plan.md").write_text("# Plan\n\nLaunch in March.\n")
    (folder / "my [notes].txt").write_text("No [b]markup[/b] in here.")
    (folder / "broken.md").write_text("x")
    return folder


async def test_names_are_completed_in_the_middle_of_a_text(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await filled(pilot)
        await pilot.press(*"In @ it is", *["left"] * 6, *"p")
        await until(pilot, lambda: "@plan.md" in str(app._hints.content))
        await pilot.press("tab")
        await until(pilot, lambda: app._prompt.text == "In @plan.md  it is")
        await until(pilot, lambda: "attached: plan.md" in screen_text(app))
        assert app.focused is app._prompt
        await pilot.press("tab")  # nothing is being named any more
        assert app.focused is not app._prompt


async def test_arrows_go_through_the_names(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press(*"In @")
        for key, text in (
            ("down", "In @broken.md"),
            ("down", 'In @"my [notes].txt"'),
            ("down", "In @plan.md"),
            ("up", 'In @"my [notes].txt"'),
        ):
            await pilot.press(key)
            await until(pilot, lambda text=text: app._prompt.text == text)
        await until(pilot, lambda: "attached: my [notes].txt" in screen_text(app))


async def test_a_file_is_counted_before_it_is_sent_and_shown_after(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app._ribbon.built is not None)
        await pilot.press(*"When, by @plan.md?")
        await until(
            pilot, lambda: app._ribbon.built is not None and app._ribbon.built.num_file_tokens > 0
        )
        await ask_and_wait(pilot, app, " ")
        assert "▸ plan.md · Text · 3 lines · 24 characters" in screen_text(app)
        assert "│ Launch" not in screen_text(app)
        await pilot.press("ctrl+t", "k", "x")
        await until(pilot, lambda: "│ Launch in March." in screen_text(app))
        await pilot.press("x")
        await until(pilot, lambda: "│ Launch" not in screen_text(app))


async def test_a_file_that_is_not_there_is_said_to_be_missing(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press(*"See @plane.md please", "enter")
        await until(pilot, lambda: "There is no file plane.md, so" in notices(app))
        await until(pilot, lambda: len(app.manager.conversation) == 2)


async def test_a_file_that_is_gone_since_it_was_named_is_missed(
    make_app: MakeApp, here: Path
) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press(*"See @plan.md please")
        await until(pilot, lambda: "attached: plan.md" in screen_text(app))
        (here / "plan.md").unlink()
        await pilot.press("enter")
        await until(pilot, lambda: "plan.md cannot be attached: no such file" in notices(app))
        assert app._prompt.text == "See @plan.md please"
        assert not len(app.manager.conversation)
        assert "goes without it" not in notices(app)


async def test_a_file_that_is_gone_stays_with_its_question_in_other_words(
    make_app: MakeApp, here: Path
) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await ask_and_wait(pilot, app, "See @plan.md")
        (here / "plan.md").unlink()
        await pilot.press("ctrl+t", "k", "e", *" again", "enter")
        await until(pilot, lambda: "See @plan.md again" in screen_text(app))
        await until(pilot, lambda: not app.manager.is_busy)
        question = app.manager.conversation.last("user")
        assert question is not None
        assert [file.text for file in files_of(question)] == ["# Plan\n\nLaunch in March."]
        assert "goes without it" not in notices(app)


async def test_down_in_the_middle_of_a_text_goes_down(make_app: MakeApp, here: Path) -> None:
    (here / "plan.md.bak").write_text("x")
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press(*"In @plan.md", "ctrl+j", *"or not", "up", "end", "down")
        assert app._prompt.cursor_location[0] == 1
        assert app._prompt.text == "In @plan.md\nor not"


async def test_files_of_a_question_that_is_edited_are_named(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await app.run_turn(app.manager.reply("Why?", files=["plan.md"]))
        await pilot.press("ctrl+t", "k", "e")
        await until(
            pilot,
            lambda: "editing · Esc leaves it as it was · attached: plan.md" in screen_text(app),
        )
        await until(
            pilot, lambda: app._ribbon.built is not None and app._ribbon.built.num_file_tokens > 0
        )
        await pilot.press("escape")
        await until(pilot, lambda: "attached" not in screen_text(app))


async def test_an_x_on_a_question_without_files_is_a_letter_of_the_next(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await ask_and_wait(pilot, app, "Why?")
        await pilot.press("ctrl+t", "k", "x")
        await until(pilot, lambda: app._prompt.text == "x")


async def test_a_file_that_cannot_be_read_is_said_and_the_text_comes_back(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press(*"See @broken.md", "enter")
        await until(pilot, lambda: "broken.md cannot be attached. It is broken." in notices(app))
        assert app._prompt.text == "See @broken.md"
        assert not len(app.manager.conversation)


class OneQuestion(App[None]):
    """A question with a file."""

    def __init__(self, file: FilePart) -> None:
        super().__init__()
        self.view = QuestionView(Message(role="user", parts=(file, TextPart("Why?"))))

    def compose(self) -> ComposeResult:
        yield self.view


@pytest.mark.parametrize("text", ["word " * 200_000, "line\n" * 200_000], ids=["wide", "long"])
async def test_of_a_huge_file_the_beginning_is_shown(text: str) -> None:
    app = OneQuestion(FilePart(name="huge.txt", kind="Text", text=text))
    async with app.run_test(size=(80, 20)) as pilot:
        view = app.query_one(FileView)
        await pilot.click(view)
        await pilot.pause()
        assert view.is_open
        assert len(view.lines(80)) == OPEN_LINES + 2
        assert "the rest is not shown" in str(view.lines(80)[-1])


async def test_markup_in_a_name_is_text() -> None:
    app = OneQuestion(FilePart(name="[red]x[/nope]", kind="", text="[b]y[/]"))
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.click(FileView)
        await pilot.pause()
        shown = screen_text(app)  # type: ignore[arg-type]
        assert "[red]x[/nope] · 1 line · 7 characters" in shown
        assert "│ [b]y[/]" in shown
