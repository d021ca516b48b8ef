"""Looking for garbage waits until nobody would notice."""

import gc
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from textual.app import App

from chatbot.tui.drawing import garbage
from chatbot.tui.drawing.garbage import IdleCollector


class FakeApp:
    """Keeps what is to be called from time to time."""

    callback: Callable[[], None]

    def set_interval(self, interval: float, callback: Callable[[], None]) -> None:
        self.callback = callback


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_garbage_is_looked_for_when_idle_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now, is_busy, rounds, collected = 100.0, False, 50, 0

    def collect() -> int:
        nonlocal collected
        collected += 1
        return 0

    monkeypatch.setattr(garbage, "monotonic", lambda: now)
    monkeypatch.setattr(gc, "collect", collect)
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, rounds))
    app = FakeApp()
    collector = IdleCollector(cast(App[Any], app), lambda: is_busy)
    collector.start()
    assert gc.isenabled()
    assert gc.get_threshold()[2] == garbage.MAX_ROUNDS

    collector.note_input()
    app.callback()
    assert collected == 0  # somebody types
    now += garbage.IDLE_SECONDS
    is_busy = True
    app.callback()
    assert collected == 0  # an answer is written
    is_busy, rounds = False, 3
    app.callback()
    assert collected == 0  # there is little to find
    rounds = garbage.MIN_ROUNDS
    app.callback()
    assert collected == 1
