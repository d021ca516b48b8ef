import pytest

from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.formats import pdf
from tests.retrieval.documents.making_files import make_pdf


def read(content: bytes) -> Document:
    return pdf.read("a.pdf", "PDF", content)


def test_pages_keep_their_places() -> None:
    document = read(make_pdf(["First page\nof an exam-\nple.", "", "Third page"], title="My book"))
    assert document.text == "First page\nof an example.\n\n\n\nThird page"
    assert document.page_starts == (0, 27, 29)
    assert document.text[29:] == "Third page"
    assert (document.kind, document.title, document.headings) == ("PDF", "My book", ())


def test_the_outline_gives_headings_where_their_titles_stand() -> None:
    pages = ["Preface\nwords about Tools", "1. Tools\nHammer", "of Tools\n2.1 Saws\nteeth"]
    outline = [("Tools", 1), ("Preface", 0), ("Saws", 2), ("Gone", 2)]
    document = read(make_pdf(pages, outline=outline))
    assert [(h.text, document.text[h.start :].split("\n")[0]) for h in document.headings] == [
        ("Preface", "Preface"),
        ("Tools", "1. Tools"),
        ("Gone", "of Tools"),
        ("Saws", "2.1 Saws"),
    ]
    assert document.title == "Preface"


@pytest.mark.parametrize("title", ["", "untitled", "Microsoft Word - x.doc", "report.pdf", " - "])
def test_titles_that_programs_make_up_do_not_count(title: str) -> None:
    assert read(make_pdf(["text"], title=title)).title == "a.pdf"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no pdf", "damaged or no PDF"),
        (b"%PDF-1.7\n" + b"\xff" * 2000, "damaged or no PDF"),
        (make_pdf(["text"])[:200], "damaged or no PDF"),
        (make_pdf([]), "damaged or no PDF"),
        (make_pdf(["text"], is_encrypted=True), "protected with a password"),
        (make_pdf(["", ""]), "text recognition"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        read(content)


def test_an_outline_that_goes_round_in_circles_ends() -> None:
    content = make_pdf(["text"], outline=[("One", 0), ("Two", 0)])
    # The second entry is followed by the first; both numbers have one digit more or less.
    entry = content.index(b"/Title (Two)")
    looped = content[:entry] + b"/Next 8 0 R " + content[entry:]
    assert [h.text for h in read(looped).headings][:2] == ["One", "Two"]
