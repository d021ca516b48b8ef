import pytest

from chatbot.retrieval.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Mr. Smith met J. Doe. They left.", ["Mr. Smith met J. Doe.", "They left."]),
        ("See e.g. this, i.e. that. Yes.", ["See e.g. this, i.e. that.", "Yes."]),
        ("about 3.14 million. a deferred tax", ["about 3.14 million.", "a deferred tax"]),
        ("acids . significant ones . end", ["acids .", "significant ones .", "end"]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("これは文です。次の文！終わり", ["これは文です。", "次の文！", "終わり"]),
        ("A line\nwrapped. B\n\nParagraph", ["A line wrapped.", "B", "Paragraph"]),
        ("...", ["..."]),
        (" \n\n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert split_sentences(text) == expected
