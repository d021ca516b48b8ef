"""Shows on standard error how a download goes.

On a terminal one line with a bar that is drawn anew; else one line for each file. Knows
nothing of who downloads, and why.
"""

import time
from typing import Final

from chatbot.models.hub import PullProgress
from chatbot.plain.progress_line import ProgressLine, draw_bar
from chatbot.terminal_text import clean_line
from chatbot.wording import duration, size

_MIN_SECONDS: Final = 0.1
"""Shortest time between two drawings."""

_RATE_SECONDS: Final = 1.0
"""From here on the rate is worth showing."""


class DownloadPrinter:
    """One line about a download."""

    def __init__(self) -> None:
        self._line = ProgressLine()
        self._file = ""
        self._drawn_at = 0.0
        self._begun_at = 0.0
        self._begun_bytes = 0

    def show(self, progress: PullProgress) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if not progress.total_bytes:
            self._line.draw(f"Asking the hub about {clean_line(progress.hub_id)}…")
            return
        if not self._begun_at:
            self._begun_at, self._begun_bytes = now, progress.done_bytes
        if self._line.is_terminal:
            is_whole = progress.done_bytes >= progress.total_bytes
            is_due = is_whole or now - self._drawn_at >= _MIN_SECONDS
        else:
            is_due = progress.file != self._file
        if is_due:
            self._file, self._drawn_at = progress.file, now
            self._line.draw(self._words(progress, now))

    def close(self) -> None:
        """Take the line away."""
        self._line.clear()

    def _words(self, progress: PullProgress, now: float) -> str:
        """``model.safetensors ▕████····▏ 1.2 GB of 4.9 GB · 38.1 MB/s · 97 s left``."""
        done, total = progress.done_bytes, progress.total_bytes
        bar = draw_bar(done, total)
        parts = [f"{clean_line(progress.file)} {bar} {size(done)} of {size(total)}"]
        if progress.is_waiting:
            parts.append("another program is fetching it")
        seconds = now - self._begun_at
        if seconds >= _RATE_SECONDS and done > self._begun_bytes:
            rate = (done - self._begun_bytes) / seconds
            parts.append(f"{size(rate)}/s")
            parts.append(f"{duration((total - done) / rate)} left")
        return " · ".join(parts)
