"""What stands in an answer folded, until the user wants to see all of it. Draws lines."""

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.terminal_text import clean


class Folded(Widget):
    """As many lines as it says. A click opens and closes it."""

    is_open: reactive[bool] = reactive(False, layout=True)

    def toggle(self) -> None:
        """Open it, or close it."""
        self.is_open = not self.is_open

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.toggle()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self.lines(max(width, 1)))

    def render(self) -> Content:
        return Content("\n").join(self.lines(max(self.size.width, 1)))

    def lines(self, width: int) -> list[Content]:
        """What is shown in ``width`` cells."""
        raise NotImplementedError


def toggle_all(folded: Sequence[Folded]) -> None:
    """Open all of them, or close them where all are open."""
    are_open = all(one.is_open for one in folded)
    for one in folded:
        one.is_open = not are_open


def first_lines(text: str, most: int, width: int, style: str = "") -> tuple[list[Content], bool]:
    """The beginning of a text, cleaned, with a bar before each line.

    Args:
        text: may be long, and in one line: only as much is laid out as can be shown.
        most: lines to show.
        width: cells of a line, the bar's included.
        style: of the text.

    Returns:
        The lines, and whether there is more.
    """
    lines: list[Content] = []
    shown = clean(text[: most * width * 2])
    for line in shown.splitlines()[: most + 1]:
        lines += Content.styled(line or " ", style).wrap(max(width - 2, 1))
    has_more = len(lines) > most or len(shown) < len(text)
    return [Content.assemble(("│ ", "dim"), line) for line in lines[:most]], has_more
