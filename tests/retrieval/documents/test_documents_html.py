import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.formats import html
from chatbot.retrieval.documents.text_builder import TextBuilder


def read(text: str | bytes) -> Document:
    return html.read("a.html", "HTML", text if isinstance(text, bytes) else text.encode())


def test_what_a_reader_sees_and_nothing_else() -> None:
    document = read(
        "<title>A  page</title><style>p {}</style><script>run()</script><!-- no -->"
        "<h1>Big <em>news</em></h1><p>One&nbsp;two&mdash;<b>thr</b>ee<br>four"
        "<p hidden>no</p><div style='DISPLAY : none'>no<p>no</div>"
        "<span style='font-size:0px'>no</span><template>no</template><noscript>no</noscript>"
        "<svg><title>no</title><text>no</text></svg><textarea>no</textarea> five"
        "<pre>  code\n   more</pre><h3>Small</h3>end"
    )
    assert document.text == (
        "Big news\n\nOne two—three\nfour\n\nfive\n\n  code\n   more\n\nSmall\n\nend"
    )
    assert document.title == "A page"
    assert [(h.level, h.text) for h in document.headings] == [(1, "Big news"), (3, "Small")]
    assert [document.text[h.start :].split("\n")[0] for h in document.headings] == [
        "Big news",
        "Small",
    ]


def test_lists_and_tables_can_be_read() -> None:
    document = read(
        "<p>a<ul><li>one<li><p>two</p><p>more</p><ol><li>x<li></li><li>y</ol></ul>"
        "<table><tr><th>Name<th>Price</tr><tr><td><p>Saw</p></td><td><p>7</p></td></tr>"
        "<tr><td></td><td>alone</td></tr></table>z"
    )
    assert document.text == (
        "a\n\n- one\n- two\n\nmore\n  1. x\n  3. y\n\nName | Price\nSaw | 7\nalone\n\nz"
    )


def test_encodings_of_pages() -> None:
    assert read(b'<meta charset="iso-8859-2"><p>' + "łąka".encode("iso-8859-2")).text == ("łąka")
    assert read('<meta charset="iso-8859-2"><p>łąka').text == "łąka"  # it is not what it claims
    assert read("<?xml version='1.0' encoding='utf-8'?><html><p>ł</html>").text == "ł"
    assert read("<p>łąka".encode("utf-16")).text == "łąka"
    assert read("<p>&#xD800;&#0;x").text.endswith("x")


def test_titles() -> None:
    assert read("<h2>First</h2>x").title == "First"
    assert read("<p>x").title == "a.html"
    assert read(f"<title>{'long ' * 100}</title>x").title.endswith("…")


@pytest.mark.parametrize("marks", ["<div>", "<b><i>", "<table><tr><td>"])
def test_endless_nesting_is_refused(marks: str) -> None:
    with pytest.raises(DocumentError, match="nested too deeply"):
        read(marks * 50_000 + "x")


@pytest.mark.parametrize("text", ["<script>x</script>", "<p hidden>x", "<!-- x -->", "<img>"])
def test_a_page_without_text_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="There is no text in it"):
        read(text)


def test_entities_of_its_own_mean_nothing_in_html() -> None:
    document = read('<!DOCTYPE html [<!ENTITY a "boom"><!ENTITY b "&a;&a;">]><p>x &b; y')
    assert "boom" not in document.text.replace('"boom"', "")


@given(st.text(st.sampled_from("<>/&;#ptdhrli123 abx\n=\"'!-"), min_size=1))
def test_any_marks_make_a_tidy_document_or_none(text: str) -> None:
    try:
        document = read(text)
    except DocumentError:
        return
    assert document.text.strip()
    for heading in document.headings:
        assert heading.text
        assert document.text[heading.start :].split()[0] == heading.text.split()[0]


def test_a_text_beyond_all_measure_is_refused() -> None:
    builder = TextBuilder(max_characters=100)
    builder.add("word " * 20)
    with pytest.raises(DocumentError, match="more than 100 characters"):
        builder.add("word ")
