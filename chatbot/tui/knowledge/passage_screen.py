"""The passage viewer: a source where it stands in its document.

Goes through the sources that it is given; reads documents through the one function that it is
given. Decides nothing.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from chatbot.errors import ChatbotError
from chatbot.messages import Source
from chatbot.retrieval.values import DocumentText
from chatbot.terminal_text import clean_line
from chatbot.tui.chat.source_lines import place_in_words
from chatbot.tui.keys import bind, with_keys
from chatbot.tui.knowledge.document_view import DocumentView
from chatbot.tui.knowledge.passage_place import find_passage

OpenSource = Callable[[Source], Awaitable[DocumentText]]
"""Reads the document that a source is from."""

CHANGED = "The document has changed since; this is where the passage stands now."
GONE = "The document has changed since, and the passage is not in it any more; this is the passage."


class PassageScreen(ModalScreen[None]):
    """One source after another, each in its document."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close", show=False),
        bind("next_source", "step(1)"),
        bind("previous_source", "step(-1)"),
        bind("copy_passage"),
        bind("edit_document"),
    ]

    def __init__(
        self,
        sources: Sequence[Source],
        index: int,
        open_source: OpenSource,
        *,
        words: Collection[str] = (),
        labels: Sequence[str] = (),
    ) -> None:
        """Make the viewer.

        Args:
            sources: what can be gone through.
            index: the one to begin with.
            open_source: reads a source's document.
            words: emphasised in the passage, in lower case.
            labels: how each source is called, ``[1]``; by default their numbers.
        """
        super().__init__()
        self._sources = tuple(sources)
        self._index = index
        self._open_source = open_source
        self._words = words
        self._labels = tuple(labels) or tuple(f"[{i}]" for i in range(1, len(sources) + 1))
        self._view = DocumentView(id="passage-text")
        self._headings = Static("", id="passage-headings", markup=False)
        self._notice = Static("", id="passage-notice", markup=False)

    def compose(self) -> ComposeResult:
        with Vertical(id="passage"):
            yield self._headings
            yield self._notice
            yield self._view

    def on_mount(self) -> None:
        self._view.focus()
        self._show()

    @property
    def source(self) -> Source:
        """The one that is shown."""
        return self._sources[self._index]

    @work(exclusive=True, group="passage")
    async def _show(self) -> None:
        source = self.source
        box = self.query_one("#passage")
        box.border_title = Content(f"{self._labels[self._index]} {place_in_words(source)}")
        count = f"{self._index + 1} of {len(self._sources)}"
        steps = f"{{previous_source}} {{next_source}} {count} · " if self._sources[1:] else ""
        words = f"{steps}{{up}} {{down}} scroll · {{copy_passage}} copy · {{edit_document}} edit"
        box.border_subtitle = Content(with_keys(self.app, f"{words} · Esc close"))
        self._headings.update(Content.styled(clean_line(source.title), "bold $text-primary"))
        self._say("")
        try:
            document = await self._open_source(source)
        except ChatbotError as error:
            self._say(f"{error} This is the passage as it was found.")
            self._view.show(source.text, (0, len(source.text)), words=self._words)
            return
        found = find_passage(document.text, source)
        if found is None:
            self._say(GONE)
            self._view.show(source.text, (0, len(source.text)), words=self._words)
            return
        if found[0] != source.start:
            self._say(CHANGED)
        self._view.show(document.text, found, words=self._words, page_starts=document.page_starts)

    def _say(self, sentence: str) -> None:
        self._notice.display = bool(sentence)
        self._notice.update(f"▲ {sentence}")

    def action_step(self, step: int) -> None:
        """Go to the next source, or the one before."""
        if len(self._sources) > 1:
            self._index = (self._index + step) % len(self._sources)
            self._show()

    def action_copy_passage(self) -> None:
        """Put the passage on the clipboard."""
        self.app.copy_to_clipboard(self.source.text)
        self.notify(f"Copied {len(self.source.text):,} characters.")

    @work(group="editor")
    async def action_edit_document(self) -> None:
        """Open the document itself in the user's editor, at the passage."""
        from chatbot.tui.external_editor import open_document, terminal_given_away

        try:
            with terminal_given_away(self.app):
                await open_document(self.source.folder, self.source.file, self.source.start_line)
        except ChatbotError as error:
            self.notify(str(error), severity="error", timeout=10, markup=False)
        self._show()
