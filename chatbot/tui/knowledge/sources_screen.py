"""All that was found for one answer, and why each passage stands where it does.

Shows what the answer was kept with; searches nothing.
"""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from chatbot.messages import SourcesPart
from chatbot.terminal_text import clean, clean_line
from chatbot.tui.chat.emphasis import emphasised, words_of
from chatbot.tui.keys import bind
from chatbot.tui.knowledge.passage_screen import OpenSource, PassageScreen
from chatbot.tui.knowledge.ranking_list import VERDICTS, RankingList, heading_row
from chatbot.wording import elapsed


class SourcesScreen(ModalScreen[None]):
    """A ranking, and below it the passage that the cursor is on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close", show=False),
        bind("sources", "dismiss"),
    ]

    def __init__(self, found: SourcesPart, open_source: OpenSource) -> None:
        """Make the screen.

        Args:
            found: what an answer was kept with.
            open_source: reads a source's document.
        """
        super().__init__()
        self._found = found
        self._open_source = open_source
        self._words = words_of(found.query)
        self._heading = Static("", id="ranking-heading", markup=False)
        self._list = RankingList()
        self._text = Static("", id="ranking-text", markup=False)

    def compose(self) -> ComposeResult:
        found = self._found
        with Vertical(id="sources") as box:
            box.border_title = "Sources"
            box.border_subtitle = "Enter open · Esc close"
            yield Static(_summary(found), id="sources-summary", markup=False)
            yield self._heading
            yield self._list
            yield self._text

    def on_mount(self) -> None:
        self._list.show(self._found)
        self._list.focus()

    def on_resize(self) -> None:
        is_reranked = any(s.scores.reranked is not None for s in self._list.sources)
        width = self._list.scrollable_content_region.width
        heading = heading_row(width, is_reranked=is_reranked)
        self._heading.display = bool(heading) and bool(self._list.sources)
        self._heading.update(heading)

    @on(OptionList.OptionHighlighted)
    def _preview(self) -> None:
        source = self._list.chosen
        self._text.update(emphasised(clean(source.text), self._words) if source else "")

    @on(OptionList.OptionSelected)
    def _open(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.app.push_screen(
            PassageScreen(
                self._list.sources,
                event.option_index,
                self._open_source,
                words=self._words,
                labels=[
                    f"{VERDICTS[s.verdict][0]} {i} {VERDICTS[s.verdict][1]}"
                    for i, s in enumerate(self._list.sources, 1)
                ],
            )
        )


def _summary(found: SourcesPart) -> Content:
    """What was searched for, and what came of it."""
    num_seen = len(found.sources) + sum(c not in found.sources for c in found.candidates)
    facts = f"{num_seen} passages · {len(found.sources)} used · threshold {found.threshold:.2f}"
    if found.seconds:
        facts += f" · {elapsed(found.seconds)}"
    notice = f"\n▲ {clean_line(found.notice)}" if found.notice else ""
    if not num_seen:
        notice += "\n○ Nothing was found."
    if found.is_declined:
        notice += "\n▲ Nothing was relevant enough, so the model was not asked."
    return Content.assemble(
        ("? ", "bold $text-primary"),
        (clean_line(found.query), "bold"),
        (f"\n{facts}", "dim"),
        (notice, "$text-warning"),
    )
