import pytest

from chatbot.retrieval.values import place_in


@pytest.mark.parametrize(
    ("file", "page", "lines", "place"),
    [
        ("a.md", None, (3, 3), "line 3"),
        ("a.md", None, (3, 9), "lines 3 to 9"),
        ("a.pdf", 2, (3, 9), "page 2"),
        ("a.PPTX", 2, (3, 9), "slide 2"),
        ("a.ods", 2, (3, 9), "sheet 2, rows 3 to 9"),
        ("pptx", None, (1, 1), "line 1"),
    ],
)
def test_a_place_is_called_as_its_file_calls_it(
    file: str, page: int | None, lines: tuple[int, int], place: str
) -> None:
    assert place_in(file, *lines, page) == place
