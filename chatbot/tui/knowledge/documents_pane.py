"""The documents of a folder, those that could not be read too, and the passages of each.

Asks retrieval for both; opens nothing itself.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from chatbot.errors import ChatbotError
from chatbot.retrieval.client import Retrieval
from chatbot.retrieval.values import DocumentInfo, Passage, page_word, place_in
from chatbot.terminal_text import clean, clean_line
from chatbot.tui.drawing.cells import fitted
from chatbot.tui.keys import bind, with_keys
from chatbot.wording import counted, size

MOST_SHOWN: Final = 500
"""Documents in the list; whoever wants more types a part of the name."""


class DocumentsPane(Vertical):
    """A line to search names with, the documents, and the passages of the one chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("only_problems")]

    class PassageChosen(Message):
        """The user wants to see a passage in its document."""

        def __init__(self, passages: Sequence[Passage], index: int) -> None:
            super().__init__()
            self.passages = passages
            self.index = index

    def __init__(self, retrieval: Retrieval) -> None:
        super().__init__(id="documents-pane")
        self._retrieval = retrieval
        self._folder = ""
        self._documents: tuple[DocumentInfo, ...] = ()
        self._shown: list[DocumentInfo] = []
        self._passages: tuple[Passage, ...] = ()
        self._is_problems_only = False
        self._input = Input(placeholder="Search by name or title", compact=True, id="document-name")
        self._list = OptionList(id="document-list", markup=False, compact=True)
        self._about = Static("", id="document-about", markup=False)
        self._passage_list = OptionList(id="passage-list", markup=False, compact=True)
        self._foot = Static("", classes="pane-foot", markup=False)

    def compose(self) -> ComposeResult:
        yield self._input
        with Horizontal(classes="pane-body"):
            yield self._list
            with Vertical(id="document-right"):
                yield self._about
                yield self._passage_list
        yield self._foot

    def take_focus(self) -> None:
        """Let the user's keys come here."""
        self._list.focus()

    @work(exclusive=True, group="documents")
    async def show_folder(self, folder: str) -> None:
        """Show the documents of a folder, an absolute path."""
        self._folder = folder
        try:
            self._documents = await self._retrieval.list_documents(folder)
        except ChatbotError as error:
            self._documents = ()
            self._foot.update(f"✗ {error}")
            return
        self._show_list()

    @on(Input.Changed, "#document-name")
    def _search(self, event: Input.Changed) -> None:
        event.stop()
        self._show_list()

    @on(Input.Submitted, "#document-name")
    def _to_list(self, event: Input.Submitted) -> None:
        event.stop()
        self._list.focus()

    def action_only_problems(self) -> None:
        """Show only the files that could not be read, or all."""
        self.show_problems(not self._is_problems_only)

    def show_problems(self, is_only: bool) -> None:
        """Show only the files that could not be read, or all."""
        self._is_problems_only = is_only
        self._show_list()

    def on_resize(self) -> None:
        self._show_list()

    def _show_list(self) -> None:
        width = self._list.scrollable_content_region.width
        if not width:
            return
        words = self._input.value.lower().split()
        found = [
            d
            for d in self._documents
            if (d.problem or not self._is_problems_only)
            and all(word in f"{d.file} {d.title}".lower() for word in words)
        ]
        self._shown = found[:MOST_SHOWN]
        highlighted = self._list.highlighted
        self._list.set_options([Option(document_row(d, width)) for d in self._shown])
        if self._shown:
            self._list.highlighted = min(highlighted or 0, len(self._shown) - 1)
        else:
            self._show_document(None)
        problems = sum(bool(d.problem) for d in self._documents)
        more = f", the first {MOST_SHOWN} shown" if len(found) > MOST_SHOWN else ""
        facts = f"{len(found)} of {len(self._documents)} documents{more} · "
        if problems:
            which = "all" if self._is_problems_only else "only these"
            facts += with_keys(self.app, f"▲ {problems} not read · {{only_problems}} {which} · ")
        self._foot.update(f"{facts}Enter passages")

    @on(OptionList.OptionHighlighted, "#document-list")
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option_index < len(self._shown):
            self._show_document(self._shown[event.option_index])

    @on(OptionList.OptionSelected, "#document-list")
    def _to_passages(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if self._passages:
            self._passage_list.highlighted = self._passage_list.highlighted or 0
            self._passage_list.focus()

    @work(exclusive=True, group="passages")
    async def _show_document(self, document: DocumentInfo | None) -> None:
        self._passages = ()
        if document is None:
            self._about.update("")
            self._passage_list.clear_options()
            return
        self._about.update(document_facts(document))
        problem = ""
        if not document.problem:
            try:
                self._passages = await self._retrieval.list_passages(self._folder, document.file)
            except ChatbotError as error:
                problem = f"✗ {error}"
        if problem:
            self._about.update(Content.styled(problem, "$text-error"))
        width = max(self._passage_list.scrollable_content_region.width, 20)
        self._passage_list.set_options(
            [Option(passage_row(i, p, width)) for i, p in enumerate(self._passages, 1)]
        )

    @on(OptionList.OptionSelected, "#passage-list")
    def _open(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.PassageChosen(self._passages, event.option_index))


def document_row(document: DocumentInfo, width: int) -> Content:
    """A document in the list; a triangle stands before one that could not be read."""
    mark = ("▲ ", "$text-warning") if document.problem else ("  ", "")
    count = "" if document.problem else f" {document.num_passages:>4}"
    name = fitted(clean_line(document.file, 1000), width - 2 - len(count), keep_end=True)
    gap = " " * max(width - 2 - cell_len(name) - len(count), 0)
    return Content.assemble(mark, name, gap, (count, "dim"))


def document_facts(document: DocumentInfo) -> Content:
    """All that is known of a document, and why it could not be read."""
    title = clean_line(document.title or document.file)
    facts = [size(document.num_bytes)]
    if document.kind:
        facts.insert(0, document.kind)
    if document.num_pages is not None:
        facts.append(counted(document.num_pages, page_word(document.file)))
    if not document.problem:
        facts.append(f"{document.num_characters:,} characters")
        facts.append(f"{document.num_embedded} of {document.num_passages} passages embedded")
    lines = [Content.styled(title, "bold"), Content.styled(" · ".join(facts), "dim")]
    if document.problem:
        lines.append(Content.styled(f"▲ {clean_line(document.problem, 400)}", "$text-warning"))
    return Content("\n").join(lines)


def passage_row(number: int, passage: Passage, width: int) -> Content:
    """A passage: where it stands, and how it begins."""
    place = place_in(passage.file, passage.start_line, passage.end_line, passage.page)
    head = fitted(f"{number} · {place}  {passage.heading_path}", width)
    text = " ".join(clean(passage.text).split())
    lines = Content(text[: 3 * width]).wrap(max(width - 2, 8))[:2]
    body = Content("\n").join([Content.assemble("  ", line) for line in lines])
    return Content.assemble((head, "$text-primary"), "\n", body)
