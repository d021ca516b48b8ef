"""How tokens and their probabilities are drawn: shades, bars, a curve.

Pure functions from values to content. Whatever a colour says, a shape or a weight says too.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from chatbot.tokens import NO_TOKEN, TokenRecord

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_HEIGHTS: Final = " ▁▂▃▄▅▆▇█"

# From certain to wild, by the probability that the model gave the token.
_SHADES: Final = (
    (0.9, ""),
    (0.6, "on $primary 25%"),
    (0.3, "underline on $warning 25%"),
    (0.1, "underline on $warning 55%"),
    (0.0, "bold underline on $error 65%"),
)

LEGEND: Final = ("≥ 90%", "≥ 60%", "≥ 30%", "≥ 10%", "less")


def shade_of(record: TokenRecord) -> str:
    """The style of a token in the text."""
    if record.token == NO_TOKEN:
        return "italic $accent" if record.is_users else "dim"
    style = next(style for least, style in _SHADES if record.before >= least)
    if record.region != "text":
        style = f"italic {style}"
    return f"bold $accent {style}" if record.is_users else style


def legend() -> Content:
    """What the shades stand for."""
    parts: list[tuple[str, str]] = []
    for (_, style), words in zip(_SHADES, LEGEND, strict=True):
        parts += [(words, style), (" ", "")]
    return Content.assemble(*parts)


def bar(share: float, width: int) -> str:
    """A bar of ``width`` cells that stands for a share, 0 to 1; what is not nothing is seen."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def height_mark(bits: float, highest: float = 8.0) -> str:
    """One character as high as a number of bits."""
    return _HEIGHTS[min(8, max(1, round(bits / highest * 8)))] if bits > 0.05 else "·"


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


def draw_curve(
    columns: Sequence[tuple[float, int]], cursor: int | None, height: int, highest: float
) -> Content:
    """Columns as bars of eighths.

    Args:
        columns: a value and the index it is of, for each column.
        cursor: the column that is set off; None for none.
        height: rows.
        highest: the value that fills them.
    """
    rows = []
    levels = [max(1, round(value / (highest or 1) * height * 8)) for value, _ in columns]
    for row in range(height - 1, -1, -1):
        cells = []
        for x, level in enumerate(levels):
            filled = min(max(level - row * 8, 0), 8)
            style = "reverse bold $accent" if x == cursor else "$primary"
            cells.append((_HEIGHTS[filled], style))
        rows.append(Content.assemble(*cells))
    return Content("\n").join(rows)


def column_of(columns: Sequence[tuple[float, int]], index: int, num_values: int) -> int | None:
    """The column that a value is in; None where there is none."""
    if not columns:
        return None
    if num_values <= len(columns):
        return index * (len(columns) // num_values)
    return min(index * len(columns) // num_values, len(columns) - 1)
