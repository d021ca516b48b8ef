"""The speed of an answer while it is written."""

import pytest

from chatbot.tui import status_line
from chatbot.tui.status_line import StatusLine


def test_time_that_an_answer_is_held_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(status_line, "monotonic", lambda: now)
    line = StatusLine("status")

    def told(seconds: float, num_tokens: int) -> tuple[int, float] | None:
        nonlocal now
        now += seconds
        line.show_progress(100, num_tokens)
        return line._next

    assert told(5.0, 1) is None  # the prompt was read until now
    assert told(0.5, 6) == (106, 10.0)
    line.pause_progress()
    assert told(20.0, 7) == (107, 10.0)  # a single step
    line.pause_progress()
    assert told(20.0, 8) == (108, 10.0)
    assert told(0.5, 18) == (118, 15.0)
    assert told(9.0, 1) == (101, 15.0)  # another round, after a tool
