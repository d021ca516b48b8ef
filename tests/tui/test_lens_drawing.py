"""What the lens draws, by hand: bars, curves, rows of tokens, temperatures."""

import math

import msgspec
import pytest

from chatbot.conversation.token_figures import (
    at_temperature,
    effect,
    mean_entropy,
    most_uncertain,
    percent,
    perplexity,
    visible,
)
from chatbot.messages import Making, Message, SettingChange, TextPart
from chatbot.settings import Sampling
from chatbot.tokens import NO_TOKEN, Alternative, TokenRecord
from chatbot.tui.lens.drawing import (
    bar,
    column_of,
    columns_of,
    eighths,
    levels_of,
    round_step,
    shade_of,
    spaced,
)
from chatbot.tui.lens.opening import stretches_of
from chatbot.tui.lens.screen import Stretch
from chatbot.tui.lens.text import wrap


def record(before: float, entropy: float = 1.0, token: int = 1, **more: object) -> TokenRecord:
    return TokenRecord(token, "x", "text", before, before, 1, 1, entropy, 0.0, (), **more)  # type: ignore[arg-type]


def test_bars_are_as_long_as_their_share() -> None:
    assert bar(0.5, 4) == "██  "
    assert bar(1.0, 4) == "████"
    assert bar(0.375, 4) == "█▌  "
    assert bar(0.0, 4) == "    "
    assert bar(0.0001, 4) == "▏   "  # there is something, and it is seen


def test_few_values_fill_the_curve_and_many_share_its_columns() -> None:
    assert columns_of([1.0, 2.0], 7) == [(1.0, 0)] * 3 + [(2.0, 1)] * 3
    assert columns_of([1.0, 5.0, 2.0, 3.0], 2) == [(5.0, 1), (3.0, 3)]
    assert columns_of([], 5) == []
    assert column_of(columns_of([1.0, 2.0], 7), 1, 2) == 3
    assert column_of(columns_of([0.0] * 100, 10), 99, 100) == 9
    assert column_of([], 0, 0) is None


@pytest.mark.parametrize("num", [9, 10, 11, 14, 15, 37, 100])
def test_each_value_is_found_in_its_column(num: int) -> None:
    for index in range(num):
        values = [0.0] * num
        values[index] = 1.0
        columns = columns_of(values, 10)
        assert columns[column_of(columns, index, num) or 0] == (1.0, index)


def test_bars_are_eighths_of_a_row_high_and_none_is_missing() -> None:
    assert levels_of([2.0, 1.0, 0.25, 0.0], 2.0, 3) == [24, 12, 3, 1]
    assert [eighths(num) for num in (0, 1, 4, 8)] == [" ", "▁", "▄", "█"]


def test_an_axis_has_round_steps() -> None:
    assert round_step(9.0, 5) == 2.0  # 1.8 would do
    assert round_step(4.0, 4) == 1.0
    assert round_step(140, 13) == 20.0
    assert round_step(0.3, 5) == pytest.approx(0.1)
    assert round_step(60.0, 10) == 10.0


def test_labels_keep_their_distance_and_the_first_stay() -> None:
    marks = [(30, "31"), (0, "1"), (29, "30"), (34, "35"), (35, "36")]
    assert spaced(marks) == [(30, "31"), (0, "1"), (35, "36")]


def test_shades_go_with_the_probability_and_are_seen_without_colour() -> None:
    shades = [shade_of(record(p)) for p in (0.95, 0.7, 0.4, 0.2, 0.05)]
    assert len(set(shades)) == 5
    assert ["underline" in shade for shade in shades] == [False, False, True, True, True]
    assert "bold" in shades[4]
    assert shade_of(record(0.0, token=NO_TOKEN)) == "dim"
    assert "bold" in shade_of(record(0.95, is_users=True))


def test_rows_break_before_words_and_name_each_line_end() -> None:
    assert wrap([(0, "It"), (1, " is"), (2, " so\n"), (None, "⟦m⟧ "), (3, "end")], 5) == [
        [(0, "It"), (1, " is")],
        [(2, " so⏎")],
        [(None, "⟦m⟧")],
        [(None, " "), (3, "end")],
    ]
    assert wrap([(0, "abcdefgh")], 3) == [[(0, "abc")], [(0, "def")], [(0, "gh")]]
    assert wrap([(0, "日本"), (1, "語")], 4) == [[(0, "日本")], [(1, "語")]]
    assert wrap([], 5) == [[]]


def test_temperatures_by_hand() -> None:
    two = (Alternative(1, "a", 0.8, 1.0), Alternative(2, "b", 0.2, 0.0))
    assert at_temperature(two, 1.0) == pytest.approx([0.8, 0.2])
    # 4 to 1 becomes 16 to 1, and 2 to 1.
    assert at_temperature(two, 0.5) == pytest.approx([16 / 17, 1 / 17])
    assert at_temperature(two, 2.0) == pytest.approx([2 / 3, 1 / 3])
    none = (Alternative(1, "a", 0.0, 0.0),)
    assert at_temperature(none, 1.0) == [0.0]


def test_changed_settings_are_marked_before_the_first_token_that_they_made() -> None:
    changes = (
        SettingChange(offset=2, name="temperature", old="0.3", new="1.5"),
        SettingChange(offset=2, name="top_k", old="50", new="5"),
    )
    making = Making(model="m", precision="fp32", device="cpu", sampling=Sampling(), changes=changes)
    answer = Message(role="assistant", parts=(TextPart("It is"),), making=making)
    records = tuple(
        TokenRecord(1, text, "text", 0.5, 0.5, 1, 1, 1.0, 0.5) for text in ("It", " is")
    )
    assert stretches_of(answer, records) == [
        Stretch(0, {"temperature": "0.3", "top_k": "50"}),
        Stretch(1, {"temperature": "1.5", "top_k": "5"}, "temperature 0.3 → 1.5 · top_k 50 → 5"),
    ]
    plain = msgspec.structs.replace(making, changes=())
    answer = msgspec.structs.replace(answer, making=plain)
    assert stretches_of(answer, records) == [Stretch(0, {"temperature": "0.3"})]


def test_figures_by_hand() -> None:
    records = [record(0.5, 1.0), record(0.125, 3.0), record(0.0, 0.0, NO_TOKEN)]
    assert perplexity(records) == pytest.approx(4.0)  # 1 and 3 bits, 2 on average
    assert mean_entropy(records) == pytest.approx(2.0)
    assert most_uncertain(records) == [1, 0]
    assert (perplexity([]), mean_entropy([])) == (1.0, 0.0)


def test_what_the_settings_did_is_in_words() -> None:
    assert effect(Alternative(1, "a", 0.5, 0.75)) == "▲ ×1.50"
    assert effect(Alternative(1, "a", 0.5, 0.25)) == "▼ ×0.50"
    assert effect(Alternative(1, "a", 0.5, 0.0)) == "✂ cut"
    assert effect(Alternative(1, "a", 0.5, 0.5)) == ""
    assert percent(0.5) == "50.0%"
    assert percent(0.0001) == "1e-04"
    assert visible(" a\n\x1b[31mb") == "␣a⏎b"
    assert visible("") == "∅"
    assert math.isclose(perplexity([record(1.0)]), 1.0)
