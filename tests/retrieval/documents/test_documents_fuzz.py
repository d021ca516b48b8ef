"""Broken files of the binary formats: whatever is in them, the reader goes on."""

import io
import random
import time
import zipfile
from pathlib import Path

import pytest

from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.reader import Reader
from tests.retrieval.documents.making_files import (
    make_epub,
    make_page,
    make_pdf,
    make_word,
    make_zip,
)
from tests.retrieval.documents.making_office import (
    make_opendocument,
    make_shape,
    make_sheets,
    make_slides,
)

MAX_SECONDS_PER_FILE = 20

PAGES = {
    f"{index}.xhtml": make_page(
        f"<h1>Chapter {index}</h1><ul><li>one</li></ul><p>{'word ' * 50}</p>"
    )
    for index in range(3)
}
SEEDS = {
    "pdf": make_pdf(["A page\nof text"] * 3, title="Title", outline=[("A", 0), ("B", 2)]),
    "docx": make_word("A title"),
    "epub": make_epub(PAGES, list(PAGES)),
    "pptx": make_slides([make_shape("One", "Two", place="")] * 3, notes={0: "Hello."}),
    "xlsx": make_sheets({"S": [["name", "price"], *([f"thing {n}", n] for n in range(50))]}),
    "odt": make_opendocument("text", *["<text:p>Some words.</text:p>"] * 20),
    "rtf": b"{\\rtf1\\ansi"
    + rb"{\fonttbl{\f0\fcharset0 A;}}"
    + rb"Caf\'e9 \u8364? {\b x}\par" * 20
    + b"}",
}
INTERESTING = (
    b"\0",
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"<",
    b">",
    b"&#0;",
    b"[[",
    b">>",
    b"9" * 20,
)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """A file in which a few places were changed, cut out, doubled or written over."""
    mutated = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if not mutated:
            break
        start = chance.randrange(len(mutated))
        length = chance.choice((1, 2, 8, 64, 512))
        piece = mutated[start : start + length]
        match chance.randrange(6):
            case 0:
                mutated[start] ^= 1 << chance.randrange(8)
            case 1:
                mutated[start : start + length] = chance.randbytes(len(piece))
            case 2:
                del mutated[start : start + length]
            case 3:
                mutated[start:start] = piece * chance.randrange(1, 20)
            case 4:
                mutated[start:start] = chance.choice(INTERESTING)
            case 5:
                del mutated[start:]
    return bytes(mutated)


def mutate_within(content: bytes, chance: random.Random) -> bytes:
    """An archive that is in order, with an entry that is not."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    texts = [name for name in entries if name.endswith(("xml", "html", "opf", "rels"))]
    name = chance.choice(texts)
    entries[name] = mutate(entries[name], chance)
    return make_zip(entries)


def make_files(folder: Path, ending: str, count: int) -> list[str]:
    """Mutated files, the same in every run."""
    chance = random.Random(ending)
    names = [f"{index:03}.{ending}" for index in range(count)]
    for index, name in enumerate(names):
        is_within = ending not in ("pdf", "rtf") and index % 2
        change = mutate_within if is_within else mutate
        (folder / name).write_bytes(change(SEEDS[ending], chance))
    return names


def check(folder: Path, ending: str, count: int) -> None:
    names = make_files(folder, ending, count)
    (folder / f"sound.{ending}").write_bytes(SEEDS[ending])
    names.append(f"sound.{ending}")
    seen = []
    with Reader(max_seconds_per_file=MAX_SECONDS_PER_FILE) as reader:
        start = time.monotonic()
        for name, found in reader.read_all(folder, names):
            assert time.monotonic() - start < MAX_SECONDS_PER_FILE + 5
            assert isinstance(found, Document | DocumentError)
            assert found.text if isinstance(found, Document) else str(found).endswith(".")
            seen.append(name)
            start = time.monotonic()
    assert seen == names
    # The last one is whole, and is read, whatever the others did.
    assert isinstance(found, Document)


@pytest.mark.parametrize("ending", SEEDS)
def test_thirty_broken_files(tmp_path: Path, ending: str) -> None:
    check(tmp_path, ending, 30)


@pytest.mark.slow
@pytest.mark.parametrize("ending", SEEDS)
def test_five_hundred_broken_files(tmp_path: Path, ending: str) -> None:
    check(tmp_path, ending, 500)
