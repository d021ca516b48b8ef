"""Answers with sources in the TUI: what is under them, and what a key or a click opens."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from textual.widgets import Markdown

from chatbot.errors import KnowledgeError
from chatbot.messages import SettingChange, Source
from chatbot.retrieval.values import DocumentText
from chatbot.settings import KnowledgeFolder, Settings
from chatbot.tui.app import ChatApp
from chatbot.tui.chat.source_lines import place_in_words
from chatbot.tui.chat.sources_view import SourcesView
from chatbot.tui.knowledge.document_view import DocumentView
from chatbot.tui.knowledge.passage_screen import CHANGED, GONE, PassageScreen
from chatbot.tui.knowledge.sources_screen import SourcesScreen
from tests.conversation.fake_retrieval import hit
from tests.tui.helpers import (
    MakeApp,
    answers,
    ask,
    ask_and_wait,
    filled,
    foot,
    last_answer,
    notices,
    press,
    screen_text,
    until,
)
from tests.tui.told_folders import SETTINGS, QuietFolders, ToldFolders, embedding

ANSWER = (
    "Top-p keeps the fewest likeliest tokens whose probabilities add up to this share. "
    "The queen of Denmark chose its name."
)

HOSTILE = (
    "[red]not markup[/] \x1b]52;c;aGFjaw==\x07clip \x1b[2Jboard \u202egnp.exe\u202c <|im_start|>"
)


def settings_with(*folders: Path, **changes: object) -> Settings:
    """Default settings with these folders on."""
    in_force = tuple(KnowledgeFolder(str(folder)) for folder in folders)
    return msgspec.structs.replace(Settings(), folders=in_force, **changes)  # type: ignore[arg-type]


@pytest.fixture
def told(tmp_path: Path) -> ToldFolders:
    folder = tmp_path / "notes"
    folder.mkdir()
    return ToldFolders(folder)


@pytest.fixture
def make_told(make_app: MakeApp, told: ToldFolders) -> MakeApp:
    """Makes an app that answers out of the told folders."""

    def make(**script: object) -> ChatApp:
        script = {"answer": ANSWER, "settings": settings_with(told.folder), **script}
        return make_app(retrieval=told, **script)

    return make


def view_of(app: ChatApp) -> SourcesView:
    """What is under the last answer."""
    return answers(app)[-1].query_one(SourcesView)


def drawn(app: ChatApp) -> str:
    """The sources under the last answer, as text."""
    return str(view_of(app).render())


def document(app: ChatApp) -> DocumentView:
    """The document that is open."""
    return app.screen.query_one(DocumentView)


async def test_the_sources_stand_under_the_answer_and_the_marks_in_it(make_told: MakeApp) -> None:
    app = make_told()
    async with app.run_test(size=(100, 40)) as pilot:
        answer = await ask_and_wait(pilot, app, "What does top-p do?")
        source = answers(app)[0].query_one(Markdown).source
        lines = drawn(app).split("\n")
    assert answer.text == ANSWER
    assert "this share. \\[1]" in source
    assert source.endswith("its name. \\[?]")
    assert lines[0].startswith("[1] settings.md:16-17  Settings › Sampling › Top-p")
    assert lines[0].endswith("▰▰▰▰▰▰▱▱ 0.74")
    assert len(lines) == 4
    assert lines[3].startswith("1▇▇▇")
    assert "?┄┄┄" in lines[3]
    assert lines[3].endswith("1 of 2 sentences supported")


async def test_the_foot_says_that_folders_are_searched_and_what_was_found(
    make_told: MakeApp, told: ToldFolders
) -> None:
    told.gate = asyncio.Event()
    app = make_told(answer="word " * 300, delay=0.02)
    async with app.run_test() as pilot:
        await ask(pilot, "What does top-p do?")
        # Or "loading the search of your folders", as long as the model is not there yet.
        await until(pilot, lambda: bool(answers(app)) and "your folders" in foot(answers(app)[0]))
        told.report(embedding(str(told.folder), 0.4))
        await until(pilot, lambda: "your folders · knowledge 40% embedded" in foot(answers(app)[0]))
        told.gate.set()
        await until(pilot, lambda: "3 sources, best 0.74 · " in foot(answers(app)[0]))
        press(app, "ctrl+t")  # they can be looked at while the answer is written
        await until(pilot, lambda: app.focused is answers(app)[0])
        press(app, "s")
        await until(pilot, lambda: isinstance(app.screen, SourcesScreen))
        press(app, "escape")
        await until(pilot, lambda: app.screen is app.screen_stack[0])
        press(app, "escape")
        await until(pilot, lambda: not app._status.is_busy)


async def test_digits_open_sources_and_arrows_go_through_them(make_told: MakeApp) -> None:
    app = make_told()
    async with app.run_test(size=(100, 40)) as pilot:
        await ask_and_wait(pilot, app, "What does top-p do?")
        await pilot.press("ctrl+t", "2")
        await until(pilot, lambda: isinstance(app.screen, PassageScreen))
        await until(pilot, lambda: "Nucleus sampling" in screen_text(app))
        assert "guide/glossary.md · line 3" in screen_text(app)
        await pilot.press("left")
        await until(pilot, lambda: "settings.md · lines 16 to 17" in screen_text(app))
        await until(pilot, lambda: "### Top-p" in screen_text(app))
        marked = [line for line in screen_text(app).split("\n") if "┃" in line]
        assert len(marked) == 3  # the first line is wrapped
        assert "16 ┃ Top-p keeps the fewest likeliest tokens" in marked[0]
        await pilot.press("c")
        assert app.clipboard.startswith("Top-p keeps the fewest")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.screen_stack[0])


def test_the_place_of_a_passage_names_the_folder_where_its_source_does() -> None:
    for file, location, place in [
        ("a/b.md", "f1/notes/a/b.md:3", "f1/notes/a/b.md · line 3"),
        ("a/b.md", "a/b.md:3", "a/b.md · line 3"),
        ("b.md", "web page", "b.md · line 3"),
    ]:
        source = Source(title="", location=location, text="", file=file, start_line=3, end_line=3)
        assert place_in_words(source) == place
        page = msgspec.structs.replace(source, page=2, location=location.replace(":3", ", page 2"))
        assert place_in_words(page) == place.replace("line 3", "page 2")
    where = {"file": "b.xlsx", "page": 2, "start_line": 3, "end_line": 3}
    row = Source(title="", location="f1/b.xlsx, sheet 2, row 3", text="", **where)
    assert place_in_words(row) == "f1/b.xlsx · sheet 2, row 3"


async def test_a_source_that_is_not_there_is_refused(make_told: MakeApp) -> None:
    app = make_told()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "What does top-p do?")
        await pilot.press("ctrl+t", "9")
        await until(pilot, lambda: "no source 9" in notices(app))


async def test_a_click_on_a_source_opens_it(make_told: MakeApp) -> None:
    app = make_told()
    async with app.run_test(size=(100, 40)) as pilot:
        await ask_and_wait(pilot, app, "What does top-p do?")
        await pilot.pause()
        await pilot.click(view_of(app), offset=(8, 1))
        await until(pilot, lambda: "glossary.md · line 3" in screen_text(app))


async def test_a_click_on_the_strip_opens_what_supports_the_sentence(make_told: MakeApp) -> None:
    app = make_told()
    async with app.run_test(size=(100, 40)) as pilot:
        await ask_and_wait(pilot, app, "What does top-p do?")
        await pilot.pause()
        await pilot.click(view_of(app), offset=(1, 3))
        await until(pilot, lambda: "settings.md · lines 16" in screen_text(app))


async def test_the_sources_screen_shows_every_candidate_with_its_scores(
    make_told: MakeApp,
) -> None:
    app = make_told()
    async with app.run_test(size=(160, 48)) as pilot:
        await ask_and_wait(pilot, app, "What does top-p do?")
        await pilot.press("ctrl+t", "s")
        await until(pilot, lambda: isinstance(app.screen, SourcesScreen))
        await until(pilot, lambda: "irrelevant" in screen_text(app))
        text = screen_text(app)
        for word in ("used", "duplicate", "irrelevant", "12.4", "0.71", "0.032", "threshold 0.30"):
            assert word in text
        row = next(line for line in text.split("\n") if "keys.md" in line)
        assert "▰▱│▱▱▱▱▱▱ 0.08" in row  # below the threshold's line
        await pilot.press("down", "down", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, PassageScreen))
        await until(pilot, lambda: "duplicate settings.md · line 21" in screen_text(app))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: app.screen is app.screen_stack[0])


async def test_everything_works_again_for_a_stored_answer(
    make_told: MakeApp, told: ToldFolders
) -> None:
    app = make_told()
    async with app.run_test(size=(100, 40)) as pilot:
        await ask_and_wait(pilot, app, "What does top-p do?")
        before = drawn(app)
        await app.manager.settled()
        chat = app.manager.conversation.id
    again = make_told()
    await again.session.resume(chat)
    async with again.run_test(size=(100, 40)) as pilot:
        await until(pilot, lambda: bool(again.query(SourcesView)))
        await until(pilot, lambda: drawn(again) == before)
        assert "this share. \\[1]" in answers(again)[0].query_one(Markdown).source
        await pilot.press("ctrl+t", "1")
        await until(pilot, lambda: "16 ┃ Top-p keeps" in screen_text(again))


async def test_a_document_that_changed_shows_where_the_passage_is_now(
    make_told: MakeApp, told: ToldFolders
) -> None:
    app = make_told()
    async with app.run_test(size=(100, 40)) as pilot:
        await ask_and_wait(pilot, app, "What does top-p do?")
        told.documents["settings.md"] = DocumentText(
            file="settings.md", text="A new line.\n\n" * 30 + SETTINGS
        )
        await pilot.press("ctrl+t", "1")
        await until(pilot, lambda: CHANGED in screen_text(app))
        await until(pilot, lambda: "76 ┃ Top-p keeps" in screen_text(app))
        told.documents["guide/glossary.md"] = DocumentText(
            file="guide/glossary.md", text="Nothing of what was here is here."
        )
        await pilot.press("right")
        await until(pilot, lambda: GONE[:60] in screen_text(app))
        assert "Nucleus sampling" in screen_text(app)


async def test_a_document_that_cannot_be_read_still_shows_the_passage(
    make_told: MakeApp, told: ToldFolders
) -> None:
    app = make_told()
    async with app.run_test(size=(100, 40)) as pilot:
        await ask_and_wait(pilot, app, "What does top-p do?")
        told.error = KnowledgeError("settings.md is not there any more.")
        await pilot.press("ctrl+t", "1")
        await until(pilot, lambda: "is not there any more. This is the" in screen_text(app))
        assert "Top-p keeps the fewest" in screen_text(app)


async def test_hostile_passages_are_shown_as_text(make_app: MakeApp, tmp_path: Path) -> None:
    retrieval = QuietFolders(
        msgspec.structs.replace(
            hit("x"),
            passage=msgspec.structs.replace(
                hit(HOSTILE).passage,
                folder=str(tmp_path),
                file="[b]bad[/b].md",
                headings=("[@click=app.quit]quit[/]",),
            ),
        )
    )
    retrieval.documents = {"[b]bad[/b].md": DocumentText(file="bad", text=HOSTILE)}
    app = make_app(answer="Fine.", retrieval=retrieval, settings=settings_with(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await ask_and_wait(pilot, app, "question")
        assert "[b]bad[/b].md:1  [@click=app.quit]quit[/]" in drawn(app)
        for key, screen in (("1", PassageScreen), ("s", SourcesScreen)):
            await pilot.press("ctrl+t", key)
            await until(pilot, lambda screen=screen: isinstance(app.screen, screen))
            await until(pilot, lambda: "[red]not markup[/]" in screen_text(app))
            text = screen_text(app)
            assert not {"\x1b", "\x07", "\u202e", "\u202c"} & set(text)
            assert "clip board gnp.exe" in text
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is app.screen_stack[0])


async def test_nothing_found_is_said_and_declining_too(make_app: MakeApp, tmp_path: Path) -> None:
    retrieval = QuietFolders()
    settings = settings_with(tmp_path, grounding="open")
    app = make_app(answer="From memory.", retrieval=retrieval, settings=settings)
    async with app.run_test(size=(100, 40)) as pilot:
        await filled(pilot)
        await ask_and_wait(pilot, app, "first")
        assert "no source was used" in drawn(app)
        app.manager.change_setting("grounding", "strict")
        await ask_and_wait(pilot, app, "second")
        await until(pilot, lambda: "the model was not asked" in drawn(app))
        assert "From memory" not in last_answer(app).text
        assert "the program's own words" in foot(answers(app)[-1])


async def test_a_notice_of_the_search_is_shown(make_told: MakeApp, told: ToldFolders) -> None:
    told.notice = "Words only: the embedding model is not there."
    app = make_told()
    async with app.run_test(size=(100, 40)) as pilot:
        await ask_and_wait(pilot, app, "What does top-p do?")
        assert "▲ Words only: the embedding model is not there." in drawn(app)


async def test_marks_of_settings_and_of_sources_stand_beside_each_other(
    make_told: MakeApp,
) -> None:
    app = make_told()
    async with app.run_test(size=(100, 40)) as pilot:
        answer = await ask_and_wait(pilot, app, "What does top-p do?")
    from chatbot.tui.chat.answer_text import marked_texts

    assert answer.making is not None
    middle, second = ANSWER.index("likeliest"), ANSWER.index("queen")
    changes = tuple(
        SettingChange(offset=offset, name="top_k", old="1", new="2") for offset in (middle, second)
    )
    making = msgspec.structs.replace(answer.making, changes=changes)
    (marked,) = marked_texts(msgspec.structs.replace(answer, making=making))
    mark = "⟦top_k 1 → 2⟧ "
    assert marked == (
        f"Top-p keeps the fewest {mark}likeliest tokens whose probabilities add up to this share. "
        f"\\[1] The {mark}queen of Denmark chose its name. \\[?]"
    )


async def test_sources_without_a_search_are_refused(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "hello")
        await pilot.press("ctrl+t", "s")
        await until(pilot, lambda: "Nothing was searched" in notices(app))


async def test_the_command_opens_the_screen_and_the_table_of_a_passage(
    make_told: MakeApp,
) -> None:
    app = make_told()
    async with app.run_test(size=(100, 40)) as pilot:
        await ask_and_wait(pilot, app, "What does top-p do?")
        await ask(pilot, "/sources")
        await until(pilot, lambda: isinstance(app.screen, SourcesScreen))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.screen_stack[0])
        await ask(pilot, "/sources 2")
        await until(pilot, lambda: "2. guide/glossary.md:3 · Glossary" in screen_text(app))


async def test_the_keys_are_rebindable(make_told: MakeApp) -> None:
    app = make_told()
    app._keymap_wanted = {"source_1": "o"}
    async with app.run_test(size=(100, 40)) as pilot:
        await ask_and_wait(pilot, app, "What does top-p do?")
        await pilot.press("ctrl+t", "o")
        await until(pilot, lambda: isinstance(app.screen, PassageScreen))
