"""What rows of every kind are put together from: texts that fit, bars, and marks of what is on.

Pure functions of widths in cells. Knows no widget, and nothing of what the rows are about.
"""

from typing import Final

from rich.cells import cell_len

ON: Final = "☑"
OFF: Final = "☐"

BETWEEN: Final = " · "

BAR_WIDTH: Final = 12
"""Cells of a bar for which nothing else is said."""


def fitted(text: str, width: int, *, keep_end: bool = False) -> str:
    """``text`` cut to ``width`` cells, with an ellipsis where something was cut off."""
    if cell_len(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    kept, room = 0, width - 1
    for character in reversed(text) if keep_end else text:
        room -= cell_len(character)
        if room < 0:
            break
        kept += 1
    return f"…{text[len(text) - kept :]}" if keep_end else f"{text[:kept]}…"


def fewer(words: str, width: int) -> str:
    """Keys or facts with dots between them; where there is too little room for all, those before
    the last give way: the last key is how one gets away."""
    parts = words.split(BETWEEN)
    while len(parts) > 1 and cell_len(BETWEEN.join(parts)) > width:
        del parts[-2]
    return BETWEEN.join(parts)


def draw_bar(share: float, width: int = BAR_WIDTH) -> str:
    """A bar that is filled by ``share``, 0 to 1; something above 0 always shows."""
    filled = max(round(share * width), int(share > 0))
    filled = min(filled, width)
    return "▰" * filled + "▱" * (width - filled)
