"""A line on standard error that says how far something is, drawn anew in place on a terminal.

Knows nothing of what the line is about.
"""

import shutil
import sys
from typing import ClassVar, Final

BAR_LENGTH: Final = 24


class ProgressLine:
    """What one piece of work has to say on it; pieces that run side by side share the line."""

    _shown: ClassVar["dict[ProgressLine, str]"] = {}
    _width: ClassVar[int] = 0

    def __init__(self) -> None:
        self.is_terminal = sys.stderr.isatty()
        """Whether it can be drawn anew: elsewhere each new line would stay."""

    def draw(self, text: str) -> None:
        """Show ``text`` in place of what this said before.

        Args:
            text: clean, in one line; elsewhere than on a terminal it stays.
        """
        if self.is_terminal:
            self._shown[self] = text
            self._redraw()
        else:
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Say nothing any more."""
        if self._shown.pop(self, None) is not None:
            self._redraw()

    @classmethod
    def clear_all(cls) -> None:
        """Have nobody say anything any more."""
        if cls._shown:
            cls._shown.clear()
            cls._redraw()

    @classmethod
    def print(cls, text: str) -> None:
        """Print ``text`` on standard error, above what is said on the line."""
        shown, cls._shown = cls._shown, {}
        if shown:
            cls._redraw()
        print(text, file=sys.stderr, flush=True)
        cls._shown = shown
        if shown:
            cls._redraw()

    @classmethod
    def _redraw(cls) -> None:
        text = "   ".join(cls._shown.values())[: shutil.get_terminal_size().columns - 1]
        end = "" if text else "\r"
        sys.stderr.write("\r" + text.ljust(cls._width) + end)
        sys.stderr.flush()
        cls._width = len(text)


def draw_bar(done: int, total: int) -> str:
    """``▕████····▏``: how much of ``total`` is done."""
    filled = min(BAR_LENGTH, BAR_LENGTH * done // max(total, 1))
    return f"▕{'█' * filled}{'·' * (BAR_LENGTH - filled)}▏"
