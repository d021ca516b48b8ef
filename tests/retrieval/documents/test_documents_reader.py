import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.errors import KnowledgeError
from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.reader import MAX_FILES_AHEAD, Reader
from chatbot.retrieval.documents.reading import read_document
from tests.retrieval.documents.making_files import (
    make_bomb,
    make_epub,
    make_page,
    make_pdf,
    make_word,
    with_entry,
)
from tests.retrieval.documents.making_office import (
    make_open_spreadsheet,
    make_opendocument,
    make_shape,
    make_sheets,
    make_slides,
)

REPOSITORY = Path(__file__).parent.parent.parent.parent
MISBEHAVING = (sys.executable, "-m", "tests.retrieval.documents.misbehaving_reader")
DEADLINE_SECONDS = 30.0


def misbehaving(max_seconds_per_file: float = DEADLINE_SECONDS) -> Reader:
    return Reader(MISBEHAVING, max_seconds_per_file)


def put(folder: Path, *names: str) -> list[str]:
    for name in names:
        # What hangs or writes says so by making the file that it names.
        (folder / name).write_text(f"{folder}/{name}.done")
    return list(names)


def reason(reader: Reader, folder: Path, file: str) -> str:
    with pytest.raises(DocumentError) as caught:
        reader.read(folder, file)
    return str(caught.value)


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} was never made"
        time.sleep(0.005)


def wait_until_gone(reader: Reader) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while reader.pid is not None:
        assert time.monotonic() < deadline, "the process is still there"
        time.sleep(0.005)


def outcomes(reader: Reader, folder: Path, files: list[str]) -> dict[str, str]:
    """The kind of each document, or the beginning of what is wrong with it."""
    return {
        file: found.kind if isinstance(found, Document) else str(found)[:35]
        for file, found in reader.read_all(folder, files)
    }


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as reader:
        yield reader


