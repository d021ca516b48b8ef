"""One line that is always true: model, precision, device, the work on the knowledge folders,
speed, and how full the window is."""

from time import monotonic
from typing import Final

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.engine.client import EngineStatus
from chatbot.messages import Statistics
from chatbot.tui.drawing.cells import draw_bar, fitted

MOST_OF_TITLE: Final = 26
"""Cells of another chat's title, with the sign before it."""

SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class StatusLine(Widget):
    """The line at the bottom."""

    status: reactive[EngineStatus] = reactive(EngineStatus)
    tokens_per_second: reactive[float] = reactive(0.0)
    num_tokens: reactive[int] = reactive(0)
    """Tokens of the window that are in use."""
    context_length: reactive[int] = reactive(0)
    is_busy: reactive[bool] = reactive(False)
    knowledge: reactive[str] = reactive("")
    """What is being done to the knowledge folders, briefly; empty when all are ready."""
    elsewhere: reactive[str] = reactive("")
    """Title of the chat in which an answer is being written while another one is open, behind a
    sign."""
    _frame: reactive[int] = reactive(0)

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._last: tuple[int, float] | None = None
        """Tokens of the running answer when the last ones came, and when that was; None where the
        time until the next ones does not count."""
        self._num_timed = 0
        """Tokens of the running answer whose time is known."""
        self._seconds = 0.0
        """How long these took."""
        self._next: tuple[int, float] | None = None

    @property
    def device(self) -> str:
        """Where the model runs; the processor where there is none."""
        return self.status.info.device if self.status.info else "cpu"

    def on_mount(self) -> None:
        self._spinner = self.set_interval(0.1, self._turn_spinner, pause=True)

    def show_progress(self, num_prompt_tokens: int, num_new_tokens: int) -> None:
        """Show how far the running answer is, and how fast it comes."""
        before, self._last = self._last, (num_new_tokens, monotonic())
        if before and num_new_tokens > before[0]:  # or it is the first of another round
            self._num_timed += num_new_tokens - before[0]
            self._seconds += self._last[1] - before[1]
        if self._seconds:
            # Drawn when the spinner turns: tokens come more often than anyone can read.
            speed = self._num_timed / self._seconds
            self._next = (num_prompt_tokens + num_new_tokens, speed)

    def pause_progress(self) -> None:
        """The running answer is held: the time until the next token is not the model's."""
        self._last = None

    def show_result(self, statistics: Statistics) -> None:
        """Show what the finished answer took."""
        self._next = None
        self.num_tokens = statistics.num_prompt_tokens + statistics.num_new_tokens
        self.tokens_per_second = statistics.tokens_per_second

    def watch_is_busy(self) -> None:
        self._last = self._next = None
        self._num_timed, self._seconds = 0, 0.0
        self._spin_or_rest()

    def watch_elsewhere(self) -> None:
        self._last = self._next = None

    def watch_status(self) -> None:
        self._spin_or_rest()

    def render(self) -> Content:
        left, right = self._left(), self._right()
        room = self.size.width - 2 - cell_len(right.plain)
        if cell_len(left.plain) > room:
            left = left.truncate(max(room - 1, 0), ellipsis=True)
        gap = " " * max(room - cell_len(left.plain), 0)
        return Content.assemble(" ", left, gap, right, " ")

    def _left(self) -> Content:
        status = self.status
        match status.state:
            case "loading":
                done = status.fraction
                bar = "" if done is None else f" {draw_bar(done)} {done:.0%}"
                return Content.assemble(
                    (self._mark(), "$primary"), f" {status.stage}", (bar, "$primary")
                )
            case "ready" if status.info:
                info = status.info
                mark = self._mark() if self.is_busy else "●"
                colour = "$primary" if self.is_busy else "$success"
                facts = f"{info.precision} · {info.device}"
                return Content.assemble((mark, colour), " ", (info.name, "b"), " ", (facts, "dim"))
            case "failed":
                return Content.styled("✗ no model loaded", "$error")
            case _:
                return Content.styled("○ the engine is not running", "dim")

    def _right(self) -> Content:
        parts = []
        if self.elsewhere:  # and what is known of speed is about that
            parts.append(fitted(self.elsewhere, MOST_OF_TITLE))
        if self.knowledge:
            parts.append(self.knowledge)
        if self.tokens_per_second and not self.elsewhere:
            parts.append(f"{self.tokens_per_second:.1f} tok/s")
        if self.context_length:
            share = self.num_tokens / self.context_length
            used = f"{self.num_tokens:,}/{self.context_length:,}"
            parts.append(f"{draw_bar(share)} {used}" if self._has_room() else used)
        return Content("   ".join(parts))

    def _has_room(self) -> bool:
        return self.size.width >= (110 if self.knowledge else 70)

    def _mark(self) -> str:
        return SPINNER[self._frame % len(SPINNER)]

    def _turn_spinner(self) -> None:
        self._frame += 1
        if self._next:
            self.num_tokens, self.tokens_per_second = self._next

    def _spin_or_rest(self) -> None:
        if not self.is_attached:
            return
        if self.is_busy or self.status.state == "loading":
            self._spinner.resume()
        else:
            self._spinner.pause()
