"""The marks that are put into a finished answer."""

import msgspec
import pytest

from chatbot.conversation.citations import source_lines, unsupported_sentences, with_citations
from chatbot.conversation.sentences import find_sentences
from chatbot.messages import SentenceSupport, Source, SourcesPart


def part_for(text: str, *supported_by: int | None, num_sources: int = 2) -> SourcesPart:
    """Sources, and for each sentence of the text the index of the one that supports it."""
    spans = find_sentences(text)
    assert len(spans) == len(supported_by)
    return SourcesPart(
        sources=tuple(
            Source(title=f"Title {n}", location=f"file.md:{n}", text=f"passage {n}")
            for n in range(1, num_sources + 1)
        ),
        support=tuple(
            SentenceSupport(start=s.start, end=s.end, source=index, score=0.7)
            for s, index in zip(spans, supported_by, strict=True)
        ),
    )


def marked(text: str, *supported_by: int | None) -> str:
    return with_citations(text, part_for(text, *supported_by), is_markdown=False)


@pytest.mark.parametrize(
    ("text", "supported_by", "expected"),
    [
        ("One. Two. Three.", (0, None, 1), "One. [1] Two. [?] Three. [2]"),
        ("**Bold.** Next", (1, 0), "**Bold.** [2] Next [1]"),
        ("- one\n- two\n", (0, None), "- one [1]\n- two [?]\n"),
        # Its own marks: right ones stay and are not doubled, impossible ones go.
        ("It is so [1].", (0,), "It is so [1]."),
        ("It is so [2].", (0,), "It is so [2]. [1]"),
        ("It is so [7]. Yes[0].", (0, None), "It is so. [1] Yes. [?]"),
        # Code is left alone.
        ("Take `a[7]` now.", (0,), "Take `a[7]` now. [1]"),
        ("Do.\n\n```\nx[7]. Y [9]\n```\n", (0,), "Do. [1]\n\n```\nx[7]. Y [9]\n```\n"),
        # So are links, and what stands in a table.
        ("See [5](http://x.y) there.", (0,), "See [5](http://x.y) there. [1]"),
        ("| a | b |\n|---|---|\n| c. | d. |\n\nEnd.", (1,), None),
    ],
)
def test_marks(text: str, supported_by: tuple[int | None, ...], expected: str | None) -> None:
    assert marked(text, *supported_by) == (expected or f"{text} [2]")


def test_in_markdown_no_mark_can_become_a_link() -> None:
    text = "One [2]. Two.\n\n[1]: http://evil.example"
    assert with_citations(text, part_for(text, 1, 0)).startswith("One \\[2]. Two. \\[1]\n")


def test_without_sources_nothing_is_touched() -> None:
    text = "As in [3]."
    declined = SourcesPart(sources=(), is_declined=True)
    for part in (None, SourcesPart(sources=()), declined):
        assert with_citations(text, part) == text


def test_offsets_that_lie_outside_do_no_harm() -> None:
    part = part_for("One.", 0)
    support = SentenceSupport(start=0, end=999, source=0, score=1.0)
    assert with_citations("One.", msgspec.structs.replace(part, support=(support,))) == "One."


def test_the_list_and_the_unsupported() -> None:
    part = part_for("One is so.\nTwo is\nnot.", 0, None)
    assert source_lines(part) == ["[1] file.md:1 · Title 1", "[2] file.md:2 · Title 2"]
    assert unsupported_sentences("One is so.\nTwo is\nnot.", part) == ["Two is not."]
