import math

import numpy as np
import pytest
from numpy.typing import NDArray

from chatbot.retrieval.duplicates import find_duplicates, overlap
from chatbot.retrieval.fusion import (
    FEEDBACK_SHARE,
    LEXICAL_SHARE,
    NEIGHBOUR_SHARE,
    draw_to,
    fill_cosines,
    fuse,
    smooth,
)
from chatbot.retrieval.query_weights import (
    FUNCTION_WORD_WEIGHT,
    function_terms,
    inverse_frequency,
    weigh_terms,
)
from chatbot.retrieval.relevance import COVERAGE_SHARE, coverage, relevance
from chatbot.retrieval.words import find_terms
from chatbot.settings import Settings


def floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_fusing_adds_a_share_of_the_best_bm25() -> None:
    fused = fuse(floats(0.5, 0.2, 0.1), floats(0.0, 8.0, 2.0))
    assert fused == pytest.approx([0.5, 0.2 + LEXICAL_SHARE, 0.1 + LEXICAL_SHARE / 8])


def test_a_bm25_near_zero_does_not_count_as_full() -> None:
    assert fuse(floats(0.1), floats(0.25)) == pytest.approx([0.1 + LEXICAL_SHARE / 8])
    assert fuse(floats(0.1), floats(0.0)) == pytest.approx([0.1])


def test_a_missing_cosine_is_what_the_words_let_expect() -> None:
    # Known: (2, 0.2) and (6, 0.4): a slope of 0.05 about the middle (4, 0.3).
    cosines = floats(0.2, 0.4, np.nan, np.nan, np.nan)
    filled = fill_cosines(cosines, floats(2, 6, 4, 5, 60))
    assert filled == pytest.approx([0.2, 0.4, 0.3, 0.35, 0.4])  # never above all that is known
    assert fill_cosines(floats(np.nan, np.nan), floats(1, 2)) == pytest.approx([0, 0])
    # Where more words go with smaller cosines, words say nothing.
    assert fill_cosines(floats(0.4, 0.2, np.nan), floats(2, 6, 6))[2] == pytest.approx(0.3)


def test_feedback_draws_the_query_to_the_best() -> None:
    drawn = draw_to(floats(1, 0), np.array([[0, 1]], np.float32))
    length = math.hypot(1, FEEDBACK_SHARE)
    assert drawn == pytest.approx([1 / length, FEEDBACK_SHARE / length])
    assert draw_to(floats(1, 0), np.empty((0, 2), np.float32)) == pytest.approx([1, 0])


def test_neighbours_share_their_scores() -> None:
    # The second is one with the first.
    # With ten candidates, each has one neighbour; the rest stand apart from all.
    vectors = np.eye(11, dtype=np.float32)[[0, 0, *range(2, 10)]]
    smoothed = smooth(floats(1.0, 0.0, *[0.5] * 8), vectors)
    share = NEIGHBOUR_SHARE
    assert smoothed == pytest.approx([1 - share, share, *[0.5] * 8])


def test_smoothing_leaves_alone_what_has_no_vector() -> None:
    vectors = np.zeros((20, 2), np.float32)
    vectors[:10, 0] = 1
    scores = np.linspace(0, 1, 20, dtype=np.float32)
    assert smooth(scores, vectors)[10:] == pytest.approx(scores[10:])


def test_few_candidates_are_not_smoothed() -> None:
    vectors = np.ones((9, 2), np.float32)
    scores = np.linspace(0, 1, 9, dtype=np.float32)
    assert smooth(scores, vectors) == pytest.approx(scores)
    assert smooth(floats(), vectors[:0]).size == 0


def test_terms_weigh_as_in_all_folders_together() -> None:
    weights = weigh_terms(["rare", "what"], {"what"}, [{"rare": 9}, {"rare": 1}], [10, 990])
    together = inverse_frequency(10, 1000)
    assert weights[0]["rare"] == pytest.approx(together / inverse_frequency(9, 10))
    assert weights[1]["rare"] == pytest.approx(together / inverse_frequency(1, 990))
    alone = weigh_terms(["rare", "what"], {"what"}, [{"rare": 9, "what": 3}], [10])
    assert alone == [{"rare": 1.0, "what": FUNCTION_WORD_WEIGHT}]
    assert inverse_frequency(1, 4) == pytest.approx(math.log(1 + 3.5 / 1.5))
    assert 0 < inverse_frequency(9, 2) < inverse_frequency(2, 2)  # counts that cannot be


@pytest.mark.parametrize(
    ("query", "idle"),
    [
        ("What is the rent?", "what is the"),
        ("Wie hoch ist die Kaltmiete?", "wie ist die"),
        ("Où est le siège de l'entreprise ?", "le de l"),
        ("¿Dónde está la sede de la empresa?", "está la de"),
        ("Did many die in the war?", "did in the"),
        ("What war in Ireland had regiments?", "what in had"),
        ("war", ""),
        ("Mietvertrag", ""),
        ("List all documents about Melio", "list all documents about"),
        ("Which files mention Melio?", "which files mention"),
        ("Which files are skipped?", "which are"),
        ("How do I sort a list?", "how do i a"),
        ("It shows nothing", "it shows"),
        ("", ""),
    ],
)
def test_words_that_say_nothing_about_a_subject(query: str, idle: str) -> None:
    assert function_terms(query) & set(find_terms(query)) == set(find_terms(idle))


def test_duplicates_share_meaning_and_words() -> None:
    texts = ["one two three four", "four three two one", "five six", "one two three four five"]
    same = np.array([[1, 0], [1, 0], [1, 0], [1, 0]], np.float32)
    assert find_duplicates(texts, same) == [None, 0, None, 0]  # the last shares 4 of 5
    apart = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], np.float32)
    assert find_duplicates(texts, apart) == [None, None, None, None]
    unknown = np.zeros((4, 2), np.float32)
    assert find_duplicates(texts, unknown) == [None, 0, None, 0]
    assert find_duplicates([], np.empty((0, 2), np.float32)) == []
    assert overlap(frozenset("abc"), frozenset("bcd")) == 0.5


def test_coverage_is_a_share_of_weight() -> None:
    weights = {"fox": 3.0, "jump": 1.0}
    assert coverage({"fox"}, weights) == 0.75
    assert coverage(set(), weights) == 0.0
    assert coverage(set(), {}) == 0.0


def test_relevance_rises_with_cosine_and_coverage() -> None:
    assert relevance(0.766 - COVERAGE_SHARE / 2, 0.5) == pytest.approx(0.5)
    assert relevance(0.766 + 0.25, 0.0) == pytest.approx(1 / (1 + math.exp(-2)))
    threshold = Settings().relevance_threshold
    assert relevance(0.2, 0.2) < threshold < relevance(0.4, 0.6)
    assert relevance(None, 0.1) < threshold < relevance(None, 0.9)
