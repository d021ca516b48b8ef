import itertools
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from chatbot.retrieval.cutting import Cut, cut, text_to_embed
from chatbot.retrieval.documents.document import Document, Heading
from chatbot.retrieval.documents.reading import read_document
from chatbot.retrieval.token_counting import TokenCounter

REPOSITORY = Path(__file__).parents[3]


def plain(text: str, **fields: object) -> Document:
    return Document(kind="Text", title="a title", text=text, **fields)  # type: ignore[arg-type]


def markdown(text: str) -> Document:
    headings = []
    start = 0
    for line in text.splitlines(keepends=True):
        if line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            headings.append(Heading(start, level, line.lstrip("# ").strip()))
        start += len(line)
    return plain(text, headings=tuple(headings))


def num_tokens(tokenizer: Tokenizer, document: Document, piece: Cut) -> int:
    text = document.text[piece.start : piece.end]
    return len(tokenizer.encode(text_to_embed(piece.headings, document.title, text)))


def check(document: Document, cuts: list[Cut], tokenizer: Tokenizer, max_tokens: int) -> None:
    """What holds for every document."""
    text = document.text
    position = 0
    for piece in cuts:
        assert not text[position : piece.start].strip()  # nothing visible is left out
        assert piece.start >= position  # nothing twice
        assert text[piece.start : piece.end].strip()
        assert text[piece.start : piece.end] == text[piece.start : piece.end].rstrip()
        assert piece.start_line == text.count("\n", 0, piece.start) + 1
        assert piece.end_line == text.count("\n", 0, piece.end) + 1
        assert num_tokens(tokenizer, document, piece) <= max_tokens
        position = piece.end
    assert not text[position:].strip()


WORDS = st.text(alphabet="abcdeéß .,!?\n\t'\"()-_/", max_size=900)
HOSTILE = st.one_of(
    WORDS,
    st.text(max_size=600),
    st.lists(
        st.sampled_from(
            [
                "[CLS]",
                "[SEP] [PAD]",
                "<|im_start|>",
                "x" * 90,
                "x" * 4000,
                "東京大学。",
                "ひらがな",
                "สวัสดีครับ",
                "🙂",
                "👩‍👩‍👧",
                "\n\n",
                "\n",
                " ",
                "\u200b",
                "\u3000",
                "a_b-c.d",
                "```\n",
                "- item\n",
                "| a | b |\n",
                "1.\n",
                "# \n",
                "Mr. X. said. Yes!",
                "\x00",
                " " * 300,
                "word ",
            ]
        ),
        max_size=80,
    ).map("".join),
)


@settings(max_examples=40)
@given(text=HOSTILE, max_tokens=st.sampled_from([80, 256]))
@example(text="", max_tokens=256)
@example(text=" \n\t ", max_tokens=256)
@example(text="?!.,;" * 3000, max_tokens=256)
@example(text="z" * 100_000, max_tokens=256)
@example(text="a" + " " * 100_000 + "b", max_tokens=256)
def test_any_text_is_cut_whole_and_within_the_limit(
    tokenizer: Tokenizer, text: str, max_tokens: int
) -> None:
    document = plain(text)
    cuts = cut(document, tokenizer, max_tokens=max_tokens)
    check(document, cuts, tokenizer, max_tokens)
    assert bool(cuts) == bool(text.strip())
    assert cut(document, tokenizer, max_tokens=max_tokens) == cuts


@settings(max_examples=40)
@given(
    blocks=st.lists(
        st.tuples(
            st.integers(0, 6),
            st.sampled_from(["A name", "x" * 300, "東" * 90, "é" * 80]),
            st.integers(0, 120),
        ),
        max_size=12,
    )
)
def test_headings_count_towards_the_limit(
    tokenizer: Tokenizer, blocks: list[tuple[int, str, int]]
) -> None:
    text = "".join(
        f"{'#' * level} {name}\n\n" * bool(level) + "some more words here. " * num + "\n\n"
        for level, name, num in blocks
    )
    document = markdown(text)
    check(document, cut(document, tokenizer, max_tokens=256), tokenizer, 256)


@pytest.mark.parametrize(
    "text",
    [
        "the quick brown fox, which jumps over lazy dogs; " * 1000,
        "The next step.\n\n```python\nfor i in range(10):\n    print(i)\n```\n\n" * 800,
    ],
    ids=["one line", "much code"],
)
def test_a_long_text_is_cut_in_linear_time(tokenizer: Tokenizer, text: str) -> None:
    counter = TokenCounter(tokenizer)
    seconds = []
    for size in (len(text), 4 * len(text)):
        document = plain((text * 4)[:size])
        cut(document, counter, max_tokens=256)
        started = time.process_time()
        cuts = cut(document, counter, max_tokens=256)
        seconds.append(time.process_time() - started)
    check(document, cuts, tokenizer, 256)
    assert seconds[1] < 12 * seconds[0]


