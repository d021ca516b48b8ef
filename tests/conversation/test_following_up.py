"""Whether a question goes on with the one before it, and what is then found."""

from chatbot.conversation.following_up import FAR_APART, is_following_up, take_turns
from chatbot.conversation.turn_sources import earlier_question
from chatbot.messages import FilePart, Message, TextPart
from tests.conversation.fake_retrieval import hit


def test_a_question_goes_on_where_it_keeps_what_the_one_before_finds() -> None:
    earlier = (hit("a", 0.5), hit("b", 0.8))
    assert is_following_up((hit("b", 0.8 - FAR_APART),), earlier)
    assert is_following_up((hit("c", 0.2), hit("d", 0.9)), earlier)
    assert not is_following_up((hit("b", 0.8 - FAR_APART - 0.01),), earlier)
    assert not is_following_up((), earlier)


def test_a_question_goes_on_with_one_that_found_nothing() -> None:
    assert is_following_up((), ())
    assert is_following_up((hit("a", 0.4),), ())
    assert is_following_up((hit("a", 0.4),), (hit("a", 0.1),))


def test_the_hits_of_two_searches_take_turns_each_once_and_at_its_best() -> None:
    a, b, c, d = (hit(name, 0.5, file=name) for name in "abcd")
    better_a, worse_b = hit("a", 0.6, file="a"), hit("b", 0.4, file="b")
    assert take_turns((a, b), (c, better_a, worse_b, d)) == (better_a, c, b, d)
    assert take_turns((), (a,)) == take_turns((a,), ()) == (a,)


def test_what_both_find_comes_first_where_it_is_far_more_relevant() -> None:
    alone, together = (hit("a", 0.4, file="a"),), (hit("b", 0.41 + FAR_APART, file="b"),)
    assert take_turns(alone, together) == (*together, *alone)
    nearer = (hit("b", 0.39 + FAR_APART, file="b"),)
    assert take_turns(alone, nearer) == (*alone, *nearer)


def test_what_is_gone_on_with_is_a_question_that_was_answered_from_no_file_of_its_own() -> None:
    asked = Message(role="user", parts=(TextPart("What is the tower?"),))
    answered = Message(role="assistant", parts=(TextPart("It is high."),))
    assert earlier_question([asked, answered]) == "What is the tower?"
    file = FilePart(name="a.md", kind="Markdown", text="The tower is high.")
    about_file = Message(role="user", parts=(file, *asked.parts))
    # What the search failed on is not searched for a second time.
    for path in ([], [asked], [asked, Message(role="assistant", parts=())], [about_file, answered]):
        assert earlier_question(path) == ""
