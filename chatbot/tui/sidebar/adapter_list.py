"""The LoRA adapters in the sidebar: one line each, switched, weighted and taken out there.

Draws what it is told, and posts what the user wants. Knows no engine.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from chatbot.terminal_text import clean_line
from chatbot.tui.sidebar.row_list import RowList, switch_line

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


class AdapterList(RowList[AdapterRow]):
    """The adapters; arrows change the weight of the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,minus", "weigh(-1)", show=False),
        Binding("right,plus", "weigh(1)", show=False),
        Binding("delete", "remove", show=False),
    ]

    HINT = "Space on, off · ←→ weight · Delete"

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

    def line(self, row: AdapterRow, width: int) -> Content:
        """See ``RowList``."""
        return switch_line(row.name, f"x {row.weight:g}", "$text-success", width, is_on=row.is_on)

    def switch(self, row: AdapterRow) -> None:
        """See ``RowList``."""
        self._change(msgspec.structs.replace(row, is_on=not row.is_on))

    def action_weigh(self, direction: int) -> None:
        """Have more of the adapter under the cursor, or less."""
        if row := self.chosen:
            weight = round(row.weight + direction * STEP, 2)
            self._change(msgspec.structs.replace(row, weight=weight))

    def _change(self, row: AdapterRow) -> None:
        """Show it at once, so that the next key begins where this one led to."""
        self.rows = tuple(row if other.path == row.path else other for other in self.rows)
        self.post_message(self.Changed(row))

    def action_remove(self) -> None:
        """Take the adapter under the cursor out of the list."""
        if row := self.chosen:
            self.post_message(self.Removed(row.path))


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
