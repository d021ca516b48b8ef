"""What may be asked of work that runs in the background, from any thread."""

import threading


class Control:
    """Cancel, pause and resume; and the means to wait until something is to be done."""

    def __init__(self) -> None:
        self._wake = threading.Event()
        self._is_cancelled = False
        self._is_paused = False

    @property
    def is_cancelled(self) -> bool:
        """Whether the work is to end."""
        return self._is_cancelled

    @property
    def is_paused(self) -> bool:
        """Whether nothing is to be embedded for now."""
        return self._is_paused

    def cancel(self) -> None:
        """End the work."""
        self._is_cancelled = True
        self._wake.set()

    def pause(self, is_paused: bool) -> None:
        """Pause it, or have it go on."""
        self._is_paused = is_paused
        self._wake.set()

    def wake(self) -> None:
        """There is something to be done."""
        self._wake.set()

    def wait(self, seconds: float) -> None:
        """Wait until there is something to be done, at most so long."""
        self._wake.wait(seconds)
        self._wake.clear()
