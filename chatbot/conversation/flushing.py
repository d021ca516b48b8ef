"""How often what is being written goes to the disk."""

import asyncio
from collections.abc import Callable
from typing import Final

FLUSH_SECONDS: Final = 0.25
"""After this long at most, what was shown of an answer is handed to the disk: half of what is
promised, so that the writing itself has the other half."""


class FlushTimer:
    """Gathers wishes to flush, so that a stream of them makes few."""

    def __init__(self, flush: Callable[[], None]) -> None:
        """Prepare to call ``flush``, in the event loop."""
        self._flush = flush
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Have it called soon, once for all that ask until then."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_SECONDS, self._ring)

    def cancel(self) -> None:
        """Do not call it any more for what was asked until now."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._flush()
