import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.conversation.window_fitting import KEEP_AFTER_CUT, MIN_ROOM, fit_window
from chatbot.errors import ContextError

exchanges = st.lists(st.integers(1, 400), max_size=40)
windows = st.integers(64, 4000)


def fit(
    sizes: list[int],
    *,
    fixed: int = 10,
    question: int = 10,
    window: int = 200,
    new: int = 40,
    max_history: int = 0,
) -> int:
    """Exchanges of these sizes, in each of which the question takes one token."""
    pairs = [(1, size - 1) for size in sizes]
    return fit_window(
        pairs, fixed, question, context_length=window, max_new_tokens=new, max_history=max_history
    )


def test_all_of_a_short_history_is_kept() -> None:
    assert fit([20, 30, 40]) == 0


def test_no_history() -> None:
    assert fit([]) == 0


def test_what_fills_the_budget_exactly_is_kept() -> None:
    # 200 for all, 40 for the answer, 10 fixed: 150, of which the question takes 10.
    assert fit([70, 70]) == 0


def test_an_overflow_leaves_room_for_the_turns_to_come() -> None:
    # 70 + 71 + 10 > 150, so that no more than 112.5 stay: 71 + 10.
    assert fit([70, 71]) == 1
    # 20 x 8 > 150: after the eighth, 112.5 hold five of them; then the question has room.
    assert fit([20] * 8) == 3


def test_a_quarter_of_the_window_at_most_is_kept_free_for_the_answer() -> None:
    # 200 - 50 - 10 = 140 for history and question, however long the answer may be.
    assert fit([130], new=10_000) == 0
    assert fit([131], new=10_000) == 1


def test_the_cut_stays_until_the_window_overflows_again() -> None:
    cuts = [fit([20] * count) for count in range(20)]
    # Full at eight (160 > 150), and again when the five that were kept are eight once more.
    assert cuts == [0] * 8 + [3] * 3 + [6] * 3 + [9] * 3 + [12] * 3


def test_max_history_keeps_the_newest() -> None:
    assert fit([5] * 6, max_history=2) == 4
    assert fit([5], max_history=2) == 0
    assert fit([70, 71], max_history=9) == 1


@pytest.mark.parametrize("pinned", [(), (0,)])
@pytest.mark.parametrize("can_be_longer", [True, False])
def test_a_longer_window_is_proposed_where_there_is_one(
    pinned: tuple[int, ...], can_be_longer: bool
) -> None:
    with pytest.raises(ContextError) as refusal:
        fit_window(
            [(1, 100)],
            10,
            200,
            context_length=200,
            max_new_tokens=40,
            pinned=pinned,
            can_be_longer=can_be_longer,
        )
    assert ("or raise context_length" in str(refusal.value)) is can_be_longer


def test_a_question_that_fills_the_window_is_refused_with_the_numbers() -> None:
    assert fit([], fixed=84, question=100) == 0
    with pytest.raises(ContextError, match=r"185 tokens.* 200"):
        fit([], fixed=85, question=100)


@given(exchanges, st.integers(0, 100), st.integers(1, 400), windows, st.integers(1, 5000))
def test_the_window_is_never_exceeded_and_the_newest_are_kept(
    sizes: list[int], fixed: int, question: int, window: int, new: int
) -> None:
    try:
        first_kept = fit(sizes, fixed=fixed, question=question, window=window, new=new)
    except ContextError:
        assert fixed + question + MIN_ROOM > window
        return
    assert 0 <= first_kept <= len(sizes)
    assert fixed + question + sum(sizes[first_kept:]) + min(new, MIN_ROOM) <= window
    budget = window - min(new, window // 4) - fixed
    if sum(sizes) + question <= budget:
        assert first_kept == 0  # nothing is left out without need


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 300)), max_size=40), windows)
def test_the_cut_only_moves_when_the_window_overflows(
    chat: list[tuple[int, int]], window: int
) -> None:
    fixed, new = 5, window // 8
    budget = window - new - fixed
    cut = 0
    for index, (question, _) in enumerate(chat):
        try:
            now = fit_window(
                chat[:index], fixed, question, context_length=window, max_new_tokens=new
            )
        except ContextError:
            return
        kept_before = sum(map(sum, chat[cut:index])) + question
        kept = sum(map(sum, chat[now:index])) + question
        if kept_before <= budget:
            assert now == cut
        else:
            assert now > cut or cut == index
            assert kept <= budget * KEEP_AFTER_CUT or now == index
        cut = now


@given(exchanges, st.integers(1, 10))
def test_max_history_is_never_exceeded(sizes: list[int], most: int) -> None:
    assert len(sizes) - fit(sizes, max_history=most) <= most


def test_pinned_exchanges_stay_and_others_go_instead() -> None:
    sizes = [(20, 20)] * 4
    free = fit_window(sizes, 10, 10, context_length=160, max_new_tokens=20)
    pinned = fit_window(sizes, 10, 10, context_length=160, max_new_tokens=20, pinned={0})
    assert (free, pinned) == (2, 2)


def test_what_is_pinned_may_be_too_much() -> None:
    with pytest.raises(ContextError, match="unpin"):
        fit_window([(50, 50)], 10, 10, context_length=100, max_new_tokens=20, pinned={0})
