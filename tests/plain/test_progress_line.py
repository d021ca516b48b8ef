"""Tests for the line that says how far things are."""

import io
import os
from types import SimpleNamespace

import pytest

from chatbot.engine.client import EngineStatus
from chatbot.plain.load_progress import LoadPrinter
from chatbot.plain.progress_line import ProgressLine, draw_bar


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and what would be seen on its last line."""

    def isatty(self) -> bool:
        return True

    def seen(self) -> str:
        line = ""
        for text in self.getvalue().rpartition("\n")[2].split("\r"):
            line = text + line[len(text) :]
        return line.rstrip()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    # pytest puts a stream of its own in place of any that sys has when a test begins.
    monkeypatch.setattr("chatbot.plain.progress_line.sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 24)))
    return stream


def test_what_is_drawn_takes_the_place_of_what_was(terminal: Terminal) -> None:
    line = ProgressLine()
    line.draw("a long line about something")
    line.draw("short")
    assert terminal.seen() == "short"
    line.clear()
    assert terminal.seen() == ""


def test_two_pieces_of_work_share_the_line(terminal: Terminal) -> None:
    loading, indexing = ProgressLine(), ProgressLine()
    indexing.draw("Embedding notes: 120 of 400 passages")
    loading.draw("Loading… 5%")
    indexing.draw("Embedding notes: 121")
    assert terminal.seen() == "Embedding notes: 121   Loading… 5%"
    loading.clear()
    assert terminal.seen() == "Embedding notes: 121"
    indexing.clear()
    assert terminal.seen() == ""


def test_no_line_is_longer_than_the_terminal(terminal: Terminal) -> None:
    line = ProgressLine()
    line.draw("x" * 100)
    assert terminal.seen() == "x" * 39
    line.clear()


def test_elsewhere_each_stage_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    printer = LoadPrinter()
    for fraction in (0.0, 0.5, 1.0):
        printer.show(EngineStatus(state="loading", stage="Loading it", fraction=fraction))
    printer.show(EngineStatus(state="loading", stage="Packing it", fraction=None))
    printer.clear()
    assert capsys.readouterr().err == "Loading it…\nPacking it…\n"


def test_progress_spares_a_line_that_is_being_typed(terminal: Terminal) -> None:
    is_wanted = True
    printer = LoadPrinter(lambda: is_wanted)
    printer.show(EngineStatus(state="loading", stage="Loading it", fraction=0.5))
    assert terminal.seen() == "Loading it… 50%"
    printer.clear()
    is_wanted = False
    printer.show(EngineStatus(state="loading", stage="Loading it", fraction=0.6))
    assert terminal.seen() == ""


@pytest.mark.parametrize(
    ("done", "total", "bar"),
    [(0, 0, "·" * 24), (1, 4, "█" * 6 + "·" * 18), (9, 4, "█" * 24)],
)
def test_a_bar_is_filled_by_what_is_done(done: int, total: int, bar: str) -> None:
    assert draw_bar(done, total) == f"▕{bar}▏"


def test_what_is_printed_stands_above_the_line(terminal: Terminal) -> None:
    line = ProgressLine()
    line.draw("Loading… 5%")
    ProgressLine.print("The chat is not being saved.")
    before, _, after = terminal.getvalue().rpartition("\n")
    assert before.endswith("\r           \rThe chat is not being saved.")
    assert after == "\rLoading… 5%"
    ProgressLine.clear_all()
    assert terminal.seen() == ""
