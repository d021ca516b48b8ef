"""When an answer is drawn again, with clocks that are told what they show."""

import pytest

from chatbot.tui.drawing import key_pause, pacing
from chatbot.tui.drawing.key_pause import KEY_SECONDS, TYPING_SECONDS
from chatbot.tui.drawing.pacing import (
    SCREEN_SHARE,
    SHARE_BESIDE_GPU,
    SHARE_BESIDE_TYPING,
    WAIT_SECONDS,
    Pacing,
)


class Clocks:
    """The time, and what the process took of the processor, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.used = 5.0
        monkeypatch.setattr(pacing, "monotonic", lambda: self.now)
        monkeypatch.setattr(pacing, "process_time", lambda: self.used)
        monkeypatch.setattr(key_pause, "monotonic", lambda: self.now)

    def draw(self, pace: Pacing, seconds: float, used: float) -> float:
        """Draw for so long; returns when."""
        began = self.now
        start = pace.begin()
        assert start is not None
        self.now += seconds + WAIT_SECONDS
        self.used += used
        pace.rest_after(start)
        return began

    def is_time(self, pace: Pacing, now: float) -> bool:
        self.now = now
        return pace.begin() is not None


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


@pytest.mark.parametrize(("device", "share"), [("cpu", SCREEN_SHARE), ("cuda", SHARE_BESIDE_GPU)])
def test_a_drawing_takes_its_share_of_the_processor(
    clocks: Clocks, device: str, share: float
) -> None:
    pace = Pacing()
    pace.run_beside(device)
    began = clocks.draw(pace, seconds=0.03, used=0.06)
    assert not clocks.is_time(pace, began + 0.06 / share - 0.01)
    assert clocks.is_time(pace, began + 0.06 / share + 0.01)


def test_a_slow_terminal_takes_half_of_the_time(clocks: Clocks) -> None:
    pace = Pacing()
    began = clocks.draw(pace, seconds=1.5, used=0.0)
    assert not clocks.is_time(pace, began + 2.99)
    assert clocks.is_time(pace, began + 3.01)


def test_a_key_comes_first_and_less_is_drawn_while_more_are_expected(clocks: Clocks) -> None:
    pace = Pacing()
    pace.run_beside("cuda")
    clocks.draw(pace, seconds=0.0, used=0.0)
    typed = clocks.now
    pace.give_way()
    assert not clocks.is_time(pace, typed + KEY_SECONDS - 0.01)
    clocks.now = typed + KEY_SECONDS + 0.01
    began = clocks.draw(pace, seconds=0.01, used=0.06)
    assert began + 0.1 < typed + TYPING_SECONDS
    assert not clocks.is_time(pace, began + 0.06 / SHARE_BESIDE_TYPING - 0.01)
    assert clocks.is_time(pace, began + 0.06 / SHARE_BESIDE_TYPING + 0.01)
