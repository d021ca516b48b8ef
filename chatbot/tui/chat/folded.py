"""What stands in an answer folded, until the user wants to see all of it. Draws lines."""

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget


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
