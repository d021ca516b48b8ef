"""An index follows its folder: first time, nothing new, edits, renames, deletions, options."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from chatbot.errors import KnowledgeError
from chatbot.paths import index_dir
from chatbot.retrieval.client import RetrievalClient
from chatbot.retrieval.index.searching import SearchedIndex
from chatbot.retrieval.values import IndexOptions
from tests.retrieval.index.helpers import (
    OPTIONS,
    check_whole,
    has_words,
    index_once,
    make_folder,
    read_rows,
)


async def test_a_folder_is_indexed_whole(folder: Path, tmp_path: Path) -> None:
    status = await index_once(folder, tmp_path)
    assert (status.stage, status.error) == ("ready", "")
    assert status.num_files == status.num_files_done == 12
    assert status.num_embedded == status.num_passages > 12
    assert status.num_bytes > 0
    check_whole(folder)


async def test_only_what_changed_is_read_and_embedded_again(folder: Path, tmp_path: Path) -> None:
    await index_once(folder, tmp_path)
    before = dict(read_rows(folder, "SELECT hash, id FROM vectors"))
    ids = read_rows(folder, "SELECT id FROM passages ORDER BY id")
    assert (await index_once(folder, tmp_path)).stage == "ready"
    assert read_rows(folder, "SELECT id FROM passages ORDER BY id") == ids

    edited = folder / "sub0" / "file0.md"
    edited.write_text(edited.read_text() + "\n## New part\n\nA zeppelin was seen.\n" + "word " * 90)
    (folder / "sub1" / "file1.md").rename(folder / "renamed.md")
    shutil.copy(folder / "sub2" / "file2.md", folder / "copy.md")
    (folder / "sub0" / "file3.md").unlink()
    (folder / "added.md").write_text("# Added\n\nA submarine surfaced.\n")
    os.utime(folder / "sub1" / "file4.md")
    await index_once(folder, tmp_path)
    check_whole(folder)
    assert has_words(folder, "zeppelin")
    after = dict(read_rows(folder, "SELECT hash, id FROM vectors"))
    # The moved and the copied file embed nothing, the edited one only its new section.
    assert 2 <= len(after.keys() - before.keys()) <= 3
    assert all(after[digest] == before[digest] for digest in after.keys() & before.keys())


async def test_ids_are_never_given_twice(folder: Path, tmp_path: Path) -> None:
    await index_once(folder, tmp_path)
    (highest,) = read_rows(folder, "SELECT max(id) FROM passages")[0]
    shutil.rmtree(folder / "sub2")
    await index_once(folder, tmp_path)
    (folder / "new.md").write_text("# New\n\nText.\n")
    await index_once(folder, tmp_path)
    assert read_rows(folder, "SELECT max(id) FROM passages") == [(highest + 1,)]


async def test_another_embedding_model_makes_new_vectors_only(folder: Path, tmp_path: Path) -> None:
    await index_once(folder, tmp_path)
    ids = read_rows(folder, "SELECT id FROM passages ORDER BY id")
    await index_once(folder, tmp_path, IndexOptions(embedding_model="wide"))
    assert read_rows(folder, "SELECT id FROM passages ORDER BY id") == ids
    assert read_rows(folder, "SELECT DISTINCT length(vector) FROM vectors") == [(32 * 4,)]
    check_whole(folder, "wide")


async def test_other_cutting_makes_all_anew(folder: Path, tmp_path: Path) -> None:
    first = await index_once(folder, tmp_path)
    second = await index_once(folder, tmp_path, IndexOptions(embedding_model="narrow"))
    assert second.num_passages > first.num_passages
    check_whole(folder, "narrow")


async def test_a_model_that_cannot_be_loaded_leaves_search_by_words(
    folder: Path, retrieval: RetrievalClient
) -> None:
    options = IndexOptions(embedding_model="broken")
    (status,) = await retrieval.index([str(folder)], options, watch=False)
    assert status.stage == "failed"
    assert "name another one" in status.error
    assert has_words(folder, "harbour")


async def test_a_damaged_index_is_put_aside_and_made_anew(folder: Path, tmp_path: Path) -> None:
    await index_once(folder, tmp_path)
    file = index_dir(folder) / "index.db"
    data = bytearray(file.read_bytes())
    data[8192 : 8192 * 9] = os.urandom(8192 * 8)
    file.write_bytes(data)
    status = await index_once(folder, tmp_path)
    assert status.stage == "ready"
    assert "damaged" in status.notice
    assert (index_dir(folder) / "index-damaged.db").exists()
    check_whole(folder)


@pytest.mark.parametrize("harm", ["gone", "emptied", "broken", "cut", "scrambled"])
async def test_lost_words_are_made_from_the_passages(
    folder: Path, tmp_path: Path, harm: str
) -> None:
    await index_once(folder, tmp_path)
    (words,) = index_dir(folder).glob("lexical-*")
    if harm == "broken":
        (words / "meta.json").write_text("{")
    elif harm in ("cut", "scrambled"):
        for file in words.glob("*.*"):
            if file.suffix in (".term", ".idx", ".store", ".fast"):
                size = file.stat().st_size
                file.write_bytes(os.urandom(size) if harm == "scrambled" else b"few")
    else:
        shutil.rmtree(words)
        if harm == "emptied":
            words.mkdir()
    assert (await asyncio.wait_for(index_once(folder, tmp_path), 60)).stage == "ready"
    check_whole(folder)


async def test_words_that_cannot_be_changed_are_made_anew(folder: Path, tmp_path: Path) -> None:
    await index_once(folder, tmp_path)
    (words,) = index_dir(folder).glob("lexical-*")
    (segment,) = words.glob("*.term")
    for stamp in range(1000):  # one of them is where deletions are to be noted
        segment.with_suffix(f".{stamp}.del").touch()
    (folder / "sub0" / "file0.md").unlink()
    status = await index_once(folder, tmp_path)
    assert (status.stage, status.notice) == ("ready", "")
    check_whole(folder)


async def test_the_names_of_columns_are_found_with_each_row_as_in_a_text(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    rows = "".join(f"{'abcdefghij'[n % 10]}{n},{n * 37 % 100},Lyon\n" for n in range(100))
    (folder / "staff.csv").write_text(f"employee,salary,office\n{rows}")
    (folder / "plan.md").write_text("# Plan\n\nThe salary is agreed on in the office.\n" * 5)
    await index_once(folder, tmp_path)
    index = SearchedIndex(folder, str(folder))
    try:
        found = dict(index.search_words("salary", 20, {}))
        passages = index.read_passages(list(found))
        scores = [found[number] for number in found if passages[number].file == "staff.csv"]
        assert len(scores) > 2
        assert max(scores) < 1.5 * min(scores)  # a word that only stands above counts a third
    finally:
        index.close()


async def test_an_index_is_for_the_user_alone(folder: Path, tmp_path: Path) -> None:
    await index_once(folder, tmp_path)
    place = index_dir(folder)
    assert place.parent.stat().st_mode & 0o077 == 0
    for path in (place, *place.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


async def test_problems_are_listed_and_tried_again_when_they_change(
    folder: Path, retrieval: RetrievalClient
) -> None:
    (folder / "empty.md").touch()
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing else")
    outside = folder.parent / "outside.md"
    outside.write_text("# Outside\n\nsecret\n")
    (folder / "link.md").symlink_to(outside)
    (folder / "a\nb\x1b[31m.md").write_text("# Odd\n\nodd name\n")
    os.mkfifo(folder / "pipe.md")
    (status,) = await retrieval.index([str(folder)], OPTIONS, watch=False)
    documents = {d.file: d for d in await retrieval.list_documents(str(folder))}
    problems = {file: d.problem for file, d in documents.items() if d.problem}
    assert len(problems) == status.num_problems == 5
    assert {"empty.md", "broken.pdf", "link.md", "pipe.md"} < problems.keys()
    assert all("\n" not in file and "\x1b" not in file for file in documents)
    assert not has_words(folder, "secret")
    good = documents["sub0/file0.md"]
    assert (good.kind, good.num_embedded) == ("Markdown", good.num_passages)

    (folder / "empty.md").write_text("# Full\n\nNow a zeppelin is in it.\n")
    (folder / "broken.pdf").unlink()
    (status,) = await retrieval.index([str(folder)], OPTIONS, watch=False)
    assert status.num_problems == 3
    assert has_words(folder, "zeppelin")


async def test_documents_and_passages_can_be_looked_up(
    folder: Path, retrieval: RetrievalClient
) -> None:
    await retrieval.index([str(folder)], OPTIONS, watch=False)
    file = "sub0/file0.md"
    passages = await retrieval.list_passages(str(folder), file)
    document = await retrieval.read_document(str(folder), file)
    assert document.text == (folder / file).read_text()
    assert [p.start for p in passages] == sorted(p.start for p in passages)
    for passage in passages:
        assert document.text[passage.start : passage.end] == passage.text
    for name in ("../outside.md", "sub0/none.md", "/etc/passwd", "sub0/../sub0/file0.md"):
        with pytest.raises(KnowledgeError):
            await retrieval.read_document(str(folder), name)
    (folder / file).unlink()
    with pytest.raises(KnowledgeError, match="not in the folder any more"):
        await retrieval.read_document(str(folder), file)
    # Nor through a link that was put in its place.
    outside = folder.parent / "outside.md"
    outside.write_text("secret")
    (folder / file).symlink_to(outside)
    with pytest.raises(KnowledgeError):
        await retrieval.read_document(str(folder), file)


async def test_an_index_can_be_forgotten_and_made_again(
    folder: Path, retrieval: RetrievalClient
) -> None:
    await retrieval.index([str(folder)], OPTIONS, watch=False)
    assert await retrieval.forget(str(folder)) > 10_000
    assert not index_dir(folder).exists()
    with pytest.raises(KnowledgeError, match="not indexed yet"):
        await retrieval.list_documents(str(folder))
    await retrieval.index([str(folder)], OPTIONS, watch=False)
    check_whole(folder)


async def test_two_folders_one_in_the_other_and_one_twice(
    folder: Path, retrieval: RetrievalClient
) -> None:
    inner = make_folder(folder / "inner", 3, seed=2)
    names = [str(folder), str(inner), f"{folder}/../{folder.name}"]
    statuses = await retrieval.index(names, OPTIONS, watch=False)
    assert [status.folder for status in statuses] == names
    assert {status.stage for status in statuses} == {"ready"}
    assert statuses[0].num_files == statuses[2].num_files == 15
    check_whole(folder)
    check_whole(inner)


async def test_what_the_user_leaves_out_goes_and_comes_back(folder: Path, tmp_path: Path) -> None:
    whole = await index_once(folder, tmp_path)
    (folder / "mine.log").write_text("A line of a log.\n")
    (folder / ".chatbotignore").write_text("*.md\n*.log\n")
    less = await index_once(folder, tmp_path)
    assert (less.num_files, less.num_passages) == (0, 0)
    assert less.num_ignored == whole.num_files + 1
    (folder / ".chatbotignore").write_text("*.log\n")
    again = await index_once(folder, tmp_path)
    assert (again.num_passages, again.num_ignored) == (whole.num_passages, 1)
    check_whole(folder)


async def test_any_file_is_read_that_the_user_names(
    folder: Path, retrieval: RetrievalClient, tmp_path: Path
) -> None:
    (tmp_path / "plan.md").write_text("# Plan\n\nMarch.\n")
    (tmp_path / "link").symlink_to("plan.md")
    for name in ("plan.md", "link"):
        read = await retrieval.read_file(str(tmp_path / name))
        assert (read.kind, read.text) == ("Markdown", "# Plan\n\nMarch.\n")
    (tmp_path / "pic.png").write_bytes(b"x")
    for name, words in (("pic.png", "a picture"), ("gone", "no longer there"), (".", "regular")):
        with pytest.raises(KnowledgeError, match=words):
            await retrieval.read_file(str(tmp_path / name))