def test_counting_words_is_faster_than_tokenising(tokenizer: Tokenizer) -> None:
    text = (REPOSITORY / "knowledge/screen.md").read_text() * 20
    document, counter = plain(text), TokenCounter(tokenizer)
    cut(document, counter, max_tokens=256)
    started = time.process_time()
    cut(document, counter, max_tokens=256)
    cutting = time.process_time() - started
    started = time.process_time()
    tokenizer.encode(text, add_special_tokens=False)
    assert cutting < time.process_time() - started


def test_passages_are_long_and_even(tokenizer: Tokenizer) -> None:
    sentence = "This is sentence number {} of a long text that says little. "
    text = "".join(sentence.format(i) for i in range(400))
    document = plain(text)
    cuts = cut(document, tokenizer, max_tokens=256)
    counts = [num_tokens(tokenizer, document, piece) for piece in cuts]
    assert min(counts) >= 180
    assert max(counts) <= 252
    # Each ends where a sentence does.
    assert all(text[piece.end - 1] == "." for piece in cuts)


def test_paragraphs_are_kept_whole_where_that_fits(tokenizer: Tokenizer) -> None:
    paragraph = "Words of one paragraph stay together here. " * 22  # 176 tokens
    text = "\n\n".join([paragraph.strip()] * 4)
    cuts = cut(plain(text), tokenizer, max_tokens=256)
    assert [text[piece.start : piece.end] for piece in cuts] == [paragraph.strip()] * 4


def test_headings_part_sections_and_are_given_with_them(tokenizer: Tokenizer) -> None:
    body = "Some sentences about this subject alone. " * 9
    document = markdown(f"# Book\n\n## One\n\n{body}\n\n### Deep\n\n{body}\n\n## Two\n\n{body}")
    cuts = cut(document, tokenizer, max_tokens=256)
    assert [piece.headings for piece in cuts] == [
        ("Book", "One"),  # the title has nothing under it, so it joins what comes next
        ("Book", "One", "Deep"),
        ("Book", "Two"),
    ]
    assert document.text[cuts[0].start :].startswith("# Book\n\n## One")
    assert document.text[cuts[1].start :].startswith("### Deep")
    assert cuts[1].start_line == 7


def test_short_sections_join_their_neighbours(tokenizer: Tokenizer) -> None:
    document = markdown("# Top\n\n" + "".join(f"## Part {i}\n\nA few words.\n\n" for i in range(9)))
    cuts = cut(document, tokenizer, max_tokens=256)
    assert len(cuts) < 4
    assert all(piece.headings[:1] == ("Top",) for piece in cuts)
    assert all(num_tokens(tokenizer, document, piece) >= 40 for piece in cuts)


def test_code_is_cut_between_lines(tokenizer: Tokenizer) -> None:
    code = "".join(f"    result_{i} = compute(value_{i}, flag=True)\n" for i in range(80))
    text = f"```python\ndef f():\n{code}```\n"
    cuts = cut(plain(text), tokenizer, max_tokens=256)
    assert len(cuts) > 2
    for first, second in itertools.pairwise(cuts):
        assert text[first.end] == "\n"
        assert text[second.start :].startswith("    result_")  # with its indentation


def test_lists_and_tables_are_cut_between_rows(tokenizer: Tokenizer) -> None:
    for row in ("- an item of a list with. full stops. in it\n", "| a. B | c. D | e. F. G |\n"):
        text = row * 80
        for piece in cut(plain(text), tokenizer, max_tokens=256):
            assert piece.start % len(row) == 0


def test_the_page_is_the_one_it_begins_on(tokenizer: Tokenizer) -> None:
    page = "A page of a book has many words on it. " * 40
    text = page * 3
    document = plain(text, page_starts=(0, len(page), 2 * len(page)))
    for piece in cut(document, tokenizer, max_tokens=256):
        assert piece.page == piece.start // len(page) + 1
    assert cut(plain("words"), tokenizer, max_tokens=256)[0].page is None


def test_the_manual_is_cut_within_the_limit(tokenizer: Tokenizer) -> None:
    for file in sorted(path.name for path in (REPOSITORY / "knowledge").glob("*.md")):
        document = read_document(REPOSITORY / "knowledge", file)
        check(document, cut(document, tokenizer, max_tokens=256), tokenizer, 256)


@pytest.mark.parametrize(
    ("headings", "text", "expected"),
    [
        ((), "Text.", "Text."),
        (("Title", "Part"), "Text.", "Part\nText."),  # every passage has the title
        (("Title", "Part", "Sub"), "Text.", "Part › Sub\nText."),
        (("Title", "Part", "Sub"), "## Sub\n\nText.", "Part\n## Sub\n\nText."),
        (("Outer" * 30, "Inner"), "Text.", "Inner\nText."),
    ],
)
def test_what_is_embedded(headings: tuple[str, ...], text: str, expected: str) -> None:
    assert text_to_embed(headings, "Title", text) == expected
