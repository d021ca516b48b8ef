import pytest

from chatbot.retrieval.embedding import Embedder
from chatbot.retrieval.support import score_support
from chatbot.retrieval.values import SUPPORT_THRESHOLD

DANUBE = (
    "Many rivers of Europe rise in the Alps. The Danube flows through ten countries and ends in "
    "the Black Sea. Ships carry coal and grain on it."
)
BREAD = "Knead the dough for ten minutes. Then let it rise in a warm place before you bake it."


def test_a_sentence_is_supported_by_the_passage_that_says_it(embedder: Embedder) -> None:
    scores = score_support(
        embedder,
        [
            "Ten countries lie on the Danube.",
            "Dough must rest somewhere warm.",
            "Cars need petrol.",
        ],
        [DANUBE, BREAD],
    )
    assert scores[0][0] >= SUPPORT_THRESHOLD > scores[0][1]
    assert scores[1][1] >= SUPPORT_THRESHOLD > scores[1][0]
    assert max(scores[2]) < SUPPORT_THRESHOLD


def test_a_quoted_sentence_scores_one(embedder: Embedder) -> None:
    ((score,),) = score_support(embedder, ["Ships carry coal and grain on it."], [DANUBE])
    assert score == pytest.approx(1, abs=1e-4)


def test_nothing_to_score(embedder: Embedder) -> None:
    assert score_support(embedder, [], [DANUBE]) == ()
    assert score_support(embedder, ["A."], []) == ((),)
    ((score,),) = score_support(embedder, ["A."], [""])
    assert 0 <= score <= 1


def test_a_denial_is_not_supported_by_what_it_denies(embedder: Embedder) -> None:
    passage = (
        "## What does top-p do?\n\nTop-p keeps the fewest likeliest tokens whose probabilities add "
        "up to this share. Lower it when answers stray."
    )
    scores = score_support(
        embedder,
        ["The top-p does not do anything.", "Top-p keeps the likeliest tokens."],
        [passage],
    )
    assert scores[0][0] < SUPPORT_THRESHOLD <= scores[1][0]


def test_a_question_and_a_heading_claim_nothing(embedder: Embedder) -> None:
    passage = "# The ferry leaves at seven\n\nDoes the ferry leave at seven? Bread costs a pound."
    ((score,),) = score_support(embedder, ["Bread costs a pound."], [passage])
    assert score == pytest.approx(1, abs=1e-4)
    ((score,),) = score_support(embedder, ["The ferry leaves at seven."], [passage])
    assert score < 0.99
