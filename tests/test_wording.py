import pytest

from chatbot.wording import counted, duration, size


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 tokens"), (1, "1 token"), (1024, "1,024 tokens")]
)
def test_so_many_of_something(number: int, words: str) -> None:
    assert counted(number, "token") == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (12.3, "12 s"), (89, "89 s"), (200, "3 min"), (7300, "2.0 h")],
)
def test_time_is_as_exact_as_an_estimate_deserves(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("num_bytes", "words"),
    [(177, "177 B"), (820_000, "820 kB"), (1_200_000, "1.2 MB"), (3_400_000_000, "3.4 GB")],
)
def test_sizes_have_the_unit_that_fits(num_bytes: int, words: str) -> None:
    assert size(num_bytes) == words
