import io
import random
import time
import tracemalloc
import zipfile
from collections.abc import Callable

import docx
import pytest

from chatbot.retrieval.documents import archive
from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.formats import epub, word
from tests.retrieval.documents.making_files import (
    CONTAINER,
    make_bomb,
    make_epub,
    make_page,
    make_word,
    make_zip,
    with_entry,
)

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d SYSTEM "file:///etc/passwd">]>'
)

Reader = Callable[[bytes], Document]


def read_word(content: bytes) -> Document:
    return word.read("a.docx", "Word", content)


def read_epub(content: bytes) -> Document:
    return epub.read("a.epub", "EPUB", content)


def reason(read: Reader, content: bytes) -> str:
    with pytest.raises(DocumentError) as caught:
        read(content)
    return str(caught.value)


def test_word_paragraphs_lists_and_tables_in_order() -> None:
    document = read_word(make_word())
    assert document.text == (
        "The handbook\n\nSome words come first.\n\nTools\n\n- Hammer\n- Saw\n\n"
        "Name | Price\nSaw | 7\n\nCare\n\nOil the saw."
    )
    assert [(h.level, h.text) for h in document.headings] == [
        (1, "The handbook"),
        (1, "Tools"),
        (2, "Care"),
    ]
    assert all(document.text.startswith(h.text, h.start) for h in document.headings)
    assert document.title == "The handbook"
    assert read_word(make_word("Of tools")).title == "Of tools"


def test_word_shows_what_word_shows() -> None:
    body = (
        f'<w:document {W} xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        "<w:body><w:p><w:r><w:t>kept</w:t><w:tab/><w:t>here</w:t><w:br/><w:t>new line</w:t></w:r>"
        "<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t> inserted</w:t></w:r></w:ins>"
        "<w:moveFrom><w:r><w:t>moved away</w:t></w:r></w:moveFrom>"
        '<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t> shown</w:t></w:r></w:p>'
        "<w:p><w:r><mc:AlternateContent><mc:Choice><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r>"
        "</w:p></w:txbxContent></mc:Choice><mc:Fallback><w:txbxContent><w:p><w:r><w:t>box</w:t>"
        "</w:r></w:p></w:txbxContent></mc:Fallback></mc:AlternateContent></w:r>"
        "<w:r><w:t>around</w:t></w:r></w:p>"
        '<w:p><w:pPr><w:outlineLvl w:val="2"/></w:pPr><w:r><w:t>By outline</w:t></w:r></w:p>'
        "</w:body></w:document>"
    )
    document = read_word(with_entry(make_word(), "word/document.xml", body))
    assert document.text == "kept here\nnew line inserted shown\n\nbox\n\naround\n\nBy outline"
    assert [(h.level, h.text) for h in document.headings] == [(3, "By outline")]


def test_word_footnotes_come_last() -> None:
    note = "<w:footnote><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote>"
    notes = f"<w:footnotes {W}>{note}</w:footnotes>"
    document = read_word(with_entry(make_word(), "word/footnotes.xml", notes))
    assert document.text.endswith("Oil the saw.\n\nA note.")


def test_word_agrees_with_python_docx_on_a_long_document() -> None:
    source = docx.Document()
    for index in range(300):
        source.add_heading(f"Part {index}", 1 + index % 3)
        source.add_paragraph(f"Words of part {index}.")
    file = io.BytesIO()
    source.save(file)
    document = read_word(file.getvalue())
    assert document.text.split("\n\n") == [paragraph.text for paragraph in source.paragraphs]
    assert len(document.headings) == 300


def test_epub_chapters_in_reading_order() -> None:
    pages = {
        "z.xhtml": make_page("<h1>Two&nbsp;&mdash; end</h1><p>second</p>"),
        "a b.xhtml": make_page("<h1>One</h1><p>first<br/>line</p><script>no()</script><p/>"),
        "unread.xhtml": make_page("<p>not in the spine</p>"),
    }
    document = read_epub(make_epub(pages, ["a b.xhtml", "z.xhtml", "a b.xhtml", "none"]))
    assert document.text == "One\n\nfirst\nline\n\nTwo — end\n\nsecond"
    assert [h.text for h in document.headings] == ["One", "Two — end"]
    assert document.title == "A book"


def test_epub_pages_that_are_no_xml_are_read_as_html() -> None:
    document = read_epub(make_epub({"a.xhtml": "<p>one<p>two & three"}, ["a.xhtml"]))
    assert document.text == "one\n\ntwo & three"


def test_epub_with_locked_chapters_is_refused_and_one_with_locked_fonts_is_not() -> None:
    book = make_epub({"a.xhtml": make_page("<p>text</p>")}, ["a.xhtml"])
    locked = "<encryption><CipherReference URI='{}'/></encryption>"
    font = with_entry(book, "META-INF/encryption.xml", locked.format("OEBPS/fonts/x.otf"))
    assert read_epub(font).text == "text"
    chapter = with_entry(book, "META-INF/encryption.xml", locked.format("OEBPS/text/a.xhtml"))
    assert "copy-protected" in reason(read_epub, chapter)


