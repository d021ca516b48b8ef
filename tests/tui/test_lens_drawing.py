"""What the lens draws, by hand: bars, curves, rows of tokens, temperatures."""

import json
import math
from functools import partial

import msgspec
import pytest
from textual.app import App, ComposeResult

from chatbot.conversation.token_figures import (
    at_temperature,
    cumulative,
    effect,
    kept_by_settings,
    log_probability,
    mean_entropy,
    most_surprising,
    most_uncertain,
    percent,
    perplexity,
    playground,
)
from chatbot.conversation.token_json import token_json
from chatbot.conversation.token_text import called, in_a_row, visible
from chatbot.messages import Making, Message, SettingChange, TextPart, ThinkingPart
from chatbot.settings import Sampling
from chatbot.tokens import NO_TOKEN, Alternative, Region, TokenRecord
from chatbot.tui.keys import with_keys
from chatbot.tui.lens.alternatives import LensAlternatives
from chatbot.tui.lens.drawing import (
    bar,
    bar_places,
    column_of,
    columns_of,
    eighths,
    levels_of,
    panel_width,
    round_step,
    scale_of,
    shade_of,
    spaced,
)
from chatbot.tui.lens.facts import facts_of, heading_of, keys_for
from chatbot.tui.lens.opening import stretches_of
from chatbot.tui.lens.screen import Stretch
from chatbot.tui.lens.text import wrap
from tests.tui.helpers import screen_text, until

NAMED = partial(with_keys, App())


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


def test_a_setting_changed_in_a_thought_is_marked_in_it() -> None:
    change = SettingChange(offset=0, name="temperature", old="0.3", new="1.5", num_tokens=2)
    making = Making(
        model="m", precision="fp32", device="cpu", sampling=Sampling(), changes=(change,)
    )
    parts = (ThinkingPart("Hm, so"), TextPart("It"))
    answer = Message(role="assistant", parts=parts, making=making)
    pieces: list[tuple[str, Region]] = [("Hm", "thinking"), (",", "thinking"), (" so", "thinking")]
    records = tuple(
        TokenRecord(1, text, region, 0.5, 0.5, 1, 1, 1.0, 0.5)
        for text, region in (*pieces, ("It", "text"))
    )
    hot = Stretch(2, {"temperature": "1.5"}, "temperature 0.3 → 1.5")
    assert stretches_of(answer, records) == [Stretch(0, {"temperature": "0.3"}), hot]
    assert stretches_of(answer, records[:2]) == [Stretch(0, {"temperature": "0.3"})]


def test_figures_by_hand() -> None:
    records = [record(0.5, 1.0), record(0.125, 3.0), record(0.0, 0.0, NO_TOKEN)]
    assert perplexity(records) == pytest.approx(4.0)  # 1 and 3 bits, 2 on average
    assert mean_entropy(records) == pytest.approx(2.0)
    assert log_probability(records[:2]) == pytest.approx(math.log(0.5 * 0.125))
    assert log_probability(records) is None  # what was typed had some probability too
    assert "log probability" not in heading_of(records, is_running=False, width=160)
    assert most_uncertain(records) == [1, 0]
    assert most_surprising(records) == [1, 0]
    assert (perplexity([]), mean_entropy([])) == (1.0, 0.0)


def test_what_the_settings_did_is_in_words() -> None:
    assert effect(Alternative(1, "a", 0.5, 0.75)) == "▲ ×1.50"
    assert effect(Alternative(1, "a", 0.5, 0.25)) == "▼ ×0.50"
    assert effect(Alternative(1, "a", 0.5, 0.0)) == "✂ cut"
    assert effect(Alternative(1, "a", 0.5, 0.5)) == ""
    assert math.isclose(perplexity([record(1.0)]), 1.0)


def test_shares_are_written_in_six_characters() -> None:
    shares = (0.0, 0.000_000_1, 0.000_02, 0.0004, 0.0006, 0.5, 1.0)
    assert [percent(share) for share in shares] == [
        "0.0%",
        "<.001%",
        "0.002%",
        "0.040%",
        "0.1%",
        "50.0%",
        "100.0%",
    ]


