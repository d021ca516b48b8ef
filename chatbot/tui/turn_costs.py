"""What each answer of a chat cost, drawn: what the cache kept of the prompt, what was read, and
what was written, against the time to the first token.

Pure functions of statistics to lines. Knows no widget, and no chat.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from chatbot.messages import Message, Statistics

SHADES: Final = (("━", "$success", "kept"), ("█", "$primary", "read"), ("▒", "$accent", "written"))
"""A thin line is what cost nothing."""

FIGURES_WIDTH: Final = 9
"""Cells behind the bars: the time to the first token."""

LEAST_WIDTH: Final = 34
"""Cells below which nothing is drawn: so wide are the words above the bars of less than a hundred
answers."""

MOST_WIDTH: Final = 80


def costs_of(path: Sequence[Message]) -> tuple[tuple[int, Statistics], ...]:
    """The answers of a branch that were counted: which of its answers each is, and its cost."""
    makings = [message.making for message in path if message.role == "assistant"]
    return tuple((n, m.statistics) for n, m in enumerate(makings, 1) if m and m.statistics)


def draw_costs(costs: Sequence[tuple[int, Statistics]], width: int, num_rows: int) -> list[Content]:
    """A bar for each of the last answers, all on one scale, below what they mean.

    Args:
        costs: which answers of the chat these are, and what each cost.
        width: cells.
        num_rows: lines, that of the legend included.

    Returns:
        Nothing where there is too little room, or nothing to draw.
    """
    shown = costs[-max(num_rows - 1, 0) :]
    if not shown or num_rows < 2 or width < LEAST_WIDTH:
        return []
    width = min(width, MOST_WIDTH)
    number_width = len(f"{shown[-1][0]}") + 1
    most = max(cost.num_prompt_tokens + cost.num_new_tokens for _, cost in shown) or 1
    room = width - number_width - FIGURES_WIDTH
    signs = [Content.assemble((sign, colour), (f" {name}", "dim")) for sign, colour, name in SHADES]
    legend = Content(" " * number_width) + Content("  ").join(signs)
    left = width - legend.cell_length
    first = next((words for words in ("first token", "first") if len(words) < left), "")
    head = Content.assemble(legend, (first.rjust(left), "dim"))
    return [head, *(_row(number, cost, most, number_width, room) for number, cost in shown)]


def _row(number: int, cost: Statistics, most: int, number_width: int, room: int) -> Content:
    num_kept = min(cost.num_cached_tokens, cost.num_prompt_tokens)
    sizes = (num_kept, cost.num_prompt_tokens - num_kept, cost.num_new_tokens)
    bar: list[tuple[str, str]] = []
    drawn = end = 0
    for (shade, colour, _), size in zip(SHADES, sizes, strict=True):
        end += size
        # What is not nothing is seen.
        cell = min(max(round(end * room / most), drawn + int(size > 0)), room)
        bar.append((shade * (cell - drawn), colour))
        drawn = cell
    first = f"{cost.first_token_seconds:.2f} s" if cost.num_new_tokens else ""
    return Content.assemble(
        (f"{number:>{number_width - 1}} ", "dim"),
        *bar,
        " " * (room - drawn),
        (first.rjust(FIGURES_WIDTH), "dim"),
    )
