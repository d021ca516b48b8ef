from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.formats import code, markdown, restructured_text, text
from chatbot.retrieval.documents.reading import read_document


def outline(document: Document) -> list[tuple[int, str, str]]:
    """Level and text of each heading, and the line that it stands in."""
    return [
        (heading.level, heading.text, document.text[heading.start :].split("\n")[0])
        for heading in document.headings
    ]


def read_markdown(text: str) -> Document:
    return markdown.read("a.md", "Markdown", text.encode())


def test_markdown_headings_of_both_kinds_and_none_within_a_fence() -> None:
    document = read_markdown(
        "intro\n\n# One #\n\n```sh\n# no heading\n```\n\n~~~~\n## nor this\n~~~\n~~~~\n\n"
        "Two\nlines\n===\ntext\n\n  Three\n---\n\n    # code\n\n> # quoted\n\n- # in a list\n\n"
        "####### seven\n#hashtag\n\n###### Six\n\n---\n"
    )
    assert outline(document) == [
        (1, "One", "# One #"),
        (1, "Two lines", "Two"),
        (2, "Three", "  Three"),
        (6, "Six", "###### Six"),
    ]
    assert document.title == "One"


def test_the_names_of_a_tables_columns_are_its_heading() -> None:
    def headings(table: str, kind: str = "CSV") -> list[tuple[int, str, str]]:
        return outline(text.read("a.csv", kind, table.encode()))

    assert headings("turbine,crack_mm\nT1,2\n") == [(1, "turbine,crack_mm", "turbine,crack_mm")]
    assert headings(',"a, b";c\n1;2;3\n')[0][1] == ',"a, b";c'
    assert headings("#\tname\n1\tAnna\n", "TSV")[0][1] == "# name"
    for table in (
        "1,2\n3,4\n",
        "T1,2\nT2,3\n",
        "T1,\nT2,\n",
        "words\nmore\n",
        "a,b",
        ",,\n1,2,3\n",
    ):
        assert headings(table) == []
    assert headings("a,b\n1,2\n", "JSON") == []


def test_markdown_headings_lose_their_marks() -> None:
    document = read_markdown(
        "# The `top_p` **setting**, [linked](https://a.b/c_d) \\# <b>x</b> "
        "![p](i.png) my_own_name\n"
    )
    assert document.headings[0].text == "The top_p setting, linked # x p my_own_name"


def test_markdown_front_matter_is_text_without_headings_and_gives_the_title() -> None:
    text = "---\ntitle: 'My notes'\n# a comment\ntags: [a]\n---\n# Start\n"
    document = read_markdown(text)
    assert (document.title, document.text) == ("My notes", text)
    assert outline(document) == [(1, "Start", "# Start")]
    assert read_markdown("---\ntags: a\n---\n# Start\n").title == "Start"
    assert read_markdown("text\n\n---\ntitle: no\n---\n").title == "title: no"


def test_markdown_offsets_count_the_file_as_it_is_read_as_text(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes("﻿# Größe\r\n\r\nx\u2028y\x0cz\r\n## Zwei ☃\r\n".encode())
    document = read_document(tmp_path, "a.md")
    assert document.text == file.read_text(encoding="utf-8-sig")
    assert outline(document) == [(1, "Größe", "# Größe"), (2, "Zwei ☃", "## Zwei ☃")]


def test_markdown_without_a_heading_is_called_as_its_file() -> None:
    assert read_markdown("just words").title == "a.md"
    assert read_markdown("#\n\n##  ##\n").headings == ()


@given(
    st.text(st.sampled_from("#=- \n\ta`~>*1.<\u2028\u00e9\x0c"), min_size=1).filter(
        lambda text: not text.isspace()
    )
)
def test_markdown_headings_stand_where_lines_begin(text: str) -> None:
    document = read_markdown(text)
    assert document.text == text
    starts = [heading.start for heading in document.headings]
    assert starts == sorted(set(starts))
    for heading in document.headings:
        assert heading.start == 0 or text[heading.start - 1] == "\n"
        assert text[heading.start :].split("\n")[0].strip()


def test_ten_thousand_quotation_marks_end(tmp_path: Path) -> None:
    for hostile in (">" * 10_000 + " # x", "- " * 5_000, "[" * 10_000, "# " + "`*_[" * 5_000):
        assert read_markdown(hostile).text == hostile


def test_restructured_text_levels_follow_the_order_of_the_marks() -> None:
    document = restructured_text.read(
        "a.rst",
        "reStructuredText",
        b"=====\nTitle\n=====\n\n.. note:: x\n\nFirst ``one``\n-------------\ntext::\n\n    Code\n"
        b"    ----\n\nSub\n~~~\n\n====  ====\nA     B\n====  ====\n1     2\n====  ====\n\n"
        b"two lines\nof text\n-------\n\nShort mark\n---\n\nSecond\n------\n",
    )
    assert outline(document) == [
        (1, "Title", "====="),
        (2, "First one", "First ``one``"),
        (3, "Sub", "Sub"),
        (2, "Second", "Second"),
    ]
    assert document.title == "Title"


def test_python_definitions_are_headings() -> None:
    source = (
        b"'''\ndef no(): pass\n'''\nimport x\n\n@x.y(\n  1)\ndef f(): pass\n\nclass A:\n"
        b"    async def m(self):\n        def inner(): pass\n\nif x:\n    def g(): pass\n"
    )
    document = code.read("a.py", "Python", source)
    assert outline(document) == [
        (1, "def f", "@x.y("),
        (1, "class A", "class A:"),
        (2, "def m", "    async def m(self):"),
    ]
    assert document.title == "a.py"


@pytest.mark.parametrize(
    "source",
    ["def f(:\n", "(" * 5000, "x = " + "-" * 100_000 + "1"],
    ids=["broken", "brackets", "signs"],
)
def test_python_that_does_not_parse_is_still_text(source: str) -> None:
    document = code.read("a.py", "Python", source.encode())
    assert (document.text, document.headings) == (source, ())


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("a.txt", "Text", "# just\ntext"),
        ("README", "Text", "no ending"),
        ("a.csv", "CSV", 'a,b\n1,"x\ny"\n'),
        ("a.tsv", "TSV", "a\tb\n1\t2\n"),
        ("a.json", "JSON", '{"a": [1, 2]}'),
        ("nested.json", "JSON", "[" * 200_000),
        ("a.jsonl", "JSON Lines", '{"a": 1}\n{"a": 2}\n'),
        ("a.rs", "Rust", "fn main() {}"),
        ("a.C++.hpp", "C++", "int x;"),
        ("Makefile", "Make", "all:\n\ttrue\n"),
        ("CMakeLists.txt", "CMake", "project(x)"),
        ("a.unknown", "Text", "who knows"),
    ],
    ids=lambda value: value[:20],
)
def test_texts_stay_as_they_are(tmp_path: Path, name: str, kind: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    document = read_document(tmp_path, name)
    assert (document.kind, document.title, document.text) == (kind, name, text)


def test_binary_data_behind_a_harmless_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    with pytest.raises(DocumentError, match="binary data"):
        read_document(tmp_path, "a.txt")
