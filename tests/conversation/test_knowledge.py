"""The knowledge folders: which are in force, what is kept, what is found, what is kept up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from chatbot.conversation.folders import folders_of_run
from chatbot.conversation.found_sources import name_folders
from chatbot.conversation.knowledge import FIRST_WORDS_SECONDS, Knowledge
from chatbot.errors import ConfigError, KnowledgeError, SettingError, WorkerError
from chatbot.messages import Source
from chatbot.paths import shipped_dir
from chatbot.retrieval.values import DocumentText, FolderStatus, Hit
from chatbot.settings import MANUAL, KnowledgeFolder, Settings
from tests.conversation.building import until, with_settings
from tests.conversation.fake_retrieval import FakeRetrieval, hit

pytestmark = pytest.mark.timeout(10)

SHIPPED = str(shipped_dir("knowledge").resolve())


class Made:
    """A Knowledge, and what it rests on."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.retrieval = FakeRetrieval()
        self.saved: list[tuple[KnowledgeFolder, ...]] = []
        self.save_error: ConfigError | None = None
        self.knowledge = Knowledge(self.retrieval, lambda: self.settings, self.change)

    def change(self, folders: tuple[KnowledgeFolder, ...]) -> None:
        self.settings = msgspec.structs.replace(self.settings, folders=folders)
        self.saved.append(folders)
        if self.save_error:
            raise self.save_error


@pytest.fixture
async def made() -> AsyncIterator[Made]:
    made = Made()
    yield made
    await made.knowledge.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / "notes").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    return home


def test_the_manual_alone_is_on_and_open(made: Made) -> None:
    knowledge = made.knowledge
    assert knowledge.paths == (SHIPPED,)
    assert [(s.name, s.problem) for s in knowledge.folders] == [(MANUAL, "")]
    assert knowledge.is_on
    assert not knowledge.is_strict()


def test_a_folder_of_the_users_own_is_strict(made: Made, home: Path) -> None:
    state = made.knowledge.add_folder("~/notes")
    assert state.path == str((home / "notes").resolve())
    assert made.saved == [(KnowledgeFolder(MANUAL), KnowledgeFolder("~/notes"))]
    assert made.knowledge.paths == (SHIPPED, state.path)
    assert made.knowledge.is_strict()
    made.settings = msgspec.structs.replace(made.settings, grounding="open")
    assert not made.knowledge.is_strict()


