"""What the slash command that is being typed could become."""

from collections.abc import Callable, Sequence
from typing import Final

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from chatbot.conversation.commands import Completion, common_line

FEWEST_SHOWN: Final = 6
MOST_SHOWN: Final = 14

MOST_ALIGNED: Final = 26
"""Cells of what the explanations stand behind one below the other."""


class CommandHints(Static):
    """A few lines above the prompt; nothing while no command is being typed."""

    def __init__(self, find: Callable[[str], Sequence[Completion]]) -> None:
        """Make the lines.

        Args:
            find: every way to go on with a text.
        """
        super().__init__(id="hints")
        self._find = find
        self._text = ""
        self._found: Sequence[Completion] = ()
        self._chosen: int | None = None

    @property
    def longer(self) -> str | None:
        """The text as far as it is certain; None when there is nothing to add."""
        if self._chosen is not None or not self._found:
            return None
        line = common_line(self._found, self._text)
        return line if line != self._text else None

    def show_for(self, text: str) -> None:
        """Show what ``text`` could become."""
        if self._chosen is not None and text == self._found[self._chosen].line:
            return  # it is one of those that are shown
        self._chosen = None
        self._text, self._found = text, self._find(text)
        self._show()

    def choose(self, step: int) -> str | None:
        """Mark the next one (1) or the one before (-1); returns its text, None: there is none."""
        num_found = len(self._found)
        if num_found == 0 or (num_found == 1 and self._found[0].line == self._text):
            return None
        if self._chosen is None:
            self._chosen = 0 if step > 0 else num_found - 1
        else:
            self._chosen = (self._chosen + step) % num_found
        self._show()
        return self._found[self._chosen].line

    def put_away(self) -> None:
        """Show nothing, until something else is typed or completed."""
        self._found, self._chosen = (), None
        self._show()

    def _show(self) -> None:
        found = self._found
        self.display = bool(found)
        if not found:
            return  # or the whole screen would be laid out for each key
        room = min(max(FEWEST_SHOWN, self.app.size.height // 3), MOST_SHOWN)
        first = min(max((self._chosen or 0) - room // 2, 0), max(len(found) - room, 0))
        shown = range(first, min(first + room, len(found)))
        width = min(max(cell_len(found[n].shown) for n in shown), MOST_ALIGNED)
        lines = [self._line(n, width) for n in shown]
        num_others = len(found) - len(lines)
        if num_others:
            lines.append(Content.styled(f"… {num_others} more · Tab or ↓ goes through them", "dim"))
        self.update(Content("\n").join(lines))

    def _line(self, number: int, width: int) -> Content:
        completion = self._found[number]
        shown = Content.styled(completion.shown, "b $accent")
        if number == self._chosen:
            shown = Content.styled(completion.shown, "b reverse $accent")
        gap = " " * max(width + 2 - shown.cell_length, 1)
        return Content.assemble(shown, gap, Content.styled(completion.help, "dim"))
