"""Whether a question goes on with those before it, and what is then found."""

import pytest

from chatbot.conversation.following_up import FAR_APART, go_on, points_back
from chatbot.conversation.turn_sources import earlier_questions
from chatbot.messages import FilePart, Message, SourcesPart, TextPart
from chatbot.retrieval.values import Hit
from tests.conversation.fake_retrieval import hit

THRESHOLD = 0.3
BUILT = "And when was the tower built?"


def gone_on(together: tuple[Hit, ...], earlier: tuple[Hit, ...]) -> bool:
    return go_on(BUILT, (), together, earlier, THRESHOLD) is not None


def test_a_question_goes_on_where_it_keeps_what_the_one_before_finds() -> None:
    earlier = (hit("a", 0.5), hit("b", 0.8))
    assert gone_on((hit("b", 0.8 - FAR_APART),), earlier)
    assert gone_on((hit("c", 0.2), hit("d", 0.9)), earlier)
    assert not gone_on((hit("b", 0.8 - FAR_APART - 0.01),), earlier)
    assert not gone_on((), earlier)


def test_a_question_goes_on_with_one_that_found_nothing() -> None:
    assert gone_on((), ())
    assert gone_on((hit("a", 0.4),), ())
    assert gone_on((hit("a", 0.4),), (hit("a", 0.1),))


def test_the_hits_of_two_searches_take_turns_each_once_and_at_its_best() -> None:
    a, b, c, d = (hit(name, 0.5, file=name) for name in "abcd")
    better_a, worse_b = hit("a", 0.6, file="a"), hit("b", 0.4, file="b")
    together = (c, better_a, worse_b, d)
    assert go_on(BUILT, (a, b), together, (), THRESHOLD) == (better_a, c, b, d)
    assert go_on(BUILT, (), (a,), (), THRESHOLD) == go_on(BUILT, (a,), (), (), THRESHOLD) == (a,)


def test_what_both_find_comes_first_where_a_question_hardly_says_anything() -> None:
    alone, together = (hit("a", 0.4, file="a"),), (hit("b", 0.41 + FAR_APART, file="b"),)
    assert go_on("When was it built?", alone, together, (), THRESHOLD) == (*together, *alone)
    assert go_on(BUILT, alone, together, (), THRESHOLD) == (*alone, *together)
    nearer = (hit("b", 0.39 + FAR_APART, file="b"),)
    assert go_on("When was it built?", alone, nearer, (), THRESHOLD) == (*alone, *nearer)


def test_a_question_about_the_answer_gets_what_that_was_found_by() -> None:
    alone, together = (hit("a", 0.2, file="a"),), (hit("b", 0.25, file="b"),)
    earlier = (hit("c", 0.9, file="c"),)
    told = go_on("Summarise that in one sentence.", alone, together, earlier, THRESHOLD)
    assert told == (*together, *earlier, *alone)
    assert go_on("Summarise the annual report.", alone, together, earlier, THRESHOLD) is None
    found = (hit("a", THRESHOLD, file="a"),)
    assert go_on("Summarise that in one sentence.", found, together, earlier, THRESHOLD) is None


@pytest.mark.parametrize(
    ("question", "is_back"),
    [
        ("Why?", True),
        ("Tell me more, please.", True),
        ("Is that true?", True),
        ("Translate it into German.", True),
        ("", True),
        ("Who is Elvis?", False),
        ("Is there a train from Rome to Paris on Sundays?", False),
    ],
)
def test_what_points_back_has_hardly_a_word_of_its_own(question: str, is_back: bool) -> None:
    assert points_back(question) is is_back


def test_what_is_gone_on_with_is_a_question_that_was_answered_from_no_file_of_its_own() -> None:
    asked = Message(role="user", parts=(TextPart("What is the tower?"),))
    answered = Message(role="assistant", parts=(TextPart("It is high."),))
    assert earlier_questions([asked, answered]) == "What is the tower?"
    file = FilePart(name="a.md", kind="Markdown", text="The tower is high.")
    about_file = Message(role="user", parts=(file, *asked.parts))
    # What the search failed on is not searched for a second time.
    for path in ([], [asked], [asked, Message(role="assistant", parts=())], [about_file, answered]):
        assert earlier_questions(path) == ""


def test_the_question_that_says_what_it_is_about_stays_with_those_that_go_on() -> None:
    def turn(question: str, query: str) -> list[Message]:
        found = SourcesPart(sources=(), query=query)
        return [
            Message(role="user", parts=(TextPart(question),)),
            Message(role="assistant", parts=(found, TextPart("An answer."))),
        ]

    path = turn("What is the bridge?", "What is the bridge?")
    path += turn("What is the tower?", "What is the tower?")
    path += turn("When was it built?", "What is the tower?\nWhen was it built?")
    path += turn("Why?", "What is the tower?\nWhen was it built?\nWhy?")
    assert earlier_questions(path) == "What is the tower?\nWhy?"
    assert earlier_questions(path[:6]) == "What is the tower?\nWhen was it built?"
    assert earlier_questions(path[:4]) == "What is the tower?"