def test_reads_every_format_as_it_is_read_without_limits(reader: Reader, tmp_path: Path) -> None:
    contents = {
        "a.md": b"# A\ntext",
        "b.txt": "naïve ☃".encode(),
        "c.rst": b"C\n=\n",
        "d.py": b"def d(): pass",
        "e.csv": b"a,b",
        "f.json": b"{}",
        "g.html": b"<h1>G</h1>",
        "h.pdf": make_pdf(["H", "I"]),
        "i.docx": make_word(),
        "j.epub": make_epub({"a": make_page("<h1>J</h1>")}, ["a"]),
        "k.pptx": make_slides([make_shape("K", place="title")]),
        "l.xlsx": make_sheets({"L": [["a", "b"]]}),
        "m.ods": make_open_spreadsheet("M", [["a", "b"]]),
        "n.odt": make_opendocument("text", "<text:p>N</text:p>"),
        "o.odp": make_opendocument("presentation", "<draw:page><text:p>O</text:p></draw:page>"),
        "p.rtf": b"{\\rtf1 P\\par}",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    found = dict(reader.read_all(tmp_path, contents))
    assert list(found) == list(contents)
    assert found == {name: read_document(tmp_path, name) for name in contents}


def test_problems_come_as_they_are_and_in_order(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(make_bomb("word/document.xml", 2**30))
    (tmp_path / "b.md").write_text("fine")
    (tmp_path / "c.txt").write_bytes(b"\0\1")
    assert outcomes(reader, tmp_path, ["a.docx", "b.md", "c.txt", "gone.md", "../x", "b.md"]) == {
        "a.docx": "It is refused as an archive bomb: i",
        "b.md": "Markdown",
        "c.txt": "It is not text but binary data of a",
        "gone.md": "The file is no longer there.",
        "../x": "Its path leads out of the folder.",
    }
    assert reason(reader, tmp_path, "gone.md") == "The file is no longer there."
    assert reader.read(tmp_path, "b.md").text == "fine"


def test_a_sheet_with_a_cell_far_off_costs_that_file_alone(reader: Reader, tmp_path: Path) -> None:
    far = with_entry(
        make_sheets({"S": [["a"]]}),
        "xl/worksheets/sheet1.xml",
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c>'
        "</row></sheetData></worksheet>",
    )
    (tmp_path / "far.xlsx").write_bytes(far)
    (tmp_path / "b.md").write_text("fine")
    assert outcomes(reader, tmp_path, ["far.xlsx", "b.md"]) == {
        "far.xlsx": "Reading it took more memory than th",
        "b.md": "Markdown",
    }


def test_nothing_to_read_starts_no_process(tmp_path: Path) -> None:
    with Reader(("/nonexistent",)) as reader:
        assert list(reader.read_all(tmp_path, ())) == []


def test_names_and_folders_that_are_no_text(reader: Reader, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b["))
    folder.mkdir()
    (folder / "a\n☃.md").write_text("text")
    (folder / "\udcfe.md").write_text("odd")
    assert reader.read(folder, "a\n☃.md").text == "text"
    assert reader.read(folder, "\udcfe.md").text == "odd"
    assert "no longer there" in reason(reader, folder, "\ud800.md")
    assert "too long" in reason(reader, folder, "x" * 100_000)


def test_a_large_document_passes_whole(reader: Reader, tmp_path: Path) -> None:
    text = "wörd " * (2**21)
    (tmp_path / "a.md").write_text(text)
    put(tmp_path, "b.md")
    (_, large), (_, small) = reader.read_all(tmp_path, ["a.md", "b.md"])
    assert isinstance(large, Document)
    assert large.text == text
    assert isinstance(small, Document)


def test_one_bad_file_of_each_kind_costs_that_file_only(tmp_path: Path) -> None:
    files = put(
        tmp_path,
        *("a.txt", "crash.txt", "b.txt", "leave.txt", "killed.txt", "c.txt", "eat.txt", "d.txt"),
        *("babble.txt", "raise.txt", "print.txt", "sleep.txt", "e.txt"),
    )
    with misbehaving(max_seconds_per_file=10) as reader:
        assert outcomes(reader, tmp_path, files) == {
            **dict.fromkeys(("a.txt", "b.txt", "c.txt", "d.txt", "print.txt", "e.txt"), "Text"),
            "crash.txt": "Reading it crashed (SIGSEGV); it is",
            "leave.txt": "Reading it crashed (exit status 3);",
            "killed.txt": "Reading it took more memory than th",
            "eat.txt": "Reading it takes too much memory; s",
            "babble.txt": "Reading it crashed (it sent somethi",
            "raise.txt": "It is damaged: reading it failed (Z",
            "sleep.txt": "Reading it took longer than 10 s an",
        }


def test_the_limit_on_time_is_kept_and_the_others_wait_no_longer(tmp_path: Path) -> None:
    files = put(tmp_path, "a.txt", "hang.txt", "b.txt")
    with misbehaving(max_seconds_per_file=1) as reader:
        reader.read(tmp_path, "a.txt")
        start = time.monotonic()
        assert "longer than 1 s" in outcomes(reader, tmp_path, files)["hang.txt"]
        assert 1 <= time.monotonic() - start < 1 + DEADLINE_SECONDS / 2


def test_the_process_cannot_write_files(tmp_path: Path) -> None:
    put(tmp_path, "write.txt")
    with misbehaving() as reader:
        assert "reading it failed (OSError)" in reason(reader, tmp_path, "write.txt")
    assert (tmp_path / "write.txt.done").read_bytes() == b""


def test_a_process_that_died_with_nothing_to_do_costs_nothing(tmp_path: Path) -> None:
    files = put(tmp_path, "a.txt")
    with Reader() as reader:
        reader.read(tmp_path, "a.txt")
        assert reader.pid is not None
        os.kill(reader.pid, signal.SIGKILL)
        wait_until_gone(reader)
        assert outcomes(reader, tmp_path, files) == {"a.txt": "Text"}


def test_works_ahead_and_not_too_far(tmp_path: Path) -> None:
    names = put(tmp_path, *(f"started-{index}.txt" for index in range(3 * MAX_FILES_AHEAD)))
    asked = []

    def ask() -> Iterator[str]:
        for name in names:
            asked.append(name)
            yield name

    with misbehaving() as reader:
        found = reader.read_all(tmp_path, ask())
        assert next(found)[0] == names[0]
        num_asked = len(asked)
        assert 1 < num_asked <= MAX_FILES_AHEAD + 1
        # The caller is busy; the process goes on with what it was asked for, and no further.
        wait_for(tmp_path / f"{names[num_asked - 2]}.done")
        assert len(asked) == num_asked
        assert [file for file, _ in found] == names[1:]


def test_large_answers_that_nobody_takes_block_nothing(tmp_path: Path) -> None:
    names = [f"{'long-name-' * 20}{index}.md" for index in range(200)]
    for name in names:
        (tmp_path / name).write_text("x" * 2**18)
    with Reader() as reader:
        assert [file for file, _ in reader.read_all(tmp_path, names)] == names


def test_an_iterator_left_early_leaves_nothing_behind(tmp_path: Path) -> None:
    names = put(tmp_path, *(f"{index}.txt" for index in range(100)))
    with Reader() as reader:
        for file, _ in reader.read_all(tmp_path, names):
            if file == "5.txt":
                break
        assert reader.read(tmp_path, "99.txt").title == "99.txt"
        first = reader.read_all(tmp_path, names)
        next(first)
        with pytest.raises(RuntimeError, match="one caller"):
            reader.read(tmp_path, "99.txt")
        first.close()
        assert reader.read(tmp_path, "98.txt").title == "98.txt"


def test_closing_ends_even_a_file_that_hangs(tmp_path: Path) -> None:
    put(tmp_path, "hang.txt")
    reader = misbehaving()
    errors: list[Exception] = []

    def read() -> None:
        try:
            reader.read(tmp_path, "hang.txt")
        except KnowledgeError as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    wait_for(tmp_path / "hang.txt.done")
    reader.close()
    thread.join(DEADLINE_SECONDS)
    assert [str(error) for error in errors] == [
        "The reading of documents was ended; start it again."
    ]
    with pytest.raises(KnowledgeError, match="was ended"):
        reader.read(tmp_path, "hang.txt")


@pytest.mark.parametrize(
    "command", [("/nonexistent",), (sys.executable, "-c", "raise SystemExit(1)")]
)
def test_a_process_that_cannot_be_started_is_no_documents_fault(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    put(tmp_path, "a.txt")
    with Reader(command) as reader, pytest.raises(KnowledgeError, match="could not be started"):
        list(reader.read_all(tmp_path, ["a.txt"]))


def test_the_process_goes_when_its_owner_is_killed(tmp_path: Path) -> None:
    put(tmp_path, "a.txt")
    code = (
        "import pathlib, sys, time\n"
        "from chatbot.retrieval.documents.reader import Reader\n"
        "reader = Reader()\n"
        f"reader.read(pathlib.Path({str(tmp_path)!r}), 'a.txt')\n"
        "print('ready', flush=True)\n"
        "time.sleep(3600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stderr is not None
        assert owner.stdout.readline() == b"ready\n"
        owner.kill()
        # Both of them held this pipe: it ends when the last of them is gone.
        assert owner.stderr.read() == b""


def test_the_limit_on_computing_ends_a_process_by_itself() -> None:
    code = (
        "from chatbot.retrieval.documents.sandbox import limit_cpu, set_limits\n"
        "set_limits()\nlimit_cpu(1)\nwhile True: pass"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=DEADLINE_SECONDS)
    assert done.returncode == -signal.SIGXCPU


def test_the_process_loads_nothing_heavy() -> None:
    code = "import sys, chatbot.retrieval.documents.__main__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    heavy = {"torch", "numpy", "lxml", "pypdfium2", "docx", "asyncio", "textual", "sqlite3"}
    heavy |= {"python_calamine", "striprtf"}
    assert heavy.isdisjoint(done.stdout.split())


def test_a_restart_between_two_answers_loses_no_request(tmp_path: Path) -> None:
    names = put(tmp_path, "eat.txt", *(f"{index}.txt" for index in range(2 * MAX_FILES_AHEAD)))
    with misbehaving() as reader:
        found = reader.read_all(tmp_path, names)
        assert "too much memory" in str(next(found)[1])
        wait_until_gone(reader)
        # It was asked for more before it went, and now it is asked for yet another file.
        assert [(file, type(document)) for file, document in found] == [
            (name, Document) for name in names[1:]
        ]