def test_nothing_of_a_token_stays_unseen() -> None:
    assert visible(" a\n\tb") == "␣a⏎⇥b"
    assert visible("\x1b[31m\r") == "␛[31m␍"
    assert visible("\u200b\u202e\x7f\x9b") == "⟨200B⟩⟨202E⟩⟨007F⟩⟨009B⟩"
    assert visible("✈\ufe0f") == "✈⟨FE0F⟩"  # with it, some terminals draw a wider sign
    assert visible("e\u0301") == "e\u0301"
    assert visible("\u0301e") == "◌\u0301e"  # an accent for the letter of the token before
    assert visible("") == "∅"
    assert in_a_row(" a\n\tb\r\n") == " a\n\tb\n"
    assert in_a_row("\x1b[31m👩\u200d💻\u0301") == "◌[31m👩◌💻\u0301"
    assert called(Alternative(1, " a", 0.5, 0.5)) == "␣a"
    halves = Alternative(7, "\ufffd", 0.5, 0.5), Alternative(8, "\ufffd", 0.2, 0.2)
    assert [called(half) for half in halves] == ["\ufffd 7", "\ufffd 8"]


def likeliest(*shares: tuple[float, float], token: int = 0, rank: int = 1) -> TokenRecord:
    """A token, by its index among alternatives with these probabilities."""
    others = tuple(Alternative(i, f"w{i}", *share) for i, share in enumerate(shares))
    before, after = shares[token]
    return TokenRecord(token, f"w{token}", "text", before, after, rank, 1, 1.0, 0.5, others)


def test_what_likelier_tokens_hold_together_is_said_as_far_as_it_is_known() -> None:
    two = likeliest((0.5, 0.8), (0.2, 0.2))
    assert cumulative(two) == pytest.approx([0.5, 0.7])
    eight = ((0.1, 0.1),) * 8
    # The ninth row is the ninth likeliest token, or the thirtieth.
    last = cumulative(likeliest(*eight, (0.05, 0.2), token=8, rank=9))[-1]
    assert last == pytest.approx(0.85)
    assert cumulative(likeliest(*eight, (0.05, 0.2), token=8, rank=30))[7:] == [
        pytest.approx(0.8),
        None,
    ]


def test_how_many_tokens_the_settings_kept() -> None:
    assert kept_by_settings(likeliest((0.5, 0.75), (0.2, 0.25), (0.1, 0.0))) == (2, 0.7)
    seven, rest = ((0.5, 0.999),) + ((0.01, 0.0001),) * 6, (0.01, 0.0001)
    assert kept_by_settings(likeliest(*seven)) == (7, pytest.approx(0.56))
    # As many as are recorded: there may be any number of others, with next to nothing each.
    assert kept_by_settings(likeliest(*seven, rest)) is None
    assert "8 or more tokens kept" in facts_of(likeliest(*seven, rest), 0, 1, {}, 76).plain


def test_distributions_are_of_the_alternatives_alone() -> None:
    panels = playground(likeliest((0.4, 0.6), (0.2, 0.2)))
    assert [temperature for temperature, _ in panels] == [None, 0.3, 0.7, 1.0, 1.5]
    assert panels[0][1] == pytest.approx([0.75, 0.25])
    assert panels[3][1] == pytest.approx([2 / 3, 1 / 3])


def test_a_full_bar_stands_for_one_of_few_shares() -> None:
    assert [scale_of([share, 0.0]) for share in (0.0, 0.05, 0.06, 0.3, 0.9)] == [
        0.05,
        0.05,
        0.1,
        0.5,
        1.0,
    ]
    # Two columns each beside one another; with three a gap in place of the third; some left out.
    assert bar_places(2, 6) == [range(2), range(2, 4)]
    assert bar_places(2, 7) == [range(2), range(3, 5)]
    assert bar_places(9, 4) == [range(1), range(1, 2), range(2, 3)]
    assert panel_width(76, 5) == 11  # 15 cells for names and 4 beside them


