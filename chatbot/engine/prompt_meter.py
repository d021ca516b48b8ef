"""How far a prompt is read, told to the client where that takes long."""

import time
from collections.abc import Callable
from typing import Final

from chatbot.engine.progress import MIN_SECONDS
from chatbot.tokens import ReadingProgress

TELL_FROM: Final = 2.0
"""Seconds of reading after which it is told."""

Tell = Callable[[ReadingProgress], None]


def untold(progress: ReadingProgress) -> None:
    """Tell nobody."""


class PromptMeter:
    """Measures the reading of one prompt, layer by layer of each portion of it.

    A portion alone would be too coarse: a large model on a CPU takes a minute for one.
    """

    def __init__(self, num_tokens: int, num_cached: int, num_layers: int, tell: Tell) -> None:
        """Begin to measure.

        Args:
            num_tokens: of the prompt.
            num_cached: those of them that need not be read.
            num_layers: of the model.
            tell: is given each report.
        """
        self._num_tokens = num_tokens
        self._num_cached = num_cached
        self._num_layers = max(num_layers, 1)
        self._tell = tell
        self._start = self._told_at = time.perf_counter()
        self._num_read = num_cached
        self._portion = self._layer = 0

    def begin_portion(self, num_tokens: int) -> None:
        """Note that so many tokens are read next, and that those before are read."""
        self._num_read += self._portion
        self._portion, self._layer = num_tokens, 0

    def begin_layer(self) -> None:
        """Note that the next layer is computed, and tell of it when that is due."""
        layer, self._layer = self._layer, self._layer + 1
        now = time.perf_counter()
        if now - self._start < TELL_FROM or now - self._told_at < MIN_SECONDS:
            return
        self._told_at = now
        num_half_read = self._portion * min(layer, self._num_layers) // self._num_layers
        self._tell(
            ReadingProgress(
                num_tokens=self._num_tokens,
                num_cached_tokens=self._num_cached,
                num_read_tokens=self._num_read + num_half_read,
                seconds=now - self._start,
            )
        )
