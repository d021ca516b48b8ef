"""A tool call in an answer: what is called with what, how it goes, and what it said.

Draws what it is told; runs and decides nothing.
"""

import json
from time import monotonic
from typing import Final

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.timer import Timer

from chatbot.messages import ToolCallPart, ToolResultPart
from chatbot.terminal_text import clean, clean_line
from chatbot.tui.chat.folded import Folded, first_lines
from chatbot.tui.drawing.cells import fitted

FOLDED_LINES: Final = 4
"""Lines of a result that are shown until the card is opened."""

OPEN_LINES: Final = 400
"""Lines of a result that are shown in an open card; copying gives all."""

_APPROVED: Final = {
    "user": "allowed by you",
    "chat": "allowed for this chat",
    "always": "always allowed",
    "flag": "allowed by --allow-tool",
    "settings": "allowed by your settings",
}
"""By the words of ``chatbot.tools.values.ApprovedBy``; those that need no word are not here."""


class ToolCard(Folded):
    """One call. A click opens and closes a long result."""

    result: reactive[ToolResultPart | None] = reactive(None, layout=True)
    _seconds: reactive[float | None] = reactive(None)
    """Since it began to run; None before that."""

    def __init__(self, call: ToolCallPart, result: ToolResultPart | None = None) -> None:
        super().__init__()
        self.call = call
        self.set_reactive(ToolCard.result, result)
        self._timer: Timer | None = None
        self._began = 0.0

    def start(self) -> None:
        """The call is allowed, and runs now."""
        self._began = monotonic()
        self._seconds = 0.0
        if self.is_mounted:
            self._timer = self.set_interval(0.1, self._tick)

    def _tick(self) -> None:
        self._seconds = monotonic() - self._began

    def end(self, result: ToolResultPart) -> None:
        """Show what became of the call."""
        if self._timer:
            self._timer.stop()
        self.result = result

    def on_unmount(self) -> None:
        if self._timer:
            self._timer.stop()

    def lines(self, width: int) -> list[Content]:
        state, colour = self._state()
        name = f"⚙ {self.call.name} "
        room = max(width - cell_len(name) - cell_len(state) - 1, 0)
        arguments = fitted(arguments_line(self.call.arguments), room)
        gap = " " * max(width - cell_len(name) - cell_len(arguments) - cell_len(state), 1)
        head = Content.assemble((name, "bold $text-accent"), arguments, gap, (state, colour))
        lines = [head.truncate(width, ellipsis=True)]
        if self.is_open and cell_len(arguments_line(self.call.arguments)) > room:
            lines += Content(arguments_text(self.call.arguments)).wrap(max(width - 2, 1))
        return [*lines, *self._result_lines(width)]

    def _state(self) -> tuple[str, str]:
        result = self.result
        if result is None:
            if self._seconds is None:
                return "○ to be checked", "dim"
            return f"◐ {self._seconds:.1f} s", "$text-primary"
        if not result.approved_by:
            return "✗ not run", "$text-error"
        words = [f"{'✗' if result.is_error else '✓'} {result.seconds:.1f} s"]
        if about := _APPROVED.get(result.approved_by):
            words.append(about)
        return " · ".join(words), "$text-error" if result.is_error else "$text-success"

    def _result_lines(self, width: int) -> list[Content]:
        if self.result is None:
            return []
        style = "$text-error" if self.result.is_error else ""
        most = OPEN_LINES if self.is_open else FOLDED_LINES
        shown, is_cut = first_lines(self.result.text, most, width, style)
        if is_cut:
            words = "the rest is not shown" if self.is_open else "x or a click shows more"
            shown.append(Content.styled(f"└ … {words}", "dim"))
        return shown


def arguments_line(arguments: str) -> str:
    """The arguments in one line: ``expression: 17 * 23``; as written where they are no JSON."""
    values = _values(arguments)
    if values is None:
        return clean_line(arguments, 1000)
    return clean_line(" · ".join(f"{name}: {value}" for name, value in values.items()), 1000)


def arguments_text(arguments: str) -> str:
    """The arguments, one to a line."""
    values = _values(arguments)
    if values is None:
        return clean(arguments)
    return clean("\n".join(f"  {name}: {value}" for name, value in values.items()))


def _values(arguments: str) -> dict[str, str] | None:
    try:
        values = json.loads(arguments)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    return {
        str(name): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }
