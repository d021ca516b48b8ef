"""How tokens and their probabilities are drawn: shades, bars, the columns of a plot.

Pure functions from values to content. Whatever a colour says, a shape or a weight says too.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from textual.content import Content

from chatbot.tokens import NO_TOKEN, TokenRecord

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_HEIGHTS: Final = " ▁▂▃▄▅▆▇█"

# From certain to wild, by the probability that the model gave the token.
_SHADES: Final = (
    (0.9, ""),
    (0.6, "on $primary 20%"),
    (0.3, "underline on $warning 15%"),
    (0.1, "underline on $warning 30%"),
    (0.0, "bold underline on $error 40%"),
)

LEGEND: Final = ("≥ 90%", "≥ 60%", "≥ 30%", "≥ 10%", "less")

SCALES: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
"""What a full bar may stand for: few steps, so that it seldom changes from token to token."""

MARGIN: Final = 4
"""Cells beside the names of alternatives: what is set off, which one came, a space."""


def shade_of(record: TokenRecord) -> str:
    """The style of a token in the text."""
    if record.token == NO_TOKEN:
        return "italic $accent" if record.is_users else "dim"
    style = next(style for least, style in _SHADES if record.before >= least)
    if record.region != "text":
        style = f"italic {style}"
    return f"bold $accent {style}" if record.is_users else style


def legend(*, is_brief: bool) -> Content:
    """What the shades stand for, and where there is room the signs too."""
    parts: list[tuple[str, str]] = [("probability by the model: ", "")]
    for (_, style), words in zip(_SHADES, LEGEND, strict=True):
        parts += [(words, f"$foreground {style}"), (" ", "")]
    if not is_brief:
        parts += [("   ⏎ line end   ◌ unseen character   ■ end of the answer", "")]
    return Content.assemble(*parts)


def scale_of(shares: Iterable[float]) -> float:
    """What a full bar stands for, so that the longest of these is well seen and fits."""
    highest = max(shares, default=0.0)
    return next((scale for scale in SCALES if highest <= scale), 1.0)


def name_width(width: int) -> int:
    """Cells for the names of alternatives, of so many cells for all."""
    return min(max(width // 5, 10), 24)


def panel_width(width: int, num_panels: int) -> int:
    """Cells for each of some distributions beside the names, its gap to the next one included."""
    return max((width - name_width(width) - MARGIN) // num_panels, 2)


def bar_places(num_bars: int, width: int) -> list[range]:
    """The columns of each upright bar in so many cells, of which the last stays empty.

    As many bars as there is room for, at least 1; those of several columns have gaps between.
    """
    shown = min(num_bars, max(width - 1, 1))
    size = max((width - 1) // shown, 1)
    return [range(n * size, (n + 1) * size - (size > 2)) for n in range(shown)]


def bar(share: float, width: int) -> str:
    """A bar of ``width`` cells that stands for a share, 0 to 1; what is not nothing is seen."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def height_mark(bits: float) -> str:
    """One character as high as a number of bits, up to eight."""
    return _HEIGHTS[min(8, max(1, round(bits)))] if bits > 0.05 else "·"


def columns_of(values: Sequence[float], width: int) -> list[tuple[float, int]]:
    """Values fitted into ``width`` columns: the highest of those that share one, and its index.

    Few values get several columns each, so that an answer of some words fills the curve too.
    """
    num = len(values)
    if not num or width < 1:
        return []
    if num <= width:
        each = min(width // num, 4)
        return [(value, index) for index, value in enumerate(values) for _ in range(each)]
    columns = []
    for x in range(width):
        start = x * num // width
        end = max((x + 1) * num // width, start + 1)
        best = max(range(start, end), key=lambda index: values[index])
        columns.append((values[best], best))
    return columns


def levels_of(values: Sequence[float], highest: float, height: int) -> list[int]:
    """How many eighths of a row high each bar is, at least one of them.

    Args:
        values: what the bars stand for.
        highest: the value that fills all rows, above 0.
        height: rows.
    """
    return [max(1, round(value / highest * height * 8)) for value in values]


def eighths(num: int) -> str:
    """A character of which so many eighths are filled from below, 0 to 8."""
    return _HEIGHTS[num]


def column_of(columns: Sequence[tuple[float, int]], index: int, num_values: int) -> int | None:
    """The column that a value is in; None where there is none."""
    if not columns:
        return None
    if num_values <= len(columns):
        return index * (len(columns) // num_values)
    return ((index + 1) * len(columns) - 1) // num_values


def round_step(span: float, num_steps: int) -> float:
    """The least of 1, 2 and 5 times a power of ten that covers a span in so many steps.

    Args:
        span: above 0.
        num_steps: at least 1.
    """
    least = span / num_steps
    power = 10.0 ** math.floor(math.log10(least))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= least)


def spaced(marks: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Labels at columns, without those that would come too near to an earlier one."""
    kept: list[tuple[int, str]] = []
    for x, label in marks:
        if all(abs(x - other) > len(label) + len(text) for other, text in kept):
            kept.append((x, label))
    return kept
