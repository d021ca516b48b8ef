"""What is said in passing: each sentence once while it stands there, and no more at a time than
leaves the chat in sight.

Knows nothing of what it is about.
"""

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from textual.app import App
from textual.notifications import SeverityLevel
from textual.screen import Screen

ResultT = TypeVar("ResultT")

NOTICE_SECONDS = 10.0
"""So long a notice stands there, unless it is taken away."""

MOST_NOTICES = 3
"""So many stand there at once; the oldest ones give way, before they cover the chat."""

KEY_REPEAT_SECONDS = 0.2
"""A notice takes no longer to stand there."""


class NoticingApp(App[int]):
    """An app that says things in passing."""

    def __init__(self) -> None:
        super().__init__()
        self._said = ("", 0.0)
        """The last notice, and when it was given."""

    def tell(self, sentence: str) -> None:
        """Say something in passing."""
        self.notify(sentence, markup=False)

    def warn(self, sentence: str) -> None:
        """Say what the user may want to look at."""
        self._say_once(sentence, "warning")

    def refuse(self, sentence: str) -> None:
        """Say what went wrong."""
        self._say_once(sentence, "error")

    def open_screen(
        self, screen: Screen[ResultT], callback: Callable[[ResultT | None], None] | None = None
    ) -> None:
        """Show a screen over this one, and no notice any more, which was about what is here."""
        self.clear_notifications()
        self.push_screen(screen, callback)

    def _refresh_notifications(self) -> None:
        for oldest in [*self._notifications][:-MOST_NOTICES]:
            del self._notifications[oldest]
        super()._refresh_notifications()

    def _say_once(self, sentence: str, severity: SeverityLevel) -> None:
        """Say it, unless it stands there still, or is about to."""
        last, self._said = self._said, (sentence, monotonic())
        is_on_its_way = last[0] == sentence and monotonic() - last[1] < KEY_REPEAT_SECONDS
        if not is_on_its_way and all(n.message != sentence for n in self._notifications):
            self.notify(sentence, severity=severity, timeout=NOTICE_SECONDS, markup=False)
