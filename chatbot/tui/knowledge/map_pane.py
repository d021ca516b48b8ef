"""The map of a folder on the screen: a cursor goes from passage to passage.

Asks retrieval for the map and for the passages' texts; opens nothing itself.
"""

from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from chatbot.conversation.knowledge import Knowledge
from chatbot.errors import ChatbotError
from chatbot.retrieval.values import FolderMap, MapPoint, Passage
from chatbot.terminal_text import clean, clean_line
from chatbot.tui.keys import bind, with_keys
from chatbot.tui.knowledge.map_canvas import (
    cell_of,
    colour_of,
    draw_map,
    nearest_point,
    next_point,
    shape_of,
)

HINTS = "↑ ↓ ← → from passage to passage · {map_labels} keywords · Enter open"


class MapView(Widget, can_focus=True):
    """The canvas; the arrow keys and the mouse move its cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "go(-1, 0)", show=False),
        Binding("right", "go(1, 0)", show=False),
        Binding("up", "go(0, -1)", show=False),
        Binding("down", "go(0, 1)", show=False),
        bind("map_labels", "labels"),
        bind("open_passage", "open"),
    ]

    map: reactive[FolderMap | None] = reactive(None)
    cursor: reactive[int | None] = reactive(None)
    """Index of the point that is set off."""
    has_labels: reactive[bool] = reactive(True)

    class Moved(Message):
        """The cursor is on another passage."""

        def __init__(self, point: MapPoint) -> None:
            super().__init__()
            self.point = point

    class Opened(Message):
        """The user wants to see the passage in its document."""

    def render(self) -> Content:
        if self.map is None or not self.map.points:
            return Content("")
        return draw_map(
            self.map, self.size.width, self.size.height, self.cursor, has_labels=self.has_labels
        )

    def watch_cursor(self, cursor: int | None) -> None:
        if self.map and cursor is not None:
            self.post_message(self.Moved(self.map.points[cursor]))

    def action_go(self, x: int, y: int) -> None:
        """Go to the nearest passage in a direction."""
        if self.map and self.cursor is not None:
            width, height = self.size
            self.cursor = next_point(self.map.points, self.cursor, (x, y), width, height)

    def action_labels(self) -> None:
        """Show or hide the keywords, which cover passages."""
        self.has_labels = not self.has_labels

    def action_open(self) -> None:
        """Open the passage that the cursor is on."""
        if self.cursor is not None:
            self.post_message(self.Opened())

    def _point_at(self, x: int, y: int) -> int | None:
        """The passage that is there, or within three columns of it; a row counts for two."""
        if self.map is None or not self.map.points:
            return None
        width, height = self.size
        index = nearest_point(self.map.points, x, y, width, height)
        point = self.map.points[index]
        column, row = cell_of(point.x, point.y, width, height)
        return index if abs(column - x) + 2 * abs(row - y) <= 3 else None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        index = self._point_at(event.x, event.y)
        if index is not None:
            self.cursor = index

    def on_click(self, event: events.Click) -> None:
        index = self._point_at(event.x, event.y)
        if index is not None:
            self.cursor = index
            self.action_open()


class MapPane(Vertical):
    """The map, and below it the passage that the cursor is on."""

    class PassageChosen(Message):
        """The user wants to see a passage in its document."""

        def __init__(self, passage: Passage) -> None:
            super().__init__()
            self.passage = passage

    def __init__(self, knowledge: Knowledge) -> None:
        super().__init__(id="map-pane")
        self._knowledge = knowledge
        self._folder = ""
        self._passage: Passage | None = None
        self._texts: dict[str, tuple[Passage, ...]] = {}
        """Passages by file, of the files that the cursor was on."""
        self._view = MapView(id="map-view")
        self._about = Static("", id="map-about", markup=False)
        self._foot = Static("", classes="pane-foot", markup=False)

    def compose(self) -> ComposeResult:
        yield self._view
        yield self._about
        yield self._foot

    def on_mount(self) -> None:
        self._foot.update(with_keys(self.app, HINTS))

    def take_focus(self) -> None:
        """Let the user's keys come here."""
        self._view.focus()

    @work(exclusive=True, group="map")
    async def show_folder(self, folder: str) -> None:
        """Draw the map of a folder, an absolute path."""
        if folder == self._folder and self._view.map is not None:
            return
        self._folder, self._passage = folder, None
        self._texts.clear()
        self._view.cursor = self._view.map = None
        self._about.update("The map is being made…")
        try:
            folder_map = await self._knowledge.retrieval.make_map(folder, self._knowledge.options)
        except ChatbotError as error:
            self._about.update(Content.styled(f"✗ {error}", "$text-error"))
            return
        self._view.map = folder_map
        if folder_map.points:
            self._view.cursor = 0
        else:
            self._about.update("Nothing of this folder is embedded yet.")

    @on(MapView.Moved)
    def _moved(self, event: MapView.Moved) -> None:
        event.stop()
        self._show_point(event.point)

    @work(exclusive=True, group="point")
    async def _show_point(self, point: MapPoint) -> None:
        self._passage = None
        head = self._head(point)
        if point.file not in self._texts:
            self._about.update(head)
            try:
                self._texts[point.file] = await self._knowledge.retrieval.list_passages(
                    self._folder, point.file
                )
            except ChatbotError as error:
                self._about.update(Content.assemble(head, "\n", (f"✗ {error}", "$text-error")))
                return
        found = (p for p in self._texts[point.file] if p.start == point.start)
        self._passage = passage = next(found, None)
        if passage is not None:
            text = " ".join(clean(passage.text).split())
            self._about.update(Content.assemble(head, "\n", text[:600]))

    def _head(self, point: MapPoint) -> Content:
        """Which document the passage is of, and what its cluster is about."""
        colour = colour_of(point.cluster)
        parts: list[tuple[str, str]] = [
            (f"{shape_of(point.cluster)} ", f"bold {colour}"),
            (clean_line(point.file), "bold"),
        ]
        if self._view.map and 0 <= point.cluster < len(self._view.map.clusters):
            cluster = self._view.map.clusters[point.cluster]
            words = " · ".join(clean_line(word, 30) for word in cluster.keywords)
            parts += [(f"  {words}", colour), (f"  {cluster.num_passages} passages", "dim")]
        return Content.assemble(*parts)

    @on(MapView.Opened)
    def _open(self, event: MapView.Opened) -> None:
        event.stop()
        if self._passage is not None:
            self.post_message(self.PassageChosen(self._passage))
