"""What the Markdown parser makes of text is as clean as the text."""

import pytest

from chatbot.terminal_text import is_safe
from chatbot.tui.chat.markdown import _make_parser


@pytest.mark.parametrize(
    "source",
    [
        "a &#8238;b &rlm;c &#x2066;d &#27;[2J",
        "<http://example.org/%E2%80%AE%1B[2J>",
        "[text &#8238;](http://example.org/%E2%80%AE)",
        "http://example.org/%E2%80%AEtxt",
        "![&#8238;](x)",
        "# &#8238; heading\n\n| &#8238; |\n|---|\n| &#8238; |",
    ],
)
def test_made_characters_are_cleaned(source: str) -> None:
    tokens = _make_parser().parse(source)
    shown = [t.content for t in tokens] + [c.content for t in tokens for c in t.children or ()]
    inline = [text for text in shown if text != source]
    assert inline
    assert all(is_safe(text) for text in inline), inline


def test_ordinary_entities_are_shown_as_what_they_mean() -> None:
    (_, inline, _) = _make_parser().parse("fish &amp; chips")
    assert "".join(child.content for child in inline.children or ()) == "fish & chips"


@pytest.mark.timeout(10)
def test_many_addresses_take_no_time() -> None:
    (_, inline, _) = _make_parser().parse("http://a." * 10_000 + " http://b.org/c_d_e")
    links = [child for child in inline.children or () if child.type == "link_open"]
    assert links[-1].attrs == {"href": "http://b.org/c_d_e"}
