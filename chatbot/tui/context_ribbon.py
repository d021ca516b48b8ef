"""What the next prompt consists of, in exact tokens: a line, or a table of it, beside what the
answers before it cost.

Drawn in shades as well as colours, so that it can be read without them.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

import msgspec
from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.events import PromptBuilt
from chatbot.messages import Statistics
from chatbot.tui.turn_costs import draw_costs
from chatbot.wording import counted

BAR_WIDTH: Final = 24
NARROW_BAR_WIDTH: Final = 12
"""Cells of the bar in the line, and where the line is narrow."""

NARROW: Final = 72

SPARED: Final = (("template", "free"), ("room",), ("system",), ("question",), ("tools",))
"""Names that are left out of a line without room for all, those first that say least."""

TABLE_WIDTH: Final = 42
"""Cells of the table and of the gap to what stands beside it."""

MOST_COSTS: Final = 8
"""Answers whose cost is drawn, where the table has fewer rows."""

ROW_WIDTH: Final = 26
"""Cells of a row of the table where two of them share a line."""


class Share(msgspec.Struct, frozen=True):
    """One part of the window."""

    name: str
    num_tokens: int
    shade: str
    colour: str


def shares(built: PromptBuilt) -> tuple[Share, ...]:
    """The parts of the window, in their order in it; they add up to it."""
    named = (
        built.num_system_tokens
        + built.num_history_tokens
        + built.num_source_tokens
        + built.num_file_tokens
        + built.num_question_tokens
        + built.num_tool_tokens
        + built.num_result_tokens
    )
    free = built.context_length - built.num_prompt_tokens - built.room
    return (
        Share("system", built.num_system_tokens, "█", "$secondary"),
        Share("tools", built.num_tool_tokens, "▥", "$warning"),
        Share("history", built.num_history_tokens, "▓", "$primary"),
        Share("sources", built.num_source_tokens, "▤", "$success"),
        Share("files", built.num_file_tokens, "▨", "$warning"),
        Share("question", built.num_question_tokens, "▒", "$accent"),
        Share("answer so far", built.num_result_tokens, "▧", "$accent"),
        Share("template", built.num_prompt_tokens - named, "▚", "$foreground-muted"),
        Share("room for the answer", built.room, "░", "$foreground-muted"),
        Share("free", free, "·", "$foreground-muted"),
    )


def cells(parts: Sequence[Share], width: int) -> list[int]:
    """How many of ``width`` cells each part gets: at least one for each that is not empty."""
    total = sum(part.num_tokens for part in parts) or 1
    given = [max(part.num_tokens * width // total, int(part.num_tokens > 0)) for part in parts]
    largest = max(range(len(parts)), key=lambda i: parts[i].num_tokens)
    given[largest] += width - sum(given)
    return given


def _row(part: Share, name: str, width: int, window: int) -> Content:
    return Content.assemble(
        (f"{part.shade} ", part.colour),
        f"{name}{part.num_tokens:>{width},}",
        (f"{part.num_tokens / window:>7.1%}", "dim"),
    )


class ContextRibbon(Widget):
    """The ribbon below the prompt; a click or its key opens and closes the table."""

    built: reactive[PromptBuilt | None] = reactive(None, layout=True)
    problem: reactive[str] = reactive("", layout=True)
    """Why there is nothing to count: the question alone does not fit, say."""
    is_open: reactive[bool] = reactive(False, layout=True)
    costs: reactive[tuple[tuple[int, Statistics], ...]] = reactive((), layout=True)
    """Which answers of the chat were counted, and what each cost."""

    def render(self) -> Content:
        if self.problem:
            return Content.from_markup("[$text-error]$problem[/]", problem=self.problem)
        if self.built is None:
            return Content.from_markup("[dim]context: counted once the model is free[/]")
        parts = shares(self.built)
        return self._table(parts) if self.is_open else self._line(parts)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.toggle()

    def toggle(self) -> None:
        """Open the table, or close it."""
        self.is_open = not self.is_open

    def _line(self, parts: Sequence[Share]) -> Content:
        left_out = Content.assemble(*self._left_out(is_brief=self.size.width < 100))
        words = [f"{p.name.split()[0]} {p.num_tokens:,}" for p in parts if p.num_tokens]
        width = self.size.width
        bar_width = NARROW_BAR_WIDTH if width < NARROW else BAR_WIDTH
        room = width - bar_width - 1 - left_out.cell_length
        dropped: tuple[str, ...] = ()
        for names in SPARED:
            if len("  ".join(words)) > room:
                dropped += names
                words = [word for word in words if not word.startswith(dropped)]
        bar = self._bar(parts, bar_width)
        line = Content.assemble(bar, " ", ("  ".join(words), "dim"), left_out)
        return line.truncate(max(width, 1), ellipsis=True)

    def _table(self, parts: Sequence[Share]) -> Content:
        window = self.built.context_length if self.built else 1
        left_out = self._left_out()
        head = [Content.assemble(self._bar(parts, max(self.size.width, BAR_WIDTH)))]
        room = self.app.size.height // 2 - len(left_out) - 1  # as the style sheet has it
        rows = [_row(p, p.name.ljust(20), 10, window) for p in parts if p.num_tokens]
        width = self.size.width
        if room >= len(rows) and width >= TABLE_WIDTH:
            num_rows = min(room, max(len(rows), MOST_COSTS + 1))
            beside = draw_costs(self.costs, width - TABLE_WIDTH, num_rows)
            pairs = zip_longest(rows, beside, fillvalue=Content(""))
            rows = [left.pad_right(TABLE_WIDTH - left.cell_length) + right for left, right in pairs]
            return Content("\n").join([*head, *rows, *left_out])
        # What is not given to the model first: the end of the table may be out of sight.
        rows = [_row(p, p.name.split()[0].ljust(9), 8, window) for p in parts if p.num_tokens]
        if width >= 2 * ROW_WIDTH + 2:
            half = (len(rows) + 1) // 2
            pairs = zip_longest(rows[:half], rows[half:], fillvalue=Content(""))
            rows = [Content.assemble(left, "  ", right) for left, right in pairs]
        return Content("\n").join([*head, *left_out, *rows])

    def _bar(self, parts: Sequence[Share], width: int) -> Content:
        drawn = zip(parts, cells(parts, width), strict=True)
        return Content.assemble(*((part.shade * count, part.colour) for part, count in drawn))

    def _left_out(self, *, is_brief: bool = False) -> list[Content]:
        """What the model is not given: messages without room, thoughts that it had before."""
        count = len(self.built.left_out) if self.built else 0
        num_thought = self.built.num_left_out_thinking_tokens if self.built else 0
        shown = []
        if count:
            words = f"{count}" if is_brief else f"{counted(count, 'message')} left out"
            shown.append(Content.from_markup(f"  [$warning]✂ {words}[/]"))
        if num_thought:
            words = "thinking " if is_brief else "thinking, left out: "
            unit = "" if is_brief else " tokens"
            shown.append(Content.from_markup(f"  [dim]✂ {words}{num_thought:,}{unit}[/]"))
        return shown
