"""Text out of tokens: whole characters, right spaces, stop strings."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from chatbot.engine.detokenizer import Detokenizer
from chatbot.engine.stop_strings import StopStrings

TEXTS = st.text(alphabet=st.sampled_from("ab \n.éß€汉字👍🏽👩‍🚀"), max_size=40)


def feed(detokenizer: Detokenizer, tokens: list[int]) -> list[str]:
    return [detokenizer.push(token) for token in tokens]


@given(text=TEXTS)
def test_pieces_add_up_and_hold_whole_characters(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = feed(Detokenizer(tokenizer.decode), tokens)
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)


@given(tokens=st.lists(st.integers(3, 399), max_size=60))
def test_any_tokens_add_up_to_their_text(
    tokenizer: PreTrainedTokenizerFast, tokens: list[int]
) -> None:
    pieces = feed(Detokenizer(tokenizer.decode), tokens)
    whole = tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
    # Only what the end of the answer cut off in mid-character is left out.
    assert "".join(pieces).rstrip("\ufffd") == whole.rstrip("\ufffd")
    assert whole.startswith("".join(pieces))


def test_bytes_that_are_no_character_do_not_hold_up_the_rest(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    lone = tokenizer("é", add_special_tokens=False)["input_ids"][0]
    a = tokenizer("a", add_special_tokens=False)["input_ids"]
    pieces = feed(Detokenizer(tokenizer.decode), [lone, lone, *a])
    assert pieces == ["", "", "\ufffd\ufffda"]


def test_half_a_character_is_not_shown_at_the_end_either(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    first, *_ = tokenizer("é", add_special_tokens=False)["input_ids"]
    a = tokenizer("a", add_special_tokens=False)["input_ids"]
    detokenizer = Detokenizer(tokenizer.decode)
    assert feed(detokenizer, [*a, first]) == ["a", ""]
    assert detokenizer.flush() == ""


def test_special_tokens_have_no_text(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = tokenizer("a<|im_end|>b")["input_ids"]
    assert "".join(feed(Detokenizer(tokenizer.decode, {0, 1, 2}), tokens)) == "ab"


def test_spaces_between_words_survive_a_decoder_that_strips_the_first() -> None:
    from tokenizers import Tokenizer, decoders, models

    vocabulary = {"▁Hello": 0, "▁world": 1, "!": 2, "<s>": 3}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="!"))
    backend.decoder = decoders.Metaspace()
    decode = PreTrainedTokenizerFast(tokenizer_object=backend).decode
    assert feed(Detokenizer(decode, {3}), [0, 3, 1, 2]) == ["Hello", "", " world", "!"]


def through(stops: StopStrings, pieces: list[str]) -> str:
    return "".join(stops.push(piece) for piece in pieces) + stops.flush()


@given(
    text=st.text(alphabet="ab", max_size=20),
    stops=st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(0, 20), max_size=6),
)
def test_any_split_gives_the_same_text(text: str, stops: list[str], cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
    whole, split, letters = StopStrings(stops), StopStrings(stops), StopStrings(stops)
    expected = through(letters, list(text))
    assert through(whole, [text]) == expected
    assert through(split, pieces) == expected
    assert whole.is_stopped == split.is_stopped == any(stop in text for stop in stops)


def test_text_is_held_back_only_while_it_may_be_a_stop() -> None:
    stops = StopStrings(["\nUser:"])
    assert stops.push("Paris.\n") == "Paris."
    assert stops.push("Us") == ""
    assert stops.push("ed") == "\nUsed"
    assert stops.push("\nUser: hi") == ""
    assert stops.is_stopped
    assert stops.push("more") == ""
    assert stops.flush() == ""


@pytest.mark.parametrize("stops", [[], [""]])
def test_without_stops_everything_passes(stops: list[str]) -> None:
    assert StopStrings(stops).push("all of it") == "all of it"