def test_a_place_is_kept_in_full(made: Made, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert made.knowledge.add_folder("notes").folder.path == "~/notes"
    (home.parent / "other").mkdir()
    assert made.knowledge.add_folder("../other").folder.path == str(home.parent / "other")


def test_what_is_no_folder_to_search_is_refused(made: Made, home: Path) -> None:
    (home / "file.txt").write_text("x")
    (home / "a\x1bb").mkdir()
    for text, reason in [
        ("", "Name a folder"),
        ("/no/such", "There is no folder /no/such"),
        ("~nobody-of-this-name/x", "There is no folder"),
        ("~/file.txt", "is not a folder"),
        ("/", "The whole disk"),
        (str(home / "a\x1bb"), "control characters"),
        ("manual", "searched already"),
        (SHIPPED, "searched already"),
        ("a\0b", "There is no folder"),
    ]:
        with pytest.raises(KnowledgeError, match=reason):
            made.knowledge.add_folder(text)
    assert made.saved == []


def test_the_whole_home_has_to_be_named_twice(made: Made, home: Path) -> None:
    with pytest.raises(KnowledgeError, match="once more"):
        made.knowledge.add_folder("~")
    assert made.knowledge.add_folder("~").path == str(home)


def test_switching_and_removing(made: Made, home: Path) -> None:
    knowledge = made.knowledge
    knowledge.add_folder("~/notes")
    knowledge.switch_folder("notes", is_on=False)
    assert knowledge.paths == (SHIPPED,)
    assert not knowledge.is_strict()
    assert knowledge.add_folder("~/notes/").folder.is_on  # switches it on again
    assert len(made.settings.folders) == 2
    knowledge.remove_folder(str(home / "notes"))
    assert made.settings.folders == (KnowledgeFolder(MANUAL),)
    with pytest.raises(KnowledgeError, match="there are manual"):
        knowledge.remove_folder("~/notes")
    knowledge.switch_folder(MANUAL, is_on=False)
    assert not knowledge.is_on


def test_a_change_that_cannot_be_kept_is_in_force_all_the_same(made: Made, home: Path) -> None:
    made.save_error = ConfigError("The disk is full.")
    with pytest.raises(ConfigError):
        made.knowledge.add_folder("~/notes")
    assert len(made.knowledge.paths) == 2


async def test_a_missing_folder_is_a_problem_and_not_the_end(made: Made) -> None:
    made.settings = with_settings(folders=(KnowledgeFolder("/gone"), KnowledgeFolder(MANUAL)))
    gone = made.knowledge.folders[0]
    assert "is not there" in gone.problem
    assert made.knowledge.paths == (SHIPPED,)
    assert "/gone is not there" in (await made.knowledge.find("x")).notice


def test_folders_of_one_run(home: Path) -> None:
    assert folders_of_run(["none"]) == ()
    assert folders_of_run(["~/notes", str(home / "notes")]) == (KnowledgeFolder("~/notes"),)
    with pytest.raises(SettingError, match="There is no folder"):
        folders_of_run(["~/notes", "none"])


async def test_every_hit_gets_its_verdict(made: Made) -> None:
    made.settings = with_settings(num_sources=3, relevance_threshold=0.5)
    long = "word " * 200
    made.retrieval.hits = (
        hit("best", 0.9, headings=("Sampling", "Top-p"), start_line=12),
        hit("again", 0.9, duplicate_of=0),
        hit("second\nline", 0.5, file="a/b.pdf", page=3),
        hit("a | 7", 0.5, file="b.xlsx", page=2, start_line=4),
        hit(long, 0.8),
        hit("far", 0.49),
    )
    found = await made.knowledge.find("a question")
    assert [(s.text, s.verdict) for s in found.sources] == [
        ("best", "used"),
        ("second\nline", "used"),
        ("a | 7", "used"),
    ]
    assert [s.verdict for s in found.candidates] == ["duplicate", "beyond", "irrelevant"]
    assert len(found.candidates[1].text) <= 300
    assert [(s.title, s.location) for s in found.sources] == [
        ("Sampling › Top-p", "notes.md:12"),
        ("b.pdf", "a/b.pdf, page 3"),
        ("b.xlsx", "b.xlsx, sheet 2, row 4"),
    ]
    assert (found.query, found.threshold, found.seconds) == ("a question", 0.5, 0.25)


async def test_folders_of_one_name_are_told_apart(made: Made, home: Path) -> None:
    folders = [home / name for name in ("f1/notes", "f2/notes", "songs")]
    for folder in folders:
        folder.mkdir(parents=True)
    made.settings = with_settings(folders=tuple(KnowledgeFolder(str(f)) for f in folders))
    made.retrieval.hits = tuple(hit(str(f), 0.9, folder=str(f), file="a/plan.md") for f in folders)
    found = await made.knowledge.find("a question")
    places = ["f1/notes/a/plan.md", "f2/notes/a/plan.md", "songs/a/plan.md"]
    assert [source.location for source in found.sources] == [f"{place}:1" for place in places]


def test_a_folder_is_called_by_as_little_as_tells_it_apart() -> None:
    assert name_folders(["/a/notes"]) == {}
    paths = ("/notes", "/a/notes", "/b/x/notes", "/c/x/notes", "/b")
    names = ("/notes", "a/notes", "b/x/notes", "c/x/notes", "b")
    assert name_folders(paths) == dict(zip(paths, names, strict=True))


async def test_names_and_texts_of_documents_are_cleaned(made: Made) -> None:
    made.retrieval.hits = (
        hit("a\x1b[2Jb\u202e", file="x\x1b]0;t\x07.md", headings=("h\n\x1b[1m",)),
    )
    (source,) = (await made.knowledge.find("x")).sources
    assert (source.text, source.location, source.title) == ("ab", "x.md:1", "h")


async def test_a_question_is_searched_together_with_the_one_it_goes_on_with(made: Made) -> None:
    knowledge, retrieval = made.knowledge, made.retrieval
    tower, other = hit("The tower was built in 1889.", 0.8), hit("The other was built later.", 0.6)
    retrieval.hits_by_query = {
        "What is the tower?": (tower,),
        "And when was it built?": (other,),
        "What is the tower?\nAnd when was it built?": (tower, other),
    }
    made.settings = msgspec.structs.replace(made.settings, reranker="org/reranker")
    found = await knowledge.find("And when was it built?", "What is the tower?")
    assert [s.text for s in found.sources] == [other.passage.text, tower.passage.text]
    assert found.query == "What is the tower?\nAnd when was it built?"
    assert found.seconds == 3 * 0.25
    assert retrieval.rerankers == ["org/reranker", "org/reranker", ""]


async def test_a_question_about_something_else_gets_nothing_of_the_one_before(made: Made) -> None:
    tower = "The tower was built in 1889."
    made.retrieval.hits_by_query = {
        "What is the tower?": (hit(tower, 0.8),),
        "What is the tower?\nThanks! A joke, please.": (hit(tower, 0.45),),
    }
    made.retrieval.hits = (hit("no joke", 0.1),)
    found = await made.knowledge.find("Thanks! A joke, please.", "What is the tower?")
    assert (found.sources, found.query) == ((), "Thanks! A joke, please.")
    assert found.seconds == 3 * 0.25


async def test_of_the_manual_a_question_gets_what_is_about_it_and_no_mere_words(
    made: Made,
) -> None:
    def worded(folder: str, dense: float | None) -> Hit:
        found = hit("chatbot ask 'Name a river.'", 0.6, folder=folder)
        return msgspec.structs.replace(
            found, scores=msgspec.structs.replace(found.scores, dense=dense)
        )

    for folder, dense, is_used in (
        (SHIPPED, 0.25, False),
        (SHIPPED, 0.4, True),
        (SHIPPED, None, True),  # not embedded yet: words are all there is
        ("/notes", 0.25, True),
    ):
        made.retrieval.hits = (worded(folder, dense),)
        found = await made.knowledge.find("Name a river.")
        assert bool(found.sources) is is_used
        assert [c.verdict for c in found.candidates] == ["irrelevant"] * (not is_used)
        assert (await made.knowledge.search("river")).sources, "who searches gets what there is"


async def test_support_is_by_the_best_source_that_reaches_the_threshold(made: Made) -> None:
    made.retrieval.hits = (hit("one"), hit("two"))
    scores = {("A is.", "one"): 0.6, ("A is.", "two"): 0.9, ("B\nis", "one"): 0.49}
    made.retrieval.supported_by = lambda s, p: scores.get((s, p), 0.49 if s == "B is" else 0.0)
    found = await made.knowledge.find("x")
    support = (await made.knowledge.support("A is. B\nis", found)).support
    assert [(s.start, s.end, s.source, s.score) for s in support] == [
        (0, 5, 1, 0.9),
        (6, 10, None, 0.49),
    ]
    assert made.retrieval.scored == [(("A is.", "B is"), ("one", "two"))]


async def test_only_documents_of_the_folders_are_opened(made: Made) -> None:
    made.retrieval.documents = {"a.md": DocumentText(file="a.md", text="text")}
    source = Source(title="", location="a.md:1", text="", folder=SHIPPED, file="a.md")
    assert (await made.knowledge.open_source(source)).text == "text"
    for change in ({"folder": "/etc"}, {"folder": ""}, {"file": "../a.md"}, {"file": "/a.md"}):
        with pytest.raises(KnowledgeError):
            await made.knowledge.open_source(msgspec.structs.replace(source, **change))


async def test_folders_are_kept_up_and_every_change_is_followed(made: Made, home: Path) -> None:
    knowledge, retrieval = made.knowledge, made.retrieval
    told: list[int] = []
    knowledge.on_change(lambda: told.append(1))
    knowledge.start()
    await until(lambda: retrieval.indexed)
    assert retrieval.indexed == [((SHIPPED,), True)]
    assert knowledge.folders[0].status == FolderStatus(folder=SHIPPED, stage="ready", num_files=1)
    assert told
    notes = knowledge.add_folder("~/notes").path
    await until(lambda: len(retrieval.indexed) == 2)
    assert retrieval.indexed[1] == ((SHIPPED, notes), True)
    made.settings = msgspec.structs.replace(made.settings, embedding_model="other")
    knowledge.settings_changed()
    await until(lambda: len(retrieval.indexed) == 3)


async def test_a_failure_is_told_and_the_next_question_tries_again(made: Made) -> None:
    knowledge, retrieval = made.knowledge, made.retrieval
    retrieval.error = WorkerError("The retrieval process was killed.")
    knowledge.start()
    await until(lambda: knowledge.error)
    with pytest.raises(WorkerError):
        await knowledge.find("x")
    await until(lambda: len(retrieval.indexed) == 2)
    retrieval.error = None
    await knowledge.find("x")
    await until(lambda: not knowledge.error or len(retrieval.indexed) == 3)
    assert retrieval.indexed[-1] == ((SHIPPED,), True)


async def test_it_is_known_whether_a_search_waits_for_the_embedding_model(made: Made) -> None:
    assert not made.knowledge.is_warm
    made.knowledge.warm()
    assert not made.knowledge.is_warm
    await until(lambda: made.knowledge.is_warm)
    assert made.retrieval.num_warmed == 1


async def test_nothing_is_indexed_where_nothing_is_searched(made: Made) -> None:
    made.settings = with_settings(num_sources=0)
    made.knowledge.start()
    made.knowledge.warm()
    await made.knowledge.bring_up_to_date()
    for _ in range(20):
        await asyncio.sleep(0)
    assert (made.retrieval.indexed, made.retrieval.num_warmed) == ([], 0)


async def test_what_is_searched_by_hand_is_indexed_then(made: Made) -> None:
    made.settings = with_settings(num_sources=0, folders=(KnowledgeFolder(MANUAL),))
    made.retrieval.hits = (hit("a word", folder=SHIPPED),)
    made.knowledge.start()
    async with asyncio.timeout(FIRST_WORDS_SECONDS / 2):
        found = await made.knowledge.search("word", num_sources=1)
    assert found.sources
    assert made.retrieval.indexed == [((SHIPPED,), True)]


async def test_the_pause_ends_whatever_happens(made: Made) -> None:
    with pytest.raises(ValueError), made.knowledge.paused():
        raise ValueError
    assert made.retrieval.pauses == ["pause", "resume"]


async def test_a_passage_that_was_shortened_is_read_again(made: Made) -> None:
    made.settings = with_settings(num_sources=0, folders=(KnowledgeFolder(MANUAL),))
    made.retrieval.hits = (hit("word " * 200, folder=SHIPPED),)
    (source,) = (await made.knowledge.find("x")).candidates
    assert len(source.text) <= 300
    assert (await made.knowledge.in_full(source)).text == "word " * 200
