"""How long the model has been thinking. Knows tokens and times, no text."""

from chatbot.tokens import Region


class Thought:
    """How long the last stretch of thinking is."""

    def __init__(self, *, is_begun: bool) -> None:
        """Begin; ``is_begun`` where the prompt has opened the thought already."""
        self.num_tokens = 0
        self.seconds = 0.0
        self._is_begun = is_begun
        """The prompt has opened it: the first token is part of it, and no mark."""
        self._start: float | None = None

    def note(self, region: Region, now: float) -> None:
        """Take note of a token after which the answer stands in ``region``."""
        if region != "thinking":
            self._start, self._is_begun = None, False
            return
        if self._start is None:
            self._start = now
            self.num_tokens = 0 if not self._is_begun else 1
        else:
            self.num_tokens += 1
        self.seconds = now - self._start
