"""Room below what grows follows how fast it grows."""

import pytest

from chatbot.tui.drawing import reserve
from chatbot.tui.drawing.reserve import MOST_RESERVED, RESERVE_SECONDS, Pace, Reserve


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reserve, "monotonic", clock)
    return clock


def grow(pace: Pace, clock: Clock, seconds: float, times: int = 20) -> None:
    for _ in range(times):
        clock.now += seconds
        pace.grow()


def test_slow_lines_have_no_room_before_they_come(clock: Clock) -> None:
    pace = Pace()
    grow(pace, clock, 0.5)
    assert pace.num_expected(100) == 0
    lines = Reserve(pace)
    for number in range(1, 5):
        clock.now += 0.5
        assert not lines.fits(number, 100)
        assert lines.num_lines == number


def test_fast_lines_have_as_much_as_they_need_for_a_moment(clock: Clock) -> None:
    pace = Pace()
    grow(pace, clock, 0.05)
    assert pace.num_expected(100) == pytest.approx(20 * RESERVE_SECONDS, abs=1)
    lines = Reserve(pace)
    assert not lines.fits(10, 100)
    free = lines.num_lines - 10
    assert free >= 5
    for number in range(11, 11 + free):
        clock.now += 0.05
        assert lines.fits(number, 100)
    assert not lines.fits(11 + free, 100)


def test_a_small_screen_keeps_little_free(clock: Clock) -> None:
    pace = Pace()
    grow(pace, clock, 0.01)
    assert pace.num_expected(20) == 20 * MOST_RESERVED


def test_after_a_pause_lines_are_slow_again(clock: Clock) -> None:
    pace = Pace()
    grow(pace, clock, 0.01)
    clock.now += 2
    pace.grow()
    assert pace.num_expected(100) == 0


def test_something_new_has_room_only_where_lines_come_fast(clock: Clock) -> None:
    pace = Pace()
    grow(pace, clock, 0.05)
    clock.now += 0.05
    assert Reserve(pace).expect(100) > 1
    clock.now += 2
    slow = Reserve(pace)
    assert slow.expect(100) == 0
    assert slow.fits(1, 100)  # its first line was counted
