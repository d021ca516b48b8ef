import pytest

from chatbot.wording import counted, duration, elapsed, memory, parameters, size


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
    ("seconds", "words"),
    [
        (0.0281, "28 ms"),
        (0.9996, "1.00 s"),
        (1.25, "1.25 s"),
        (9.996, "10.0 s"),
        (19.186, "19.2 s"),
    ],
)
def test_what_was_measured_is_said_in_three_digits(seconds: float, words: str) -> None:
    assert elapsed(seconds) == words


@pytest.mark.parametrize(
    ("num_bytes", "words"),
    [
        (0, "0 B"),
        (177, "177 B"),
        (820_000, "820 kB"),
        (999_600, "1.0 MB"),
        (1_200_000, "1.2 MB"),
        (99_960_000, "100 MB"),
        (370_400_000, "370 MB"),
        (999_600_000, "1.0 GB"),
        (15_230_000_000, "15.2 GB"),
    ],
)
def test_sizes_have_the_unit_that_fits(num_bytes: int, words: str) -> None:
    assert size(num_bytes) == words


@pytest.mark.parametrize(
    ("num_bytes", "words"),
    [
        (512, "512 B"),
        (32 * 2**10, "32 KiB"),
        (2**20 - 1, "1 MiB"),
        (515 * 2**20, "515 MiB"),
        (2**30 - 1, "1.0 GiB"),
        (80 * 2**30, "80.0 GiB"),
    ],
)
def test_memory_is_counted_in_powers_of_two(num_bytes: int, words: str) -> None:
    assert memory(num_bytes) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (820, "0.82K"),
        (102_714, "103K"),
        (999_600, "1M"),
        (4_884_480, "4.88M"),
        (134_515_008, "135M"),
        (999_499_999, "999M"),
        (999_500_000, "1B"),
        (1_235_814_400, "1.24B"),
        (7_615_616_512, "7.62B"),
        (70_553_706_496, "70.6B"),
        (999_499_999_999, "999B"),
        (1_026_470_731_056, "1.03T"),
    ],
)
def test_models_are_as_large_as_their_names_say(number: int, words: str) -> None:
    assert parameters(number) == words
