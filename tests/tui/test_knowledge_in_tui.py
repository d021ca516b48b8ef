"""The knowledge folders in the TUI: the sidebar, the status line and the knowledge screen."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from chatbot.errors import KnowledgeError
from chatbot.retrieval.values import FolderStatus
from chatbot.settings import KnowledgeFolder, Settings
from chatbot.tui.app import ChatApp
from chatbot.tui.knowledge.map_pane import MapView
from chatbot.tui.knowledge.passage_screen import PassageScreen
from chatbot.tui.knowledge.ranking_list import RankingList
from chatbot.tui.knowledge.screen import KnowledgeScreen
from chatbot.tui.sidebar.folder_list import FolderList
from tests.tui.helpers import MakeApp, filled, notices, press, screen_text, until
from tests.tui.told_folders import ToldFolders, embedding


@pytest.fixture
def told(tmp_path: Path) -> ToldFolders:
    folder = tmp_path / "notes"
    folder.mkdir()
    return ToldFolders(folder)


@pytest.fixture
def app(make_app: MakeApp, told: ToldFolders) -> ChatApp:
    folders = (KnowledgeFolder(str(told.folder)),)
    return make_app(retrieval=told, settings=msgspec.structs.replace(Settings(), folders=folders))


async def knowledge_screen(pilot: Pilot[int], app: ChatApp, *keys: str) -> KnowledgeScreen:
    await filled(pilot)
    await pilot.press("f4", *keys)
    await until(pilot, lambda: isinstance(app.screen, KnowledgeScreen))
    await pilot.pause()
    screen = app.screen
    assert isinstance(screen, KnowledgeScreen)
    return screen


def folders_in_force(app: ChatApp) -> list[tuple[str, bool]]:
    return [(folder.path, folder.is_on) for folder in app.manager.settings.folders]


async def test_the_folders_are_indexed_and_watched_after_the_first_frame(
    app: ChatApp, told: ToldFolders
) -> None:
    assert told.indexed == []
    async with app.run_test() as pilot:
        await until(pilot, lambda: told.indexed == [((str(told.folder),), True)])
        await until(pilot, lambda: told.num_warmed > 0)


async def test_the_status_line_says_how_far_the_index_is(app: ChatApp, told: ToldFolders) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await filled(pilot)
        await until(pilot, lambda: bool(told.indexed))
        told.report(embedding(str(told.folder), 0.63))
        await until(pilot, lambda: "knowledge 63% embedded" in screen_text(app))
        assert "63% ▲3" in screen_text(app)  # in the sidebar, with the files not read
        await until(pilot, lambda: "3 files of your folders could not be read; F4" in notices(app))
        ready = msgspec.structs.replace(embedding(str(told.folder), 1), stage="ready")
        told.report(ready)
        await until(pilot, lambda: "embedded" not in screen_text(app))
        told.report(ready)
        await pilot.pause()
        assert len(app._notifications) == 1


async def test_a_failure_is_told_once(app: ChatApp, told: ToldFolders) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await filled(pilot)
        await until(pilot, lambda: bool(told.indexed))
        failed = FolderStatus(folder=str(told.folder), stage="failed", error="The disk is full.")
        told.report(failed)
        told.report(failed)
        await until(pilot, lambda: notices(app) == "The disk is full.")


async def test_a_notice_on_a_folder_is_on_its_screen(app: ChatApp, told: ToldFolders) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await knowledge_screen(pilot, app)
        notice = "The index was damaged and is made anew."
        told.report(
            msgspec.structs.replace(embedding(str(told.folder)), notice=notice, num_ignored=7)
        )
        await until(pilot, lambda: f"▲ {notice}" in screen_text(app))
        assert "7 left out" in screen_text(app)


async def test_a_folder_is_switched_in_the_sidebar(app: ChatApp, told: ToldFolders) -> None:
    async with app.run_test(size=(120, 60)) as pilot:
        await filled(pilot)
        app.query_one(FolderList).focus()
        await pilot.press("space")
        await until(pilot, lambda: folders_in_force(app) == [(str(told.folder), False)])
        await until(pilot, lambda: "☐" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: folders_in_force(app) == [(str(told.folder), True)])


async def test_a_folder_is_added_switched_off_and_removed(
    app: ChatApp, told: ToldFolders, tmp_path: Path
) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await knowledge_screen(pilot, app)
        await pilot.press("a", *f"{tmp_path}/pap")
        path = screen.query_one("#folder-path", Input)
        await until(pilot, lambda: path._suggestion == f"{papers}/")
        await pilot.press("right", "enter")
        await until(
            pilot, lambda: folders_in_force(app) == [(str(told.folder), True), (str(papers), True)]
        )
        await until(pilot, lambda: told.indexed[-1][0] == (str(told.folder), str(papers)))
        await pilot.press("space")
        await until(pilot, lambda: folders_in_force(app)[1] == (str(papers), False))
        await until(pilot, lambda: told.indexed[-1][0] == (str(told.folder),))
        await pilot.press("delete")
        await until(pilot, lambda: folders_in_force(app) == [(str(told.folder), True)])
        assert papers.is_dir()


async def test_a_folder_that_is_not_there_is_refused_where_it_was_typed(app: ChatApp) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await knowledge_screen(pilot, app, "a")
        await pilot.press(*"/no/such", "enter")
        await until(pilot, lambda: "✗ There is no folder /no/such" in screen_text(app))
        assert screen.query_one("#folder-path", Input).value == "/no/such"
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is screen
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.screen_stack[0])


async def test_a_folder_is_indexed_anew_and_indexing_is_stopped(
    app: ChatApp, told: ToldFolders
) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await knowledge_screen(pilot, app)
        await until(pilot, lambda: bool(told.indexed))
        before = len(told.indexed)
        await pilot.press("r")
        await until(pilot, lambda: told.forgotten == [str(told.folder)])
        await until(pilot, lambda: len(told.indexed) > before)
        await pilot.press("x")
        await until(pilot, lambda: told._index_end.is_set())


async def test_documents_problems_and_passages(app: ChatApp, told: ToldFolders) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await knowledge_screen(pilot, app, "f6")
        await until(pilot, lambda: "▲ paper.pdf" in screen_text(app))
        await until(pilot, lambda: "Nucleus sampling is another name" in screen_text(app))
        await pilot.press("p")
        await until(pilot, lambda: "It is encrypted; save it without a" in screen_text(app))
        assert "keys.md" not in screen_text(app)
        await pilot.press("p", "end", "enter", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, PassageScreen))
        await until(pilot, lambda: "┃ Every setting can be changed" in screen_text(app))


async def test_documents_are_searched_by_name(app: ChatApp) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await knowledge_screen(pilot, app, "f6")
        await until(pilot, lambda: "keys.md" in screen_text(app))
        screen.query_one("#document-name", Input).focus()
        await pilot.press(*"gloss")
        await until(pilot, lambda: "1 of 4 documents" in screen_text(app))
        assert "settings.md" not in screen_text(app)


async def test_a_query_shows_its_ranking_as_it_is_typed(app: ChatApp, told: ToldFolders) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await knowledge_screen(pilot, app, "f6", "f6")
        assert screen.pane == "query"
        await pilot.press(*"likeliest tokens")
        await until(pilot, lambda: "5 passages, 3 would be used" in screen_text(app))
        assert told.queries[-1] == "likeliest tokens"
        text = screen_text(app)
        assert "words" in text
        assert "irrelevant" in text
        await pilot.press("enter", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, PassageScreen))
        await until(pilot, lambda: "┃ Nucleus sampling" in screen_text(app))


async def test_no_sign_of_trouble_stands_where_all_files_were_read(
    app: ChatApp, told: ToldFolders
) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await knowledge_screen(pilot, app, "f6")
        await until(
            pilot, lambda: "▲ 1 not read · p only these · Enter passages" in screen_text(app)
        )
        told.infos = tuple(info for info in told.infos if not info.problem)
        await pilot.press("escape")
        await knowledge_screen(pilot, app, "f6")
        await until(pilot, lambda: "documents · Enter passages" in screen_text(app))
        assert "not read" not in screen_text(app)


async def test_a_search_that_waits_is_said_and_then_how_to_get_to_the_hits(
    app: ChatApp, told: ToldFolders
) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await knowledge_screen(pilot, app, "f6", "f6")
        told.gate = asyncio.Event()
        await pilot.press(*"tokens")
        await until(pilot, lambda: "searching…" in screen_text(app))
        told.report(embedding(str(told.folder), 0.4))
        await until(pilot, lambda: "searching… · knowledge 40% embedded" in screen_text(app))
        told.gate.set()
        await until(pilot, lambda: "Enter to the hits" in screen_text(app))
        assert "searching" not in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: "Enter open" in screen_text(app))


async def test_a_query_that_fails_says_why(app: ChatApp, told: ToldFolders) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await knowledge_screen(pilot, app, "f6", "f6")
        told.error = KnowledgeError("The index is broken; press r on its folder.")
        await pilot.press(*"x")
        await until(pilot, lambda: "✗ The index is broken" in screen_text(app))


async def test_the_map_goes_from_passage_to_passage(app: ChatApp, told: ToldFolders) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await knowledge_screen(pilot, app, "f5")
        assert screen.pane == "map"
        view = screen.query_one(MapView)
        await until(pilot, lambda: view.cursor == 0)
        await until(pilot, lambda: "themes · colours · night" in screen_text(app))
        start = told.folder_map.points[0]
        for _ in range(3):
            await pilot.press("right")
        assert view.cursor is not None
        assert told.folder_map.points[view.cursor].x > start.x
        await until(pilot, lambda: "● settings.md" in screen_text(app) or "# " in screen_text(app))
        await pilot.press("l")
        await until(pilot, lambda: "★ themes" not in screen_text(app))
        await until(pilot, lambda: screen._map._passage is not None)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PassageScreen))


async def test_the_palette_offers_the_knowledge_screen(app: ChatApp) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await filled(pilot)
        commands = list(app.get_system_commands(app.screen))
        assert "Knowledge" in [command.title for command in commands]
        assert not any("`" in command.help for command in commands)  # it is no Markdown there
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, KnowledgeScreen))
        await pilot.press("f4")
        await until(pilot, lambda: app.screen is app.screen_stack[0])


async def test_hostile_names_and_queries_are_shown_as_text(app: ChatApp, told: ToldFolders) -> None:
    bad = "[red]x[/]\x1b[2J\u202e.md"
    told.infos = (msgspec.structs.replace(told.infos[0], file=bad, title=bad, problem=bad),)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await knowledge_screen(pilot, app, "f6")
        await until(pilot, lambda: "[red]x[/].md" in screen_text(app))
        assert not {"\x1b", "\u202e"} & set(screen_text(app))
        await pilot.press("f6")
        await pilot.press(*"[/]")
        await until(pilot, lambda: bool(screen.query_one(RankingList).sources))


async def test_a_screen_that_was_closed_is_told_nothing_any_more(app: ChatApp) -> None:
    async with app.run_test() as pilot:
        knowledge = app.session.knowledge
        await until(pilot, lambda: bool(knowledge._watchers))
        before = list(knowledge._watchers)
        press(app, "f4")
        await until(pilot, lambda: len(knowledge._watchers) > len(before))
        press(app, "escape")
        await until(pilot, lambda: knowledge._watchers == before)
