"""Ends an answer before a stop string, however the text is cut into pieces."""

from collections.abc import Iterable


class StopStrings:
    """Holds back text that may be the start of a stop string, until it is known."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.is_stopped = False
        """Whether a stop string has occurred; nothing is let through after it."""

    def push(self, text: str) -> str:
        """Take the next piece; returns what is certain to be part of the answer."""
        if self.is_stopped:
            return ""
        text = self._held + text
        cut = self._find(text)
        if cut is not None:
            self.is_stopped = True
            self._held = ""
            return text[:cut]
        keep = self._length_to_hold(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """The answer has ended: returns what was held back, now known to be part of it."""
        held, self._held = self._held, ""
        return held

    def _find(self, text: str) -> int | None:
        """Where the stop string starts that is complete first, so as if read by letters."""
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        return min(found)[1] if found else None

    def _length_to_hold(self, text: str) -> int:
        """Length of the longest end of ``text`` that a stop string begins with."""
        for length in range(min(len(text), max(map(len, self._stops), default=1) - 1), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