@pytest.mark.parametrize(
    "path", ["../../../etc/passwd", "/etc/passwd", "..%2f..%2fetc/passwd", "["]
)
def test_paths_out_of_an_archive_lead_nowhere(path: str) -> None:
    container = CONTAINER.replace("OEBPS/book.opf", path)
    content = make_zip({"META-INF/container.xml": container})
    assert "damaged" in reason(read_epub, content)


@pytest.mark.parametrize(
    ("read", "name"), [(read_word, "word/document.xml"), (read_epub, "OEBPS/book.opf")]
)
def test_a_bomb_of_a_gibibyte_is_refused_at_once(read: Reader, name: str) -> None:
    bombs = {
        "honest": make_bomb(name, 2**30),
        "below the total": make_bomb(name, 2**28),
    }
    for bomb in bombs.values():
        tracemalloc.start()
        start = time.perf_counter()
        found = reason(read, bomb)
        seconds = time.perf_counter() - start
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert "archive bomb" in found
        assert seconds < 0.5
        assert peak < 10 * 2**20


def test_an_archive_that_unpacks_to_more_than_it_claims_yields_only_that() -> None:
    bomb = archive.Archive(make_bomb("x", 2**28, claimed_bytes=2**20 - 1))
    tracemalloc.start()
    assert bomb.read("x") == bytes(2**20 - 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * 2**20


def test_overlapping_entries_are_refused() -> None:
    content = bytearray(make_zip({"a": bytes(2**19)}))
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = bytes(content[start:end])
    many = b"".join(entry[:-1] + bytes([65 + index]) for index in range(50))
    tail = content[end:]
    tail[8:16] = (50).to_bytes(2, "little") * 2 + len(many).to_bytes(4, "little")
    with pytest.raises(DocumentError, match="archive bomb"):
        archive.Archive(bytes(content[:start]) + many + bytes(tail))


def test_too_many_entries_are_refused_before_they_are_looked_at() -> None:
    start = time.perf_counter()
    with pytest.raises(DocumentError, match="10,000 files"):
        archive.Archive(b"PK\x01\x02" * 2**20)
    assert time.perf_counter() - start < 1


def test_entries_that_are_too_large_encrypted_or_packed_otherwise() -> None:
    with pytest.raises(DocumentError, match="unpacks to over 1 MiB"):
        archive.Archive(make_zip({"x": random.Random(1).randbytes(2**20 + 1)})).read("x", 2**20)
    encrypted = bytearray(make_zip({"x": b"text"}))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DocumentError, match="password"):
        archive.Archive(bytes(encrypted)).read("x")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("x", "text")
    with pytest.raises(DocumentError, match="packed in a way"):
        archive.Archive(file.getvalue()).read("x")


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (read_word, with_entry(make_word(), "word/document.xml", f"{LAUGHS}<w:p {W}>&c;&d;</w:p>")),
        (read_word, with_entry(make_word(), "word/styles.xml", f"{LAUGHS}<x>&c;</x>")),
        (
            read_word,
            with_entry(make_word(), "word/document.xml", f"{LAUGHS}<x>&c;</x>".encode("utf-16")),
        ),
        (read_epub, make_epub({"a": f"{LAUGHS}<html><p>&c;&d;</p></html>"}, ["a"])),
    ],
    # An archive holds the time it was made at, and a name must not depend on that.
    ids=["word", "styles", "utf-16", "epub"],
)
def test_entity_bombs_are_refused(read: Reader, content: bytes) -> None:
    assert "declares entities" in reason(read, content)


def test_endless_nesting_is_refused() -> None:
    deep = f"<w:document {W}>" + "<w:p>" * 100_000
    assert "not valid XML" in reason(read_word, with_entry(make_word(), "word/document.xml", deep))
    page = "<div>" * 100_000
    assert "nested too deeply" in reason(read_epub, make_epub({"a": page}, ["a"]))


def test_what_is_no_archive_or_no_document_is_said_to_be_so() -> None:
    for read in (read_word, read_epub):
        assert "cannot be unpacked" in reason(read, b"no archive")
        assert "cannot be unpacked" in reason(read, make_word()[:-30])
    assert "part of it is missing" in reason(read_word, make_zip({"a": "b"}))
    assert reason(read_epub, make_zip({"a": "b"})) == "It is no EPUB, whatever its name says."
    assert "password" in reason(read_word, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100))
    empty = io.BytesIO()
    docx.Document().save(empty)
    assert reason(read_word, empty.getvalue()) == "There is no text in it."
    assert reason(read_epub, make_epub({}, [])) == "There is no text in it."


def test_a_damaged_entry_is_said_to_be_one() -> None:
    content = bytearray(make_word())
    name = content.index(b"word/document.xml")
    content[name + 40 : name + 60] = bytes(20)
    assert "damaged" in reason(read_word, bytes(content))
