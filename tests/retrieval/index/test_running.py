"""An index while it is being made and kept: watched, paused, cancelled, shared, killed."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from chatbot.errors import KnowledgeError, WorkerError
from chatbot.paths import index_dir
from chatbot.retrieval.client import RetrievalClient
from chatbot.retrieval.index.watching import FolderWatcher
from chatbot.retrieval.values import FolderStatus, IndexOptions
from tests.retrieval.index.helpers import (
    OPTIONS,
    check_whole,
    client,
    has_words,
    index_once,
    make_folder,
    read_rows,
    some_text,
    until,
)

VISIBLE_SECONDS = 2.0


@contextlib.asynccontextmanager
async def watched(
    retrieval: RetrievalClient, *folders: Path
) -> AsyncIterator["asyncio.Task[tuple[FolderStatus, ...]]"]:
    names = [str(folder) for folder in folders]
    task = asyncio.create_task(retrieval.index(names, OPTIONS, watch=True))
    try:
        await until(lambda: stages(retrieval) == ["ready"] * len(folders))
        yield task
    finally:
        retrieval.cancel_index()
        with contextlib.suppress(WorkerError):
            await task


def stages(retrieval: RetrievalClient) -> list[str]:
    return [status.stage for status in retrieval.status.folders]


@pytest.fixture
def slow_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_BLOCK_SECONDS", "0.1")


async def test_each_kind_of_change_is_seen_within_two_seconds(
    folder: Path, retrieval: RetrievalClient
) -> None:
    other = make_folder(folder.parent / "other", 2)
    async with watched(retrieval, folder, other):
        (folder / "added.md").write_text("# Added\n\nA zeppelin.\n")
        assert await until(lambda: has_words(folder, "zeppelin")) < VISIBLE_SECONDS
        (folder / "added.md").write_text("# Added\n\nA submarine.\n")
        assert await until(lambda: has_words(folder, "submarine")) < VISIBLE_SECONDS
        assert not has_words(folder, "zeppelin")
        (folder / "added.md").rename(folder / "sub0" / "moved.md")
        renamed = "SELECT 1 FROM documents WHERE file = 'sub0/moved.md'"
        assert await until(lambda: read_rows(folder, renamed)) < VISIBLE_SECONDS
        (folder / "sub0" / "moved.md").unlink()
        assert await until(lambda: not has_words(folder, "submarine")) < VISIBLE_SECONDS
        new = folder / "deep" / "er"
        new.mkdir(parents=True)
        (new / "file.md").write_text("# New\n\nA locomotive.\n")
        assert await until(lambda: has_words(folder, "locomotive")) < VISIBLE_SECONDS
        shutil.rmtree(folder / "deep")
        assert await until(lambda: not has_words(folder, "locomotive")) < VISIBLE_SECONDS
        (other / "note.md").write_text("# Note\n\nA bicycle.\n")
        assert await until(lambda: has_words(other, "bicycle")) < VISIBLE_SECONDS
        await until(lambda: stages(retrieval) == ["ready", "ready"])
    check_whole(folder)


async def test_a_search_says_of_a_file_it_names_why_it_is_not_searched(
    folder: Path, retrieval: RetrievalClient
) -> None:
    for name in ("old.doc", "bold.doc", "sub1/Old.doc"):
        (folder / name).write_bytes(b"x")
    await retrieval.index([str(folder)], OPTIONS, watch=False)
    found = await retrieval.search("What does old.doc say?", [str(folder)], OPTIONS)
    reason = "Files of the kind .doc are not read; save it as .docx, .pdf or .txt."
    assert found.notice == " ".join(
        f"{file} is not searched. {reason}" for file in ("old.doc", "sub1/Old.doc")
    )
    for query in ("old doc", "harbour.", "file1.md"):
        assert not (await retrieval.search(query, [str(folder)], OPTIONS)).notice


async def test_a_folder_that_goes_and_comes_back(folder: Path, retrieval: RetrievalClient) -> None:
    async with watched(retrieval, folder):
        folder.rename(folder.parent / "away")
        assert await until(lambda: stages(retrieval) == ["failed"]) < VISIBLE_SECONDS
        assert str(folder) in retrieval.status.folders[0].error
        with pytest.raises(KnowledgeError, match="not there"):
            await retrieval.search("harbour", [str(folder)], OPTIONS)
        (folder.parent / "away" / "late.md").write_text("# Late\n\nA zeppelin.\n")
        (folder.parent / "away").rename(folder)
        assert await until(lambda: has_words(folder, "zeppelin")) < VISIBLE_SECONDS
        await until(lambda: stages(retrieval) == ["ready"])
    check_whole(folder)


@pytest.mark.parametrize("stage", ["reading", "embedding"])
async def test_a_folder_that_goes_while_it_is_indexed_is_not_ready(
    tmp_path: Path, stage: str, slow_embedding: None
) -> None:
    folder = make_folder(tmp_path / "large", 100)
    by_words = client(tmp_path)
    task = asyncio.create_task(by_words.index([str(folder)], OPTIONS, watch=False))
    await until(lambda: stages(by_words) == ["embedding"], 60)
    await by_words.close()
    with contextlib.suppress(WorkerError):
        await task
    if stage == "reading":
        make_folder(folder, 100, seed=2)  # all of it is read again
    retrieval = client(tmp_path)
    try:
        task = asyncio.create_task(retrieval.index([str(folder)], OPTIONS, watch=False))
        await until(lambda: stages(retrieval) == [stage])
        folder.rename(tmp_path / "away")
        (status,) = await asyncio.wait_for(task, 60)
    finally:
        await retrieval.close()
    assert status.stage == "failed"
    assert str(folder) in status.error
    # What is known of it is kept, as of one that is not there in the first place.
    assert read_rows(folder, "SELECT count(*) FROM documents") == [(100,)]


async def test_changes_while_it_is_embedding_are_seen_too(
    folder: Path, retrieval: RetrievalClient, slow_embedding: None
) -> None:
    task = asyncio.create_task(retrieval.index([str(folder)], OPTIONS, watch=True))
    await until(lambda: stages(retrieval) == ["embedding"])
    (folder / "added.md").write_text("# Added\n\nA zeppelin.\n")
    assert await until(lambda: has_words(folder, "zeppelin")) < VISIBLE_SECONDS
    await until(lambda: stages(retrieval) == ["ready"])
    retrieval.cancel_index()
    await task
    check_whole(folder)


async def test_a_pause_stops_embedding_and_nothing_else(
    folder: Path, retrieval: RetrievalClient, slow_embedding: None
) -> None:
    task = asyncio.create_task(retrieval.index([str(folder)], OPTIONS, watch=True))
    await until(lambda: retrieval.status.folders and retrieval.status.folders[0].num_embedded)
    retrieval.pause()
    await asyncio.sleep(0.5)  # the block that is being computed
    num_embedded = read_rows(folder, "SELECT count(*) FROM vectors")
    (folder / "added.md").write_text("# Added\n\nA zeppelin.\n")
    assert await until(lambda: has_words(folder, "zeppelin")) < VISIBLE_SECONDS
    assert read_rows(folder, "SELECT count(*) FROM vectors") == num_embedded
    retrieval.resume()
    await until(lambda: stages(retrieval) == ["ready"])
    retrieval.cancel_index()
    await task
    check_whole(folder)


async def test_cancel_ends_it_within_a_second_and_it_goes_on_later(
    tmp_path: Path, retrieval: RetrievalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BLOCK_SECONDS", "0.6")
    folder = make_folder(tmp_path / "notes", 20)
    task = asyncio.create_task(retrieval.index([str(folder)], OPTIONS, watch=False))
    await until(lambda: retrieval.status.folders and retrieval.status.folders[0].num_embedded)
    started = time.monotonic()
    retrieval.cancel_index()
    (status,) = await task
    assert time.monotonic() - started < 1
    assert status.stage == "cancelled"
    kept = read_rows(folder, "SELECT hash, id FROM vectors")
    assert kept
    monkeypatch.delenv("FAKE_BLOCK_SECONDS")
    await retrieval.close()
    await index_once(folder, tmp_path)
    assert set(kept) < set(read_rows(folder, "SELECT hash, id FROM vectors"))
    check_whole(folder)


async def test_another_request_takes_the_place_of_the_first(
    folder: Path, tmp_path: Path, retrieval: RetrievalClient, slow_embedding: None
) -> None:
    other = make_folder(tmp_path / "other", 3)
    first = asyncio.create_task(retrieval.index([str(folder)], OPTIONS, watch=True))
    await until(lambda: retrieval.status.folders and retrieval.status.folders[0].num_embedded)
    names = [str(folder), str(other)]
    statuses = await retrieval.index(names, OPTIONS, watch=False)
    assert [status.stage for status in statuses] == ["ready", "ready"]
    assert (await first)[0].stage == "cancelled"
    check_whole(folder)
    check_whole(other)


async def test_lists_are_answered_while_the_model_loads(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index_once(folder, tmp_path)
    monkeypatch.setenv("FAKE_LOAD_SECONDS", "30")
    retrieval = client(tmp_path)
    try:
        warm = asyncio.create_task(retrieval.warm(OPTIONS))
        documents = await asyncio.wait_for(retrieval.list_documents(str(folder)), 5)
        assert len(documents) == 12
        assert not warm.done()
    finally:
        await retrieval.close()
    with pytest.raises(WorkerError):
        await warm


async def test_a_second_program_waits_reads_and_takes_over(
    folder: Path, tmp_path: Path, retrieval: RetrievalClient
) -> None:
    second = client(tmp_path / "second")
    try:
        async with watched(retrieval, folder):
            waiting = asyncio.create_task(second.index([str(folder)], OPTIONS, watch=True))
            await until(lambda: second.status.folders and second.status.folders[0].num_passages)
            assert stages(second) == ["waiting"]
            assert second.status.folders[0].num_passages == retrieval.status.folders[0].num_passages
            # One that does not watch has nothing to wait for: the first keeps it up to date.
            third = await index_once(folder, tmp_path / "third")
            assert (third.stage, third.error) == ("waiting", "")
            other_model = IndexOptions(embedding_model="wide")
            fourth = await index_once(folder, tmp_path / "fourth", other_model)
            assert "another embedding model" in fourth.notice
            with pytest.raises(KnowledgeError, match="Another running chatbot"):
                await second.forget(str(folder))
            (folder / "added.md").write_text("# Added\n\nA zeppelin.\n")
            await until(lambda: second.status.folders[0].num_files == 13)
            assert retrieval.pid
            os.kill(retrieval.pid, signal.SIGKILL)
        await until(lambda: stages(second) == ["ready"])
        (folder / "more.md").write_text("# More\n\nA submarine.\n")
        assert await until(lambda: has_words(folder, "submarine")) < VISIBLE_SECONDS
        second.cancel_index()
        await waiting
    finally:
        await second.close()


def change_something(folder: Path, chance: random.Random) -> None:
    files = sorted(folder.rglob("*.md"))
    file = chance.choice(files)
    match chance.randrange(4):
        case 0:
            file.write_text(some_text(chance))
        case 1:
            file.rename(file.with_name(f"renamed{chance.randrange(10**6)}.md"))
        case 2 if len(files) > 100:
            file.unlink()
        case _:
            (folder / f"new{chance.randrange(10**6)}.md").write_text(some_text(chance))


STAGES = ("reading", "embedding", "scanning", "reading", "embedding")
"""When to kill, one after the other; how long after, is random."""


async def live(
    retrieval: RetrievalClient, folder: Path, chance: random.Random, wanted: str
) -> None:
    """Change files until some moment in a stage, or after one that was too short to be seen."""
    wanted_or_later = {wanted, "embedding", "ready"}
    end = None
    while end is None or time.monotonic() < end:
        await asyncio.sleep(0.02)
        if chance.random() < 0.3:
            change_something(folder, chance)
        assert "failed" not in stages(retrieval), retrieval.status
        if end is None and wanted_or_later & set(stages(retrieval)):
            end = time.monotonic() + chance.uniform(0.0, 0.5)


async def run_kills(tmp_path: Path, num_kills: int, seed: int) -> None:
    chance = random.Random(seed)
    folder = make_folder(tmp_path / "notes", 120, seed)
    moments: set[str] = set()
    for number in range(num_kills):
        retrieval = client(tmp_path)
        task = asyncio.create_task(
            retrieval.index([str(folder)], OPTIONS, watch=chance.random() < 0.5)
        )
        await live(retrieval, folder, chance, wanted=STAGES[number % len(STAGES)])
        moments.update(stages(retrieval))
        if retrieval.pid:
            os.kill(retrieval.pid, signal.SIGKILL)
        with contextlib.suppress(WorkerError):
            await task
        await retrieval.close()
        if number % 5 == 4:
            status = await index_once(folder, tmp_path)
            assert (status.stage, status.notice) == ("ready", "")
            check_whole(folder)
            # Some start from nothing, and are killed in their first minutes.
            shutil.rmtree(index_dir(folder))
    assert {"reading", "embedding"} <= moments


@pytest.mark.timeout(120)
async def test_fifteen_kills_leave_every_passage_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BLOCK_SECONDS", "0.02")
    await run_kills(tmp_path, 15, 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_hundred_kills_leave_every_passage_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BLOCK_SECONDS", "0.02")
    await run_kills(tmp_path, 100, 2)


async def test_the_process_ends_with_its_input_in_mid_indexing(
    folder: Path, tmp_path: Path, slow_embedding: None
) -> None:
    retrieval = client(tmp_path)
    task = asyncio.create_task(retrieval.index([str(folder)], OPTIONS, watch=True))
    await until(lambda: stages(retrieval) == ["embedding"])
    started = time.monotonic()
    await retrieval.close()
    assert time.monotonic() - started < 1
    with pytest.raises(WorkerError):
        await task
    await index_once(folder, tmp_path)
    check_whole(folder)


async def test_a_data_folder_that_cannot_be_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retrieval: RetrievalClient
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHATBOT_DATA_DIR", str(tmp_path / "file"))
    (status,) = await retrieval.index([str(folder)], OPTIONS, watch=False)
    assert status.stage == "failed"
    assert "\n" not in status.error
    assert status.error.endswith(".")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can make a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def make_larger(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)


async def test_a_full_disk_is_told_of_and_recovered_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_disk: Path
) -> None:
    monkeypatch.setenv("CHATBOT_DATA_DIR", str(small_disk))
    folder = make_folder(tmp_path / "notes", 150)
    status = await index_once(folder, tmp_path)
    assert status.stage == "failed"
    assert "disk is full" in status.error
    make_larger(small_disk)
    assert (await index_once(folder, tmp_path)).stage == "ready"
    check_whole(folder)


async def test_a_folder_that_cannot_be_watched_is_looked_through(tmp_path: Path) -> None:
    calls: list[float] = []

    def refuse(*_: object, **__: object) -> Iterator[set[object]]:
        raise OSError(28, "No space left on device")

    watcher = FolderWatcher(tmp_path, lambda: calls.append(time.monotonic()), refuse)
    try:
        await until(lambda: len(calls) >= 2)
        assert "max_user_watches" in watcher.notice
    finally:
        watcher.stop()


def test_hidden_folders_and_own_files_are_not_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATBOT_DATA_DIR", str(tmp_path / "data"))
    watcher = FolderWatcher(tmp_path, lambda: None)
    watcher.stop()
    matters: Callable[[str], bool] = lambda file: watcher._matters(str(tmp_path / file))  # noqa: E731
    assert [matters(f) for f in ("a.md", "sub/a.md", "", "data2/a.md")] == [True] * 4
    hidden = (".git/index", "sub/.cache/x/y", "data/indexes/x/index.db", ".a.md.swp")
    assert [matters(f) for f in hidden] == [False] * 4


def test_what_the_user_leaves_out_is_no_change(tmp_path: Path) -> None:
    patterns = tmp_path / ".chatbotignore"
    patterns.write_text("*.log\n/drafts/\n")
    watcher = FolderWatcher(tmp_path, lambda: None)
    watcher.stop()
    matters: Callable[[str], bool] = lambda file: watcher._matters(str(tmp_path / file))  # noqa: E731
    assert [matters(f) for f in ("x.log", "sub/x.log", "drafts/x.md")] == [False] * 3
    assert [matters(f) for f in ("x.md", "sub/drafts/x.md", "")] == [True] * 3
    patterns.write_text("x.md\n")
    assert matters(".chatbotignore")
    assert [matters(f) for f in ("x.log", "x.md")] == [True, False]
    (tmp_path / "sub" / "node_modules").mkdir(parents=True)
    (tmp_path / "sub" / ".gitignore").write_text("*.o\nbuild/\n")
    assert [matters(f) for f in ("sub/x.o", "sub/build/y", "x.o")] == [False, False, True]
    (tmp_path / "sub" / ".gitignore").write_text("build/\n")
    assert [matters(f) for f in ("sub/.gitignore", "sub/x.o")] == [True, True]
    patterned = ("sub/build/.gitignore", "sub/node_modules/.gitignore", "sub/node_modules/x.md")
    assert [matters(f) for f in patterned] == [False] * 3
