"""The LoRA adapters in the sidebar: one line each, switched, weighted and taken out there.

Draws what it is told, and posts what the user wants. Knows no engine.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec
from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input

from chatbot.terminal_text import clean_line
from chatbot.tui.chat.source_lines import fitted
from chatbot.tui.knowledge.folder_rows import OFF, ON

HINT: Final = "Space on, off · ←→ weight · Delete"

STEP: Final = 0.1
"""By how much a key changes a weight."""


class AdapterRow(msgspec.Struct, frozen=True, kw_only=True):
    """One adapter, as the user has it."""

    path: str
    weight: float
    is_on: bool = True
    """Else it is only kept in the list."""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return clean_line(self.path.rstrip("/").rpartition("/")[2], 80) or clean_line(self.path, 80)


class AdapterList(Widget, can_focus=True):
    """The adapters; Space and Enter switch the one under the cursor, arrows change its weight."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("space,enter", "switch", show=False),
        Binding("left,minus", "weigh(-1)", show=False),
        Binding("right,plus", "weigh(1)", show=False),
        Binding("delete", "remove", show=False),
    ]

    rows: reactive[tuple[AdapterRow, ...]] = reactive((), layout=True)
    cursor: reactive[int] = reactive(0)

    class Changed(Message):
        """The user wants an adapter otherwise than it is."""

        def __init__(self, row: AdapterRow) -> None:
            super().__init__()
            self.row = row

    class Removed(Message):
        """The user wants an adapter taken out of the list."""

        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(max(width, 1)))

    def render(self) -> Content:
        return Content("\n").join(self._lines(max(self.size.width, 1)))

    def _lines(self, width: int) -> list[Content]:
        lines = [_line(row, width) for row in self.rows]
        if self.has_focus and self.cursor < len(lines):
            lines[self.cursor] = lines[self.cursor].stylize("on $primary 30%")
        return [*lines, Content.styled(HINT, "dim")]

    def show_rows(self, rows: Sequence[AdapterRow]) -> None:
        """Show how the adapters stand."""
        self.rows = tuple(rows)
        self.cursor = min(self.cursor, max(len(rows) - 1, 0))

    @property
    def _chosen(self) -> AdapterRow | None:
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    def action_move(self, step: int) -> None:
        """Go up or down the list."""
        self.cursor = min(max(self.cursor + step, 0), max(len(self.rows) - 1, 0))

    def action_switch(self) -> None:
        """Have the adapter under the cursor on, or off."""
        if row := self._chosen:
            self._change(msgspec.structs.replace(row, is_on=not row.is_on))

    def action_weigh(self, direction: int) -> None:
        """Have more of the adapter under the cursor, or less."""
        if row := self._chosen:
            weight = round(row.weight + direction * STEP, 2)
            self._change(msgspec.structs.replace(row, weight=weight))

    def _change(self, row: AdapterRow) -> None:
        """Show it at once, so that the next key begins where this one led to."""
        self.rows = tuple(row if other.path == row.path else other for other in self.rows)
        self.post_message(self.Changed(row))

    def action_remove(self) -> None:
        """Take the adapter under the cursor out of the list."""
        if row := self._chosen:
            self.post_message(self.Removed(row.path))

    def on_click(self, event: events.Click) -> None:
        if event.y < len(self.rows):
            event.stop()
            self.cursor = event.y
            self.action_switch()


class AdapterPanel(Vertical):
    """The list, and below it a line in which another adapter's folder is typed."""

    class Added(Message):
        """The user wants another adapter."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text
            """A path, perhaps with ``=`` and a weight."""

    def __init__(self) -> None:
        super().__init__(id="adapters-in-force")
        self._list = AdapterList()
        self._list.display = False
        self._input = Input(compact=True, placeholder="add: the folder of a LoRA adapter")
        self._input.tooltip = "A folder that peft wrote; FOLDER=0.5 takes half of it."

    def compose(self) -> ComposeResult:
        yield self._list
        yield self._input

    def show_rows(self, rows: Sequence[AdapterRow]) -> None:
        """Show how the adapters stand."""
        self._list.show_rows(rows)
        self._list.display = bool(rows)

    @on(Input.Submitted)
    def _add(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            self._input.value = ""
            self.post_message(self.Added(event.value.strip()))


def _line(row: AdapterRow, width: int) -> Content:
    """``☑ pirate                      x 0.5``."""
    about = f"x {row.weight:g}"
    name = fitted(row.name, max(width - cell_len(about) - 3, 6))
    gap = " " * max(width - 2 - cell_len(name) - cell_len(about), 1)
    return Content.assemble(
        (f"{ON if row.is_on else OFF} ", "$text-accent"),
        (name, "" if row.is_on else "dim"),
        gap,
        (about, "$text-success" if row.is_on else "dim"),
    )
