"""The questions that were sent while an answer is being written, above the prompt.

Holds and shows them; when each is asked is the app's to say.
"""

from typing import TYPE_CHECKING, Final

from textual.content import Content
from textual.widgets import Static

from chatbot.wording import counted

if TYPE_CHECKING:
    from chatbot.tui.prompt import Sent

MOST_SHOWN: Final = 3
"""Questions, a line each; further ones are counted."""


class WaitingQuestions(Static):
    """A line for each question that waits; nothing while none does."""

    def __init__(self, key: str) -> None:
        """Make the lines.

        Args:
            key: what takes the last question back, as a person reads it.
        """
        super().__init__(id="waiting")
        self._key = key
        self._waiting: list[Sent] = []

    @property
    def texts(self) -> list[str]:
        """What waits, in its order."""
        return [one.text for one in self._waiting]

    def add(self, question: "Sent") -> None:
        """Have a question wait behind the others."""
        self._waiting.append(question)
        self._show()

    def take_first(self) -> "Sent | None":
        """The one that is to be asked next, which waits no longer; None where none does."""
        return self._take(0)

    def take_last(self) -> "Sent | None":
        """The one that was sent last, which waits no longer; None where none does."""
        return self._take(-1)

    def _take(self, index: int) -> "Sent | None":
        if not self._waiting:
            return None
        taken = self._waiting.pop(index)
        self._show()
        return taken

    def _show(self) -> None:
        self.display = bool(self._waiting)
        rows = [("next", " ".join(one.text.split())) for one in self._waiting[:MOST_SHOWN]]
        if others := self._waiting[MOST_SHOWN:]:
            rows.append(("and", counted(len(others), "other")))
        hints = [*[" "] * (len(rows) - 1), f" · {self._key} takes it back · "]
        lines = [
            Content.assemble((word, "b"), (hint, "dim"), text)
            for (word, text), hint in zip(rows, hints, strict=False)
        ]
        self.update(Content("\n").join(lines))
