"""The slash commands about folders and sources."""

from pathlib import Path

import pytest

from chatbot.conversation.commands import run_command
from chatbot.conversation.commands.knowledge import describe_folder
from chatbot.conversation.folders import FolderState
from chatbot.conversation.manager import ConversationManager
from chatbot.errors import CommandError, KnowledgeError
from chatbot.paths import shipped_dir
from chatbot.retrieval.values import DocumentInfo, FolderStatus
from chatbot.settings import KnowledgeFolder
from tests.conversation.building import SavedSettings, all_of, until, with_settings
from tests.conversation.fake_engine import FakeEngine
from tests.conversation.fake_retrieval import FakeRetrieval, hit
from tests.conversation.test_commands import FakeFace

pytestmark = pytest.mark.timeout(10)

SHIPPED = str(shipped_dir("knowledge").resolve())


class KnowingFace(FakeFace):
    def __init__(self, *, keeps_folders: bool = True) -> None:
        self.retrieval = FakeRetrieval(
            hit("The tower is high.\n```` <b>`x`", 0.9, headings=("A|B `c`",), folder=SHIPPED),
            hit("far " * 200, 0.1, folder=SHIPPED, file="b.md"),
        )
        self.saved = SavedSettings()
        manager = ConversationManager(
            FakeEngine("It is high.", context_length=1000),
            with_settings(),
            self.saved,
            retrieval=self.retrieval,
            keeps_folders=keeps_folders,
        )
        super().__init__(manager)

    async def run(self, line: str) -> str:
        """Carry out a command; returns what it shows."""
        await run_command(self, line)
        return self.notes[-1] if self.notes else ""


@pytest.fixture
def face() -> KnowingFace:
    return KnowingFace()


async def test_folders_are_listed_with_their_state(face: KnowingFace) -> None:
    assert "- `manual` on · not looked at yet" in await face.run("/knowledge")
    face.manager.knowledge.start()  # type: ignore[union-attr]
    await until(lambda: face.retrieval.status.folders)
    assert "- `manual` ready · 1 files · 0 passages" in await face.run("/knowledge")
    await face.manager.knowledge.close()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, "on · not looked at yet"),
        (
            FolderStatus(
                folder="/x", stage="embedding", num_files=3, num_passages=10, num_embedded=4
            ),
            "embedding · 3 files · 10 passages · 40% embedded",
        ),
        (
            FolderStatus(folder="/x", stage="ready", num_files=1_200, num_problems=2),
            "ready · 1,200 files · 0 passages · 2 with problems (`/knowledge problems`)",
        ),
        (FolderStatus(folder="/x", stage="failed", error="The disk is full."), "The disk is full."),
        (
            FolderStatus(folder="/x", stage="ready", num_ignored=3, notice="It was damaged."),
            "ready · 0 files · 0 passages · 3 left out by `.chatbotignore` and `.gitignore` · "
            "It was damaged.",
        ),
    ],
)
def test_how_a_folder_stands(status: FolderStatus | None, expected: str) -> None:
    state = FolderState(folder=KnowledgeFolder("/x"), path="/x", status=status)
    assert describe_folder(state) == expected


async def test_folders_are_added_switched_and_removed(face: KnowingFace, tmp_path: Path) -> None:
    assert f"`{tmp_path}` is searched now." == await face.run(f"/knowledge add {tmp_path}")
    assert "show_settings" in face.calls
    assert face.saved.names == [("folders",)]
    assert "off" in await face.run(f"/knowledge off {tmp_path.name}")
    assert f"- `{tmp_path}` off" in await face.run("/knowledge")
    await face.run(f"/knowledge on {tmp_path}")
    note = await face.run(f"/knowledge remove {tmp_path}")
    assert f"`chatbot index --forget {tmp_path}`" in note
    assert face.manager.settings.folders == (KnowledgeFolder("manual"),)
    await face.run("/knowledge remove manual")
    assert "`/knowledge add ~/notes`" in await face.run("/knowledge")


