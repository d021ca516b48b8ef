import itertools
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatbot.terminal_text import MAX_SEQUENCE_LENGTH, Cleaner, clean, clean_line, is_safe

ESC = "\x1b"

hostile_characters = st.sampled_from(
    "ab1;m]\\[PX^_(#c\n\r\t \x00\x07\x0b\x0c\x18\x1a\x1b\x7f\x80\x85\x90\x98\x9b\x9c\x9d\x9e\x9f"
    "\u00e9\u061c\u200d\u202e\u2028\u2066\ufeff\U000e0041\U0001f600\ud800"
)
hostile_texts = st.one_of(
    st.text(hostile_characters, max_size=60),
    st.text(max_size=30),
    st.lists(
        st.sampled_from([ESC, f"{ESC}]52;c;", f"{ESC}[31", f"{ESC}P", "\x9d", "x" * 4090, " " * 9]),
        max_size=6,
    ).map("".join),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "plain, café, 日本語, 👩‍👩‍👧, עברית\n\tindented",
            "plain, café, 日本語, 👩‍👩‍👧, עברית\n\tindented",
        ),
        (f"a{ESC}[31mred{ESC}[0mb", "aredb"),
        (f"a{ESC}[2J{ESC}[Hb", "ab"),
        ("a\x9b31mb", "ab"),
        (f"a{ESC}]52;c;aGVsbG8=\x07b", "ab"),
        (f"a{ESC}]52;c;aGVsbG8={ESC}\\b", "ab"),
        (f"a{ESC}]52;c;aGVsbG8=\x9cb", "ab"),
        ("a\x9d52;c;aGVsbG8=\x07b", "ab"),
        (f"a{ESC}]8;;http://x{ESC}\\link{ESC}]8;;{ESC}\\b", "alinkb"),
        (f"a{ESC}Pq#0;2;0;0;0{ESC}\\b", "ab"),
        (f"a{ESC}_Gf=100;AAAA{ESC}\\b", "ab"),
        (f"a{ESC}^private{ESC}\\b", "ab"),
        (f"a{ESC}Xstring{ESC}\\b", "ab"),
        (f"a{ESC}(0b", "ab"),
        (f"a{ESC}#8b", "ab"),
        (f"a{ESC}cb", "ab"),
        ("a\x84b", "ab"),
        ("a\x08\x08\x7f\x00\x07b", "ab"),
        ("user\u202etxt.exe\u2066\u2069\u200e\u200f\u061c", "usertxt.exe"),
        ("hi\U000e0049\U000e0067\U000e007f", "hi"),
        ("a\u2028b\u2029c\x0bd\x0ce\x85f", "a\nb\nc\nd\ne\nf"),
        ("a\r\nb\rc\r", "a\nb\nc\n"),
        ("a\ud83d", "a\ufffd"),
        # Broken off, by the next control or the end of the line: what follows stays.
        (f"{ESC}]0;title\nvisible", "\nvisible"),
        (f"{ESC}]0;title{ESC}[31mvisible", "visible"),
        (f"{ESC}]0;title\x18visible\x07", "visible"),
        (f"{ESC}[12\u00e9", "\u00e9"),
        # Never ended: only the controls go.
        (f"visible{ESC}", "visible"),
        (f"visible{ESC}[12", "visible[12"),
        (f"visible{ESC}]0;title", "visible]0;title"),
        (f"visible{ESC}]0;title{ESC}", "visible]0;title"),
        (f"visible{ESC}]0;a\u2028b", "visible]0;a\nb"),
    ],
)
def test_examples(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_ordinary_letters_after_a_long_unfinished_string_are_kept() -> None:
    words = "word " * 2000
    assert clean(f"{ESC}]0;{words}") == f"]0;{words}"


def test_longest_sequence_that_is_still_taken_out() -> None:
    inside = "x" * (MAX_SEQUENCE_LENGTH - 3)
    assert clean(f"{ESC}]{inside}\x07after") == "after"
    assert clean(f"{ESC}]{inside}x\x07after") == f"]{inside}xafter"


@given(hostile_texts, st.data())
@example("\x1b]" + "x" * (MAX_SEQUENCE_LENGTH - 3) + "\x1b\\after", None)
def test_any_split_gives_what_the_whole_gives(text: str, data: st.DataObject | None) -> None:
    if data is None:
        pieces: list[str] = list(text)
    else:
        cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=12)))
        pieces = [text[i:j] for i, j in itertools.pairwise([0, *cuts, len(text)])]
    whole, split = Cleaner(), Cleaner()
    expected = whole.feed(text) + whole.flush()
    assert "".join(split.feed(piece) for piece in pieces) + split.flush() == expected
    assert split.num_removed == whole.num_removed


@given(hostile_texts)
def test_output_is_safe_and_holds_no_control_but_line_and_tab(text: str) -> None:
    cleaned = clean(text)
    assert is_safe(cleaned)
    assert clean(cleaned) == cleaned
    assert not [c for c in cleaned if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]


@given(hostile_texts)
def test_every_piece_is_safe_by_itself(text: str) -> None:
    cleaner = Cleaner()
    assert all(is_safe(cleaner.feed(character)) for character in text)
    assert is_safe(cleaner.flush())


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" \n\t\u200d")))
def test_ordinary_text_survives_unchanged(text: str) -> None:
    cleaner = Cleaner()
    assert cleaner.feed(text) == text
    assert cleaner.num_removed == 0


@given(st.text(st.sampled_from("abc XYZ\u00e9"), max_size=5000), st.sampled_from("]PX^_"))
def test_nothing_visible_is_lost_behind_an_unfinished_string(text: str, kind: str) -> None:
    assert clean(f"{ESC}{kind}{text}") == kind + text


def test_counts_each_sequence_once() -> None:
    cleaner = Cleaner()
    cleaner.feed(f"{ESC}[31ma{ESC}]0;t\x07\u202e\r\n")
    assert cleaner.num_removed == 3


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param("\x9d", id="string starts"),
        pytest.param("\x90\u202e", id="string starts and other controls"),
        pytest.param(f"{ESC}[1;", id="broken sequences"),
        pytest.param(ESC, id="escapes"),
        pytest.param(f"{ESC}]" + "x" * MAX_SEQUENCE_LENGTH, id="endless strings"),
        pytest.param(f"{ESC}]" + "\u202e" * MAX_SEQUENCE_LENGTH, id="endless strings of controls"),
        pytest.param(f"{ESC}[" + "1" * MAX_SEQUENCE_LENGTH, id="endless sequences"),
    ],
)
@pytest.mark.parametrize(
    ("length", "piece_length"),
    [(1_000_000, 1_000_000), (100_000, 1)],
    ids=["whole", "by character"],
)
def test_time_grows_with_the_length_only(unit: str, length: int, piece_length: int) -> None:
    text = (unit * (length // len(unit) + 1))[:length]
    cleaner = Cleaner()
    started = time.process_time()
    for start in range(0, len(text), piece_length):
        cleaner.feed(text[start : start + piece_length])
    cleaner.flush()
    # Quadratic behaviour takes minutes; the bound leaves room for a slow machine.
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  two\nlines\tand   spaces ", "two lines and spaces"),
        (f"name{ESC}]0;x\x07.txt", "name.txt"),
        ("", ""),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_clean_line(text: str, expected: str) -> None:
    assert clean_line(text) == expected