def test_facts_fit_into_two_lines_of_a_small_screen() -> None:
    token = likeliest((0.5, 0.75), (0.2, 0.25), (0.1, 0.0))
    lines = facts_of(token, 0, 1_024, {"temperature": "0.7"}, 76).plain.split("\n")
    assert lines == [
        "1 of 1,024  w0  token 0 · 2 tokens kept (70.0%) · temperature 0.7",
        "p 50.0% → 75.0% · rank 1 → 1 · surprise 1.00 bit · entropy 1.00 → 0.50 bit",
    ]
    thought = msgspec.structs.replace(token, region="thinking")
    settings = {"temperature": "0.7", "top_k": "5"}
    first = facts_of(thought, 0, 1_024, settings, 76).plain.split("\n")[0]
    # The id is what is left out.
    assert first == "1 of 1,024  w0  thinking · 2 tokens kept (70.0%) · temperature 0.7 · top_k 5"
    many = dict.fromkeys(("temperature", "repetition_penalty"), "0.123456789")
    lines = facts_of(token, 0, 9, many, 60).plain.split("\n")
    assert max(map(len, lines)) <= 60
    assert lines[0].endswith("temperature 0.123456789")  # what has no room is left out whole


def test_the_frame_says_what_there_is_room_for() -> None:
    records = [record(0.5, 1.0)]
    small, large = (heading_of(records, is_running=True, width=width) for width in (80, 160))
    assert small == "Token lens · 1 token so far · perplexity 2.00 · mean entropy 1.00 bit"
    assert large == f"{small} · log probability -0.69 nat"
    assert heading_of([], is_running=True, width=80) == "Token lens · nothing is written yet"
    for running in (True, False):
        for place in ("text", "alternatives", "input"):
            assert len(keys_for(place, NAMED, is_running=running, width=80)) <= 74
        assert 76 < len(keys_for("text", NAMED, is_running=running, width=160)) <= 154
    assert "F9" in keys_for("text", NAMED, is_running=True, width=80)


def test_little_room_takes_whole_facts_and_keys() -> None:
    records = [record(0.5, 1.0)]
    heading = heading_of(records, is_running=True, width=60)
    assert heading == "Token lens · 1 token so far · perplexity 2.00"
    keys = keys_for("text", NAMED, is_running=False, width=60)
    assert keys == "n uncertain · s surprising · Enter other · Esc close"
    many = dict.fromkeys(("temperature", "top_k"), "0.3")
    first, _ = facts_of(likeliest((0.5, 0.75), (0.2, 0.25)), 2, 126, many, 44).plain.split("\n")
    assert first == "3 of 126  w0  2 tokens kept (70.0%)"
    _, figures = facts_of(records[0], 0, 1, {}, 56).plain.split("\n")
    assert figures == "p 50.0% → 50.0% · rank 1 → 1 · surprise 1.00 bit"


def test_a_token_is_told_in_json() -> None:
    token = likeliest((0.5, 0.75), (0.25, 0.25))
    assert json.loads(token_json(token, 4, {"temperature": "0.7"})) == {
        "number": 5,
        "token": 0,
        "text": "w0",
        "region": "text",
        "before": 0.5,
        "after": 0.75,
        "rank_before": 1,
        "rank_after": 1,
        "entropy_before": 1.0,
        "entropy_after": 0.5,
        "is_users": False,
        "surprise": 1.0,
        "settings": {"temperature": "0.7"},
        "alternatives": [
            {"token": 0, "text": "w0", "before": 0.5, "after": 0.75, "is_special": False},
            {"token": 1, "text": "w1", "before": 0.25, "after": 0.25, "is_special": False},
        ],
    }


async def test_the_token_and_the_likeliest_are_in_sight_where_rows_are_few() -> None:
    class Host(App[None]):
        AUTO_FOCUS = None

        def compose(self) -> ComposeResult:
            yield LensAlternatives(id="alternatives")

    app = Host()
    async with app.run_test(size=(80, 5)) as pilot:  # a heading and four rows
        shown = app.query_one(LensAlternatives)
        shown.record = likeliest(*((0.1, 0.1) for _ in range(10)), token=8)
        await until(pilot, lambda: "● w8" in screen_text(app))
        names = [line[3:6].strip() for line in screen_text(app).split("\n")[1:]]
        assert names == ["w0", "w1", "w2", "w8"]
        await pilot.click(LensAlternatives, offset=(5, 4))
        await until(pilot, lambda: "❯● w8" in screen_text(app))
        names = [line[3:6].strip() for line in screen_text(app).split("\n")[1:]]
        assert names == ["w5", "w6", "w7", "w8"]
        await pilot.press("down")
        await until(pilot, lambda: "❯  w9" in screen_text(app))