async def test_folders_of_one_run_are_not_kept(tmp_path: Path) -> None:
    face = KnowingFace(keeps_folders=False)
    assert "for this run alone" in await face.run(f"/knowledge add {tmp_path}")
    assert face.saved.calls == []


async def test_problems_are_listed_with_their_reasons(face: KnowingFace) -> None:
    face.retrieval.infos = (
        DocumentInfo(file="good.md", num_bytes=1),
        DocumentInfo(file="x\x1b[2J.pdf", num_bytes=1, problem="It is encrypted."),
    )
    note = await face.run("/knowledge problems")
    assert note.splitlines()[2:] == ["- `x.pdf` It is encrypted."]
    assert await face.run("/knowledge problems manual") == note
    face.retrieval.infos = ()
    assert "Every file" in await face.run("/knowledge problems")


async def test_wrong_usage(face: KnowingFace) -> None:
    for line in ("/knowledge what", "/sources", "/search"):
        with pytest.raises(CommandError):
            await face.run(line)
    with pytest.raises(KnowledgeError):
        await face.run("/knowledge add /no/such/folder")
    await face.run("/knowledge off manual")
    with pytest.raises(KnowledgeError, match="No folder is on"):
        await face.run("/search x")


async def test_a_folder_that_went_away_is_what_a_search_is_told_of(
    face: KnowingFace, tmp_path: Path
) -> None:
    await face.run("/knowledge off manual")
    (tmp_path / "notes").mkdir()
    await face.run(f"/knowledge add {tmp_path}/notes")
    (tmp_path / "notes").rmdir()
    words = f"notes is not there; mount it, or /knowledge remove {tmp_path}/notes takes it out."
    with pytest.raises(KnowledgeError, match=words):
        await face.run("/search x")


async def test_names_in_quotes_are_the_names(face: KnowingFace, tmp_path: Path) -> None:
    (tmp_path / "my notes").mkdir()
    assert "is searched now" in await face.run(f'/knowledge add "{tmp_path}/my notes"')
    assert "is off" in await face.run(f"/knowledge off '{tmp_path}/my notes'")
    with pytest.raises(KnowledgeError):
        await face.run('/knowledge add "')


async def test_before_the_first_answer_there_are_no_sources(face: KnowingFace) -> None:
    with pytest.raises(CommandError, match="There is no answer yet"):
        await face.run("/sources")


async def test_sources_are_listed_and_each_can_be_read(face: KnowingFace) -> None:
    await all_of(face.manager.reply("How high?"))
    lines = (await face.run("/sources")).splitlines()
    assert lines[0].startswith("Searched for “How high?” in 250 ms; used from a relevance of 0.30")
    assert lines[2:] == [
        "1. `notes.md:1-2 · A|B 'c'`  ",
        "   used · relevance 0.90 · words 9.00 · meaning 0.900 · fused 0.4500",
        "2. `b.md:1 · b.md`  ",
        "   irrelevant · relevance 0.10 · words 1.00 · meaning 0.100 · fused 0.0500",
    ]
    first = await face.run("/sources 1")
    assert first.count("`````") == 2  # the fence of the passage is not closed by the passage
    assert "The tower is high." in first
    assert "far " * 200 in await face.run("/sources 2")  # in full, though only its start is kept
    for number in ("0", "3", "x", "²"):
        with pytest.raises(CommandError, match="1 to 2"):
            await face.run(f"/sources {number}")


async def test_where_nothing_was_found_no_number_is_asked_for(face: KnowingFace) -> None:
    face.retrieval.hits = ()
    await all_of(face.manager.reply("How high?"))
    assert await face.run("/sources") == "Nothing was found."
    with pytest.raises(CommandError, match=r"^The last answer has no sources\.$"):
        await face.run("/sources 1")


async def test_search_shows_passages_without_the_model(face: KnowingFace) -> None:
    note = await face.run("/search tower height")
    assert "The tower is high." in note
    assert face.retrieval.queries == ["tower height"]
    assert face.manager.engine.status.info is None
    face.retrieval.hits = ()
    assert await face.run("/search x") == "Nothing was found."
