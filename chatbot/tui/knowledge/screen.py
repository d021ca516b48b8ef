"""F4: the user's folders, their documents and passages, a query to try, and a map.

Puts the panes together and opens passages; each pane asks for what it shows.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Literal

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import TabbedContent, TabPane, Tabs

from chatbot.conversation.found_sources import as_source
from chatbot.conversation.knowledge import Knowledge
from chatbot.messages import Source
from chatbot.retrieval.values import Passage
from chatbot.terminal_text import clean_line
from chatbot.tui.keys import bind, with_keys
from chatbot.tui.knowledge.documents_pane import DocumentsPane
from chatbot.tui.knowledge.folders_pane import FoldersPane
from chatbot.tui.knowledge.map_pane import MapPane
from chatbot.tui.knowledge.passage_screen import PassageScreen
from chatbot.tui.knowledge.query_pane import QueryPane
from chatbot.tui.sidebar.setting_controls import Chooser

Pane = Literal["folders", "documents", "query", "map"]

PANES: Final[tuple[Pane, ...]] = ("folders", "documents", "query", "map")


class KnowledgeScreen(ModalScreen[None]):
    """Four tabs over the same folders; documents and map are of the folder chosen above them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", show=False),
        bind("knowledge", "dismiss", priority=True),
        bind("previous_pane", "pane(-1)", priority=True),
        bind("next_pane", "pane(1)", priority=True),
        Binding("down", "enter_pane", show=False),
    ]

    def __init__(self, knowledge: Knowledge) -> None:
        """Show these folders."""
        super().__init__()
        self._knowledge = knowledge
        self._folder = next(iter(knowledge.paths), "")
        self._chooser = Chooser(id="knowledge-folder", classes="chooser")
        self._folders = FoldersPane(knowledge)
        self._documents = DocumentsPane(knowledge.retrieval)
        self._query = QueryPane(knowledge)
        self._map = MapPane(knowledge)
        self._stop_watching: Callable[[], None] = lambda: None

    def compose(self) -> ComposeResult:
        with Vertical(id="knowledge") as box:
            box.border_title = "Knowledge"
            words = "{previous_pane} {next_pane} tabs · Esc close"
            box.border_subtitle = with_keys(self.app, words)
            with Horizontal(id="knowledge-head"):
                yield self._chooser
            with TabbedContent(initial="folders", id="knowledge-tabs"):
                with TabPane("Folders", id="folders"):
                    yield self._folders
                with TabPane("Documents", id="documents"):
                    yield self._documents
                with TabPane("Query", id="query"):
                    yield self._query
                with TabPane("Map", id="map"):
                    yield self._map

    def on_mount(self) -> None:
        self._stop_watching = self._knowledge.on_change(self._folders_changed)
        self.query_one(Tabs).can_focus = False  # its keys would be the panes' own
        self._folders_changed()

    def on_unmount(self) -> None:
        self._stop_watching()

    def _folders_changed(self) -> None:
        """Show how the folders stand now."""
        if not self.is_attached:
            return
        self._folders.show_folders()
        self._query.show_work()
        if self._folder not in self._knowledge.paths:
            self._folder = next(iter(self._knowledge.paths), "")
            self._show_folder()
        self._chooser.show_choice(clean_line(self._name_of(self._folder), 60))

    def _name_of(self, path: str) -> str:
        names = (state.name for state in self._knowledge.folders if state.path == path)
        return next(names, "none")

    @on(Chooser.Stepped)
    def _step_folder(self, event: Chooser.Stepped) -> None:
        event.stop()
        paths = self._knowledge.paths
        if paths:
            index = paths.index(self._folder) if self._folder in paths else -1
            self._choose(paths[(index + event.direction) % len(paths)])

    @on(FoldersPane.Chosen)
    def _open_folder(self, event: FoldersPane.Chosen) -> None:
        event.stop()
        self._choose(event.path)
        self.show_pane("documents")

    def _choose(self, path: str) -> None:
        self._folder = path
        self._chooser.show_choice(clean_line(self._name_of(path), 60))
        self._show_folder()

    @property
    def pane(self) -> str:
        """The tab that is shown."""
        return self.query_one(TabbedContent).active

    def show_pane(self, pane: Pane) -> None:
        """Show a tab."""
        self.query_one(TabbedContent).active = pane

    def action_pane(self, step: int) -> None:
        """Go to the next tab, or the one before."""
        index = PANES.index(self.pane) if self.pane in PANES else 0
        self.show_pane(PANES[(index + step) % len(PANES)])

    @on(TabbedContent.TabActivated)
    def _activated(self, event: TabbedContent.TabActivated) -> None:
        event.stop()
        head = self.query_one("#knowledge-head")
        head.display = self.pane in ("documents", "map") and len(self._knowledge.paths) > 1
        self._show_folder()
        self.action_enter_pane()

    def action_enter_pane(self) -> None:
        """Let the keys go to the tab that is shown."""
        panes: dict[str, FoldersPane | DocumentsPane | QueryPane | MapPane] = {
            "folders": self._folders,
            "documents": self._documents,
            "query": self._query,
            "map": self._map,
        }
        panes[self.pane].take_focus()

    def _show_folder(self) -> None:
        """Show the chosen folder where the tab is about one."""
        if self._folder and self.pane == "documents":
            self._documents.show_folder(self._folder)
        elif self._folder and self.pane == "map":
            self._map.show_folder(self._folder)

    def action_close(self) -> None:
        """Leave the line that a folder is typed in, or the screen."""
        if not self._folders.end_adding():
            self.dismiss(None)

    # Passages

    @on(DocumentsPane.PassageChosen)
    def _open_passage(self, event: DocumentsPane.PassageChosen) -> None:
        event.stop()
        self._open([self._source(p) for p in event.passages], event.index)

    @on(MapPane.PassageChosen)
    def _open_point(self, event: MapPane.PassageChosen) -> None:
        event.stop()
        self._open([self._source(event.passage)], 0)

    @on(QueryPane.SourceChosen)
    def _open_source(self, event: QueryPane.SourceChosen) -> None:
        event.stop()
        self._open(event.sources, event.index, event.words)

    def _open(
        self, sources: Sequence[Source], index: int, words: frozenset[str] = frozenset()
    ) -> None:
        labels = [str(number) for number in range(1, len(sources) + 1)]
        open_source = self._knowledge.open_source
        self.app.push_screen(PassageScreen(sources, index, open_source, words=words, labels=labels))

    def _source(self, passage: Passage) -> Source:
        """A passage as the viewer takes it."""
        title = passage.heading_path or clean_line(passage.file, 1000)
        return msgspec.structs.replace(as_source(passage), title=title)
