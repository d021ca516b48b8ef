"""Where sentences begin and end in the Markdown that models write."""

import pytest

from chatbot.conversation.sentences import code_spans, find_sentences


def sentences(text: str, *, is_whole: bool = True) -> list[str]:
    return [text[s.start : s.end] for s in find_sentences(text, is_whole=is_whole)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It is 3.5 m long. Yes", ["It is 3.5 m long.", "Yes"]),
        ("See e.g. Paris, or No. 5. The answer is no. Good.", None),
        ("Dr. J. R. Smith came. He left.", ["Dr. J. R. Smith came.", "He left."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("**Bold claim.** Next one.", ["**Bold claim.**", "Next one."]),
        ("It is so [1]. And so. [2] Then.", ["It is so [1].", "And so. [2]", "Then."]),
        ("one line\nand the next. End", ["one line\nand the next.", "End"]),
        ("東京は首都です。人口は多い。", ["東京は首都です。", "人口は多い。"]),
        ("यह है। वह भी।", ["यह है।", "वह भी।"]),
        ("هل هذا صحيح؟ نعم.", ["هل هذا صحيح؟", "نعم."]),
        ("Call `a. B` twice. Then [the. Manual](http://x.y/z) ends.", None),
        ("wait... what? Well… Yes.", ["wait... what?", "Well…", "Yes."]),
        ("", []),
        ("---\n\n***", []),
    ],
)
def test_sentences_end_where_a_reader_says(text: str, expected: list[str] | None) -> None:
    if expected is None:
        expected = {
            "S": ["See e.g. Paris, or No. 5.", "The answer is no.", "Good."],
            "C": ["Call `a. B` twice.", "Then [the. Manual](http://x.y/z) ends."],
        }[text[0]]
    assert sentences(text) == expected


def test_code_headings_and_tables_make_no_claims() -> None:
    text = (
        "# A heading. Yes\n\nThe steps are these:\n\n1. First do this. Then that\n"
        "2. Second thing\n   goes on.\n\n- [ ] a task\n> quoted words. More.\n\n"
        "| a. b | c |\n|---|---|\n| x. Y | z |\n\n```python\nx = 1. Y\n\nz\n```\n\n"
        "    indented. Code\n    more. Code\n\nThe end"
    )
    assert sentences(text) == [
        "First do this.",
        "Then that",
        "Second thing\n   goes on.",
        "a task",
        "quoted words.",
        "More.",
        "The end",
    ]


def test_a_quotation_is_a_block_of_its_own() -> None:
    text = "Bees (bees.md:1)\n> Anna keeps 11 hives.\n> They like\n> clover.\n\nSo there."
    found = [text[span.start : span.end] for span in find_sentences(text)]
    assert found == [
        "Bees (bees.md:1)",
        "Anna keeps 11 hives.",
        "> They like\n> clover.",
        "So there.",
    ]


def test_a_fence_that_never_closes_is_code_to_the_end() -> None:
    text = "Before.\n\n~~~\ncode. More.\n```\nstill. Code."
    assert sentences(text) == ["Before."]
    assert [text[s.start : s.end] for s in code_spans(text)] == [text[text.index("~~~") :]]


def test_a_last_sentence_without_an_end_counts_only_in_a_whole_answer() -> None:
    assert sentences("One. Two is", is_whole=False) == ["One."]
    assert sentences("One. Two.", is_whole=False) == ["One.", "Two."]
    assert sentences("One is", is_whole=False) == []
    assert sentences("One is") == ["One is"]


@pytest.mark.parametrize(
    "piece",
    ["a", "`", "[", "> ", ". ", "**", "| ", "- - ", "a. b ", "[x](", "``", ".", "]", " ", "\t"],
)
@pytest.mark.timeout(10)
def test_no_text_takes_long(piece: str) -> None:
    for text in (piece * 20_000, piece * 20_000 + "x", "a." + piece * 20_000 + "x"):
        find_sentences(text)
        code_spans(text)
