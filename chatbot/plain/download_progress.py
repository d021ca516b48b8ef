"""Shows on standard error how a download goes.

On a terminal one line with a bar that is drawn anew; else one line for each file. Knows
nothing of who downloads, and why.
"""

import shutil
import sys
import time
from typing import Final

from chatbot.models.hub import PullProgress
from chatbot.terminal_text import clean_line

_BAR_LENGTH: Final = 24
_MIN_SECONDS: Final = 0.1
"""Shortest time between two drawings."""

_RATE_SECONDS: Final = 1.0
"""From here on the rate is worth showing."""


class DownloadPrinter:
    """One line about a download."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._file = ""
        self._width = 0
        self._drawn_at = 0.0
        self._begun_at = 0.0
        self._begun_bytes = 0

    def show(self, progress: PullProgress) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if not progress.total_bytes:
            self._say(f"Asking the hub about {clean_line(progress.hub_id)}…")
            return
        if not self._begun_at:
            self._begun_at, self._begun_bytes = now, progress.done_bytes
        if not self._is_terminal:
            if progress.file != self._file:
                self._file = progress.file
                print(self._line(progress, now), file=sys.stderr, flush=True)
            return
        is_whole = progress.done_bytes >= progress.total_bytes
        if now - self._drawn_at >= _MIN_SECONDS or is_whole:
            self._drawn_at = now
            self._say(self._line(progress, now))

    def close(self) -> None:
        """Take the line away."""
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0

    def _say(self, line: str) -> None:
        if not self._is_terminal:
            print(line, file=sys.stderr, flush=True)
            return
        line = line[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)

    def _line(self, progress: PullProgress, now: float) -> str:
        """``model.safetensors ▕████····▏ 1.2 of 4.9 GB · 38.1 MB/s · 97 s left``."""
        done, total = progress.done_bytes, progress.total_bytes
        filled = min(_BAR_LENGTH, _BAR_LENGTH * done // total)
        bar = "█" * filled + "·" * (_BAR_LENGTH - filled)
        parts = [f"{clean_line(progress.file)} ▕{bar}▏ {done / 1e9:.2f} of {total / 1e9:.2f} GB"]
        if progress.is_waiting:
            parts.append("another program is fetching it")
        seconds = now - self._begun_at
        if seconds >= _RATE_SECONDS and done > self._begun_bytes:
            rate = (done - self._begun_bytes) / seconds
            parts.append(f"{rate / 1e6:.1f} MB/s")
            parts.append(f"{(total - done) / rate:,.0f} s left")
        return " · ".join(parts)
