import io
import json
import math
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from chatbot.commands import bench
from chatbot.errors import KnowledgeError
from chatbot.retrieval.benchmark.collections import find_collections, read_collection
from chatbot.retrieval.benchmark.measures import covered_share, fuse_ranks, ndcg

DOCUMENTS = {
    "bread.md": "# Bread\n\nKnead the dough for ten minutes. It must rest for an hour.\n",
    "danube.md": "# Danube\n\nThe Danube ends in the Black Sea. It flows through ten countries.\n",
    "steam.md": "# Steam\n\nBoiling water moves a piston, and the piston turns a wheel.\n",
    "law.md": "# Law\n\nA court decides what a statute means where people disagree.\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    (folder / "docs").mkdir(parents=True)
    for name, text in DOCUMENTS.items():
        (folder / "docs" / name).write_text(text)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def lines(*rows: dict[str, object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(
        tmp_path / "judged",
        {
            "queries.jsonl": lines({"id": "1", "text": "river"}, {"id": "2", "text": "engine"}),
            "qrels.tsv": "1\tdanube.md\t1\n2\tsteam.md\t2\n",
        },
    )
    passage = "The Danube ends in the Black Sea."
    question = {"question": "Where does the Danube end?", "answers": ["Black Sea"]}
    answered = {**question, "file": "danube.md", "passage": passage, "answerable": True}
    not_answered = {
        "question": "Who owns the court?",
        "answers": [],
        "file": "law.md",
        "passage": "A court",
        "answerable": False,
    }
    write(tmp_path / "answered", {"questions.jsonl": lines(answered, not_answered)})
    start = DOCUMENTS["bread.md"].index("It must")
    spanned = {
        "question": "How long must the dough rest?",
        "file": "bread.md",
        "spans": [{"start": start, "end": start + 25}],
    }
    write(tmp_path / "spanned", {"questions.jsonl": lines(spanned)})
    return tmp_path


def test_measures_by_hand() -> None:
    grades = {"a": 2, "b": 1}
    ideal = 2 + 1 / math.log2(3)
    assert ndcg(["x", "a", "b"], grades) == pytest.approx((2 / math.log2(3) + 1 / 2) / ideal)
    assert ndcg(["a", "b"], grades) == 1
    assert ndcg(["x"] * 10 + ["a"], grades) == 0
    assert ndcg(["a"], {}) == 0
    # b: 1/62 + 1/61; a: 1/61 + 1/63; c: 1/62.
    assert fuse_ranks((["a", "b"], ["b", "c", "a"])) == ["b", "a", "c"]
    assert covered_share([(0, 10), (20, 30)], [(5, 25), (8, 12)]) == 0.5
    assert covered_share([], [(0, 1)]) == 0


def test_collections_are_read(data: Path, tmp_path: Path) -> None:
    found = {path.name: read_collection(path) for path in find_collections(data, tmp_path / "s")}
    assert set(found) == {"judged", "answered", "spanned"}
    assert set(found["judged"].documents) == set(DOCUMENTS)
    assert found["judged"].judged[1].grades == {"steam.md": 2}
    assert found["answered"].answered[0].answers == ("Black Sea",)
    assert found["spanned"].spanned[0].file == "bread.md"


def test_an_archive_is_a_collection(data: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with tarfile.open(shelf / "packed.tar.gz", "w:gz") as archive:
        archive.add(data / "judged", "packed")
    (folder,) = find_collections(shelf, tmp_path / "scratch")
    assert len(read_collection(folder).judged) == 2


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt"])
def test_an_archive_does_not_write_elsewhere(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(KnowledgeError):  # refused, or nothing is left that could be a collection
        find_collections(tmp_path, tmp_path / "scratch" / "deep")
    assert not Path("/tmp/out.txt").exists()
    assert all("deep" in path.parts for path in tmp_path.rglob("out.txt"))


def test_broken_collections_say_so(data: Path, tmp_path: Path) -> None:
    (data / "judged" / "qrels.tsv").write_text("nonsense\n")
    with pytest.raises(KnowledgeError, match="cannot be read"):
        read_collection(data / "judged")
    (tmp_path / "none").mkdir()
    for folder in (tmp_path / "none", tmp_path / "missing"):
        with pytest.raises(KnowledgeError):
            find_collections(folder, tmp_path)


@pytest.mark.slow
def test_the_command_measures_in_a_process_of_its_own(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    bench.add_bench_parser(parser.add_subparsers())
    options = parser.parse_args(
        ["bench", "retrieval", "--data", str(data), "--json", "--quality-only"]
    )
    assert bench.run_bench(options) == 0
    assert json.loads(capfd.readouterr().out)["search"] is None


def test_quality_is_measured(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from chatbot.retrieval.benchmark.running import main

    assert main(["--data", str(data), "--json", "--quality-only"]) == 0
    report = json.loads(capfd.readouterr().out)
    (documents,) = report["documents"]
    assert documents["ours"] == 1
    assert report["answers"][0]["ours"] == 1
    assert report["spans"][0]["ours"] == 1
    assert report["search"] is None
    assert main(["--data", str(data / "nowhere")]) == 1
    assert "There is no folder" in capfd.readouterr().err


def test_importing_the_flags_is_light() -> None:
    code = (
        "import sys, chatbot.commands.bench; sys.exit(bool({'numpy', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_speed_is_measured(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from chatbot.retrieval.benchmark.running import main

    options = ["--data", str(data), "--json", "--speed-only", "--num-passages", "2000"]
    assert main(options) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["search"]["recall"] >= 0.99
    assert report["search"]["memory_share"] <= 1 / 3
    assert report["indexing"]["num_passages"] == len(DOCUMENTS)
