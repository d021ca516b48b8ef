"""How often a growing answer is drawn: as often as the model, the keys and the terminal let it.

Knows of times alone, and nothing of what is drawn.
"""

import os
from time import monotonic, process_time
from typing import Final, NamedTuple

from textual.constants import MAX_FPS

from chatbot.tui.drawing.compositing import BREATH_SECONDS
from chatbot.tui.drawing.key_pause import KeyPause

SCREEN_SHARE: Final = min(0.5, 0.1 * (os.cpu_count() or 1))
"""Most of one processor that drawing an answer may take, a tenth of all there are: where there is
no GPU, the rest is the model's. Counted in time of the processor, which other programs do not
lengthen."""

SHARE_BESIDE_GPU: Final = 0.6
"""Of one processor, where the model runs on a GPU and leaves the processors to others."""

SHARE_BESIDE_TYPING: Final = 0.15
"""Of one processor, while somebody types: what is drawn meanwhile, a key may have to wait for."""

WAIT_SECONDS: Final = 1 / MAX_FPS + BREATH_SECONDS
"""That a drawing waits for its turn, however fast the terminal is."""


class Start(NamedTuple):
    """When a drawing began."""

    seconds: float
    """Of the clock."""
    processor_seconds: float
    """That this process had taken by then."""


class Pacing:
    """Says when to draw, by what the last drawing took."""

    def __init__(self) -> None:
        self._screen_share = SCREEN_SHARE
        self._rest_until = 0.0
        self._key_pause = KeyPause()

    def run_beside(self, device: str) -> None:
        """Take as much of the processor as a model on this device leaves."""
        self._screen_share = SCREEN_SHARE if device == "cpu" else SHARE_BESIDE_GPU

    def give_way(self) -> None:
        """Draw nothing for a moment: a key was pressed, which is to be seen first."""
        self._key_pause.begin()

    def begin(self) -> Start | None:
        """The start of a drawing; None where it is too early for one."""
        start = Start(monotonic(), process_time())
        if start.seconds < self._rest_until or self._key_pause.is_on:
            return None
        self._key_pause.note_work()
        return start

    def rest_after(self, start: Start) -> None:
        """Draw nothing for a while: what began then is on the screen.

        A slow terminal takes none of the processor, so at most half of the time is spent on it.
        """
        share = self._screen_share
        if self._key_pause.is_typing:
            share = min(share, SHARE_BESIDE_TYPING)
        drawing = monotonic() - start.seconds - WAIT_SECONDS
        period = max((process_time() - start.processor_seconds) / share, 2 * drawing)
        self._rest_until = start.seconds + period
