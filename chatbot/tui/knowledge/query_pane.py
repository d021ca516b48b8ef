"""A query tried on the folders: what is found as one types, and why it ranks as it does.

Searches through the conversation's ``Knowledge``, as a question would.
"""

import asyncio
from typing import Final

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static

from chatbot.conversation.knowledge import Knowledge
from chatbot.errors import ChatbotError
from chatbot.messages import Source, SourcesPart
from chatbot.terminal_text import clean, clean_line
from chatbot.tui.chat.emphasis import emphasised, words_of
from chatbot.tui.knowledge.folder_rows import work_words
from chatbot.tui.knowledge.ranking_list import RankingList, heading_row
from chatbot.wording import elapsed

TYPING_SECONDS: Final = 0.15
"""After so long without a key, what is typed is searched for."""

_EMPTY: Final = "What is typed is searched for as a question would be."


class QueryPane(Vertical):
    """A line to type in, the ranking, and the passage that the cursor is on."""

    class SourceChosen(Message):
        """The user wants to see a passage in its document."""

        def __init__(self, sources: tuple[Source, ...], index: int, words: frozenset[str]) -> None:
            super().__init__()
            self.sources = sources
            self.index = index
            self.words = words

    def __init__(self, knowledge: Knowledge) -> None:
        super().__init__(id="query-pane")
        self._knowledge = knowledge
        self._is_searching = False
        self._words: frozenset[str] = frozenset()
        self._facts: Content | None = None
        """What the search came to; None while there is something else to say."""
        self._input = Input(
            placeholder="Ask, or name what you look for", compact=True, id="query-text"
        )
        self._heading = Static("", id="ranking-heading", markup=False)
        self._list = RankingList()
        self._text = Static("", id="ranking-text", markup=False)
        self._foot = Static("", classes="pane-foot", markup=False)

    def compose(self) -> ComposeResult:
        yield self._input
        yield self._heading
        yield self._list
        yield self._text
        yield self._foot

    def on_mount(self) -> None:
        self._foot.update(_EMPTY)

    def show_work(self) -> None:
        """Say how far the folders are that a search waits for, where one does."""
        if self._is_searching:
            work = work_words(self._knowledge.statuses)
            self._foot.update(" · ".join(filter(None, ("searching…", work))))

    def take_focus(self) -> None:
        """Let the user's keys come here."""
        self._input.focus()

    @on(Input.Changed, "#query-text")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._search(event.value)

    @on(Input.Submitted, "#query-text")
    def _to_list(self, event: Input.Submitted) -> None:
        event.stop()
        if self._list.sources:
            self._list.focus()

    @work(exclusive=True, group="query")
    async def _search(self, query: str) -> None:
        await asyncio.sleep(TYPING_SECONDS)
        found = SourcesPart(())
        if query.strip():
            # The first search of a run waits for a process, and for folders that are being read.
            self._facts = None
            self._is_searching = True
            self.show_work()
            try:
                found = await self._knowledge.search(query)
            except ChatbotError as error:
                self._foot.update(Content.styled(f"✗ {error}", "$text-error"))
                return
            finally:
                self._is_searching = False
        self._words = words_of(query)
        self._list.show(found)
        self._show_heading()
        self._preview()
        self._facts = _facts(found, query)
        self._show_facts()

    @on(events.DescendantFocus)
    def _show_facts(self) -> None:
        if self._facts is None:
            return
        hint = " · Enter open" if self._list.has_focus else " · Enter to the hits"
        self._foot.update(Content.assemble(self._facts, hint if self._list.sources else ""))

    def on_resize(self) -> None:
        self._show_heading()

    def _show_heading(self) -> None:
        width = self._list.scrollable_content_region.width
        is_reranked = any(s.scores.reranked is not None for s in self._list.sources)
        heading = Content("")
        if self._list.sources:
            heading = heading_row(width, is_reranked=is_reranked)
        self._heading.display = bool(heading)
        self._heading.update(heading)

    @on(OptionList.OptionHighlighted)
    def _preview(self) -> None:
        source = self._list.chosen
        if source is None:
            self._text.update("")
            return
        title = Content.styled(clean_line(source.title), "bold $text-primary")
        self._text.update(
            Content.assemble(title, "\n", emphasised(clean(source.text), self._words))
        )

    @on(OptionList.OptionSelected)
    def _open(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.SourceChosen(self._list.sources, event.option_index, self._words))


def _facts(found: SourcesPart, query: str) -> Content:
    """What the search came to, in a line."""
    if not query.strip():
        return Content(_EMPTY)
    notice = (f"▲ {clean_line(found.notice)} · ", "$text-warning") if found.notice else ""
    count = len(found.sources) + len(found.candidates)
    facts = (
        f"{count} passages, {len(found.sources)} would be used · threshold {found.threshold:.2f} · "
        f"{elapsed(found.seconds)}"
    )
    return Content.assemble(notice, facts)
