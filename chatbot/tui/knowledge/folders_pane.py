"""The folders: how far each is, and all that can be done to them.

Works through the conversation's ``Knowledge``; draws what that says.
"""

import asyncio
import os
from pathlib import Path
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from chatbot.conversation.folders import FolderState
from chatbot.conversation.knowledge import Knowledge
from chatbot.errors import ChatbotError
from chatbot.terminal_text import is_safe
from chatbot.tui.keys import bind, with_keys
from chatbot.tui.knowledge.folder_rows import folder_rows

HINTS: Final = (
    "{switch_folder} on or off · {add_folder} add · {reindex_folder} anew · {cancel_index} stop · "
    "{remove_folder} remove · Enter documents"
)


class FoldersPane(Vertical):
    """A list of the folders, and a line to add one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("add_folder"),
        bind("switch_folder"),
        bind("remove_folder"),
        bind("reindex_folder"),
        bind("cancel_index"),
    ]

    class Chosen(Message):
        """The user wants to see the documents of a folder."""

        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

    def __init__(self, knowledge: Knowledge) -> None:
        super().__init__(id="folders-pane")
        self._knowledge = knowledge
        self._states: tuple[FolderState, ...] = ()
        self._list = OptionList(id="folder-list", markup=False)
        self._input = Input(
            placeholder="A folder to add: ~/notes", id="folder-path", suggester=FolderSuggester()
        )
        self._foot = Static("", classes="pane-foot", markup=False)

    def compose(self) -> ComposeResult:
        yield self._list
        yield self._input
        yield self._foot

    def on_mount(self) -> None:
        self._input.display = False
        self._say_hint(HINTS)

    def take_focus(self) -> None:
        """Let the user's keys come here."""
        self._list.focus()

    def on_resize(self) -> None:
        self.show_folders()

    def show_folders(self) -> None:
        """Show how the folders stand now."""
        width = self._list.scrollable_content_region.width - 2
        if width <= 0:
            return
        self._states = self._knowledge.folders
        highlighted = self._list.highlighted
        rows = [Option(folder_rows(state, width)) for state in self._states]
        self._list.set_options(rows)
        if rows:
            self._list.highlighted = min(highlighted or 0, len(rows) - 1)
        elif not self._input.display:
            self._say_hint("No folder is searched; {add_folder} adds one.")

    @property
    def _chosen(self) -> FolderState | None:
        index = self._list.highlighted
        return self._states[index] if index is not None and index < len(self._states) else None

    def action_add_folder(self) -> None:
        """Have a path typed."""
        self._input.display = True
        self.screen.set_focus(self._input)
        self._say("→ complete · Enter add · Esc back")

    def end_adding(self) -> bool:
        """Put the line away; returns whether it was there."""
        if not self._input.display:
            return False
        self._input.value = ""
        self._input.display = False
        self._say_hint(HINTS)
        self._list.focus()
        return True

    @on(Input.Submitted, "#folder-path")
    def _add(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            state = self._knowledge.add_folder(event.value)
        except ChatbotError as error:
            self._say(f"✗ {error}")
            return
        self.end_adding()
        self.show_folders()
        self._list.highlighted = len(self._states) - 1
        self._say(f"{state.name} is searched from now on.")

    def action_switch_folder(self) -> None:
        """Search the folder, or no longer."""
        if state := self._chosen:
            try:
                self._knowledge.switch_folder(state.folder.path, is_on=not state.folder.is_on)
            except ChatbotError as error:
                self._say(f"✗ {error}")
            self.show_folders()

    def action_remove_folder(self) -> None:
        """Take the folder out of the list."""
        if state := self._chosen:
            try:
                self._knowledge.remove_folder(state.folder.path)
                self._say(f"{state.name} is not searched any more; its files are as they were.")
            except ChatbotError as error:
                self._say(f"✗ {error}")
            self.show_folders()

    def action_reindex_folder(self) -> None:
        """Delete the folder's index, and make it anew."""
        if state := self._chosen:
            self._reindex(state)

    @work(exclusive=True, group="reindex")
    async def _reindex(self, state: FolderState) -> None:
        try:
            await self._knowledge.retrieval.forget(state.path)
        except ChatbotError as error:
            self._say(f"✗ {error}")
            return
        self._knowledge.settings_changed()
        self._say(f"{state.name} is indexed anew.")

    def action_cancel_index(self) -> None:
        """Stop indexing."""
        self._knowledge.retrieval.cancel_index()
        self._say_hint("Indexing is stopped; what is indexed stays. {reindex_folder} begins anew.")

    @on(OptionList.OptionSelected)
    def _open(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if state := self._chosen:
            self.post_message(self.Chosen(state.path))

    def _say_hint(self, words: str) -> None:
        """Say something in which actions are named by their keys."""
        self._say(with_keys(self.app, words))

    def _say(self, text: str) -> None:
        self._foot.update(text)


class FolderSuggester(Suggester):
    """Completes the path of a folder as far as the file system knows one."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The first folder, by name, that ``value`` is the beginning of."""
        return await asyncio.to_thread(completed_folder, value)


def completed_folder(text: str) -> str | None:
    """``text`` completed to the first folder, by name, that begins so; None where none does."""
    head, slash, tail = text.rpartition("/")
    if not slash and not text.startswith("~"):
        head = "."
    if not slash and text.startswith("~"):
        return f"{text}/" if text == "~" else None
    try:
        with os.scandir(Path(head or "/").expanduser()) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if entry.name.startswith(tail)
                and (tail.startswith(".") or not entry.name.startswith("."))
                and is_safe(entry.name)
                and entry.is_dir()
            )
    except (OSError, RuntimeError, ValueError):
        return None
    if not names:
        return None
    return f"{head}/{names[0]}/" if slash else f"{names[0]}/"
