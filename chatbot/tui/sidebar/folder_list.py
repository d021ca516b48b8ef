"""The knowledge folders in the sidebar: one line each, that switches the folder on and off.

Draws what it is told, and posts what the user wants. Knows no retrieval.
"""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.conversation.folders import FolderState
from chatbot.tui.knowledge.folder_rows import folder_line

HINT = "F4 documents, searches, a map"


class FolderList(Widget, can_focus=True):
    """The folders; Space, Enter and clicks switch the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("space,enter", "switch", show=False),
    ]

    states: reactive[tuple[FolderState, ...]] = reactive((), layout=True)
    cursor: reactive[int] = reactive(0)

    class Switched(Message):
        """The user wants a folder searched, or no longer."""

        def __init__(self, path: str, *, is_on: bool) -> None:
            super().__init__()
            self.path = path
            """As the folder is listed in the settings."""
            self.is_on = is_on

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(max(width, 1)))

    def render(self) -> Content:
        return Content("\n").join(self._lines(max(self.size.width, 1)))

    def _lines(self, width: int) -> list[Content]:
        lines = [folder_line(state, width) for state in self.states]
        if self.has_focus and self.cursor < len(lines):
            lines[self.cursor] = lines[self.cursor].stylize("on $primary 30%")
        if not lines:
            lines = [Content.styled("no folder: F4 adds one", "dim")]
        return [*lines, Content.styled(HINT, "dim")]

    def show_folders(self, states: Sequence[FolderState]) -> None:
        """Show how the folders stand."""
        self.states = tuple(states)
        self.cursor = min(self.cursor, max(len(states) - 1, 0))

    def action_move(self, step: int) -> None:
        """Go up or down the list."""
        self.cursor = min(max(self.cursor + step, 0), max(len(self.states) - 1, 0))

    def action_switch(self) -> None:
        """Search the folder under the cursor, or no longer."""
        if self.cursor < len(self.states):
            folder = self.states[self.cursor].folder
            self.post_message(self.Switched(folder.path, is_on=not folder.is_on))

    def on_click(self, event: events.Click) -> None:
        if event.y < len(self.states):
            event.stop()
            self.cursor = event.y
            self.action_switch()
