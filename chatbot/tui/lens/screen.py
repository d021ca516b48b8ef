"""The token lens: what each token of an answer was drawn from, and other ways on from there.

Shows what was recorded, and what is being recorded; what the user chooses is for whoever opened
it to carry out.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Final, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Static

from chatbot.conversation.token_figures import most_surprising, most_uncertain
from chatbot.conversation.token_json import token_json
from chatbot.errors import ChatbotError
from chatbot.tokens import Alternative, TokenRecord
from chatbot.tui.keys import bind, with_keys
from chatbot.tui.lens.alternatives import LensAlternatives
from chatbot.tui.lens.curve import LensCurve
from chatbot.tui.lens.distributions import LensDistributions
from chatbot.tui.lens.drawing import legend
from chatbot.tui.lens.facts import WIDE_SCREEN, Place, facts_of, heading_of, keys_for
from chatbot.tui.lens.text import LensText

Choice = tuple[int, Alternative | str]
"""The token to replace, and what with."""


class Stretch(NamedTuple):
    """Tokens that were drawn with the same settings."""

    start: int
    """Index of the first of them."""
    settings: Mapping[str, str]
    """The temperature, and all that was changed on the way, by name."""
    mark: str = ""
    """What was changed here: ``temperature 0.3 → 1.2``."""


ReadTokens = Callable[[], Awaitable[tuple[tuple[TokenRecord, ...], Sequence[Stretch]]]]
"""Gives the tokens as they are now, and which of them were drawn with which settings."""

POLL_SECONDS: Final = 0.2
"""How often a running answer is looked at again."""

HIGH_SCREEN: Final = 40
"""Rows from which there is room for a higher curve and more alternatives."""

LOW_SCREEN: Final = 24
"""Rows below which there is room for fewer alternatives and no curve."""

PLOT_SCREEN: Final = 20
"""Rows from which the table of temperatures has the room to stand below the plot of the same."""


class LensScreen(ModalScreen[Choice | None]):
    """An answer as tokens, its entropy as a curve, and the alternatives at the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", show=False),
        Binding("q", "dismiss", "Close", show=False),
        bind("lens_left", "move(-1)"),
        bind("lens_right", "move(1)"),
        bind("lens_first", "edge(0)"),
        bind("lens_last", "edge(-1)"),
        bind("lens_uncertain", "ranked('uncertain', 1)"),
        bind("lens_less_uncertain", "ranked('uncertain', -1)"),
        bind("lens_surprising", "ranked('surprising', 1)"),
        bind("lens_less_surprising", "ranked('surprising', -1)"),
        bind("lens_type", "type"),
        bind("lens_temperatures", "temperatures"),
        bind("lens_marks", "marks"),
        bind("lens_copy", "copy_token"),
        bind("lens_branch", "alternatives"),
    ]

    def __init__(
        self, read: ReadTokens, is_running: Callable[[], bool], *, has_marks: bool = False
    ) -> None:
        """Make the screen.

        Args:
            read: gives the tokens as they are now.
            is_running: whether more tokens may come.
            has_marks: show the surprise of each token as heights from the start.
        """
        super().__init__()
        self._read = read
        self._is_running = is_running
        self._records: tuple[TokenRecord, ...] = ()
        self._stretches: Sequence[Stretch] = ()
        self._ranked: dict[str, list[int]] = {"uncertain": [], "surprising": []}
        """Indices of the tokens, those first of which it is most true."""
        self._was_running = False
        self._places = dict.fromkeys(self._ranked, -1)
        """Which place of each order was gone to last."""
        self._text = LensText(id="lens-text")
        self._text.has_marks = has_marks
        self._curve = LensCurve(id="lens-curve")
        self._legend = Static("", id="lens-legend", markup=False)
        self._facts = Static("", id="lens-facts", markup=False)
        self._distributions = LensDistributions(id="lens-distributions")
        self._alternatives = LensAlternatives(id="lens-alternatives")
        self._input = Input(placeholder="go on from here with …", id="lens-input")

    def compose(self) -> ComposeResult:
        with Vertical(id="lens") as box:
            box.border_title = heading_of((), is_running=self._is_running(), width=0)
            yield self._legend
            yield self._text
            yield self._curve
            yield self._facts
            yield self._distributions
            yield self._alternatives
            yield self._input

    def on_mount(self) -> None:
        self._input.display = False
        self._text.focus()
        self._load()
        self.set_interval(POLL_SECONDS, self._poll)

    def on_resize(self) -> None:
        self.set_class(self.size.height >= HIGH_SCREEN, "-high")
        self.set_class(self.size.height < LOW_SCREEN, "-low")
        self.set_class(self.size.height < PLOT_SCREEN, "-no-plot")
        self._legend.update(legend(is_brief=self.size.width < WIDE_SCREEN))
        self._say()
        self._go(self.cursor)
        self.call_after_refresh(self._share_room)

    def on_descendant_focus(self) -> None:
        self._say()

    def _say(self) -> None:
        """Say in the frame what the whole answer is like, and which keys there are."""
        places: dict[Widget, Place] = {self._alternatives: "alternatives", self._input: "input"}
        place = places.get(self.focused or self._text, "text")
        box, width = self.query_one("#lens"), self.size.width
        self._was_running = self._is_running()
        running = {"is_running": self._was_running}
        box.border_title = Content(heading_of(self._records, width=width, **running))
        named = partial(with_keys, self.app)
        box.border_subtitle = Content(keys_for(place, named, width=width, **running))

    def _poll(self) -> None:
        if self._is_running():
            self._load()
        elif self._was_running:
            self._say()
            self._share_room()

    def _share_room(self) -> None:
        """Give the plot the rows that a short text leaves; not while the text grows, which would
        move it with each row, nor while one is typed, which takes a row."""
        plot = self._distributions if self._alternatives.compares else self._curve
        rows = self._text.size.height + plot.size.height - self._text.num_rows
        is_fixed = self._is_running() or self._input.display
        plot.styles.height = None if is_fixed else max(rows, 1)

    @work(exclusive=True, group="lens")
    async def _load(self) -> None:
        try:
            records, stretches = await self._read()
        except ChatbotError as error:
            self.notify(str(error), severity="error", timeout=10, markup=False)
            return
        if records == self._records:
            return
        was_last = self._text.cursor >= len(self._records) - 1
        is_first = not self._records
        self._records = records
        self._ranked = {
            "uncertain": most_uncertain(records),
            "surprising": most_surprising(records),
        }
        self._stretches = stretches
        self._text.show(records, {s.start: s.mark for s in stretches if s.mark})
        entropies = [record.entropy_before for record in records]
        self._curve.show(entropies, self._ranked["uncertain"])
        self._share_room()
        self._say()
        self._go(0 if is_first else len(records) - 1 if was_last else self._text.cursor)

    @property
    def cursor(self) -> int:
        """Index of the token that is looked at."""
        return self._text.cursor

    def _go(self, index: int) -> None:
        if not self._records:
            return
        index = min(max(index, 0), len(self._records) - 1)
        self._text.cursor = self._curve.cursor = index
        record = self._records[index]
        self._alternatives.record = self._distributions.record = record
        self._alternatives.temperature = self._settings_at(index).get("temperature", "")
        self._facts.update(
            facts_of(
                record, index, len(self._records), self._settings_at(index), self.size.width - 4
            )
        )

    def _settings_at(self, index: int) -> Mapping[str, str]:
        """What a token was drawn with, as far as it is told."""
        found = [s.settings for s in self._stretches if s.start <= index]
        return found[-1] if found else {}

    @on(LensText.Moved)
    @on(LensCurve.Chosen)
    def _moved(self, event: LensText.Moved | LensCurve.Chosen) -> None:
        self._go(event.index)

    def action_move(self, step: int) -> None:
        """Go to the next token, or the one before."""
        self._go(self.cursor + step)

    def action_edge(self, index: int) -> None:
        """Go to the first or the last token."""
        self._go(index % max(len(self._records), 1))

    def action_ranked(self, order: str, step: int) -> None:
        """Go to the first token of an order, then to the next one."""
        if ranked := self._ranked[order]:
            place = min(max(self._places[order] + step, 0), len(ranked) - 1)
            self._places[order] = place
            self._go(ranked[place])

    def action_copy_token(self) -> None:
        """Put all that was recorded of the token on the clipboard, as JSON."""
        if self._records:
            record = self._records[self.cursor]
            told = token_json(record, self.cursor, self._settings_at(self.cursor))
            self.app.copy_to_clipboard(told)
            self.notify(f"Copied token {self.cursor + 1:,} as JSON, {len(told):,} characters.")

    def action_alternatives(self) -> None:
        """Go to the alternatives."""
        self.set_focus(self._alternatives)  # now: the next key may be there already

    def action_temperatures(self) -> None:
        """Show what several temperatures would do here, or the settings again."""
        self._alternatives.compares = not self._alternatives.compares
        self.set_class(self._alternatives.compares, "-compares")
        self.call_after_refresh(self._share_room)

    def action_marks(self) -> None:
        """Show or hide the surprise as heights."""
        self._text.has_marks = not self._text.has_marks
        self._share_room()

    def action_type(self) -> None:
        """Let the user type what is to stand here."""
        self._input.value = ""
        self._input.display = True
        self._share_room()
        self.set_focus(self._input)

    def action_back(self) -> None:
        """Leave the alternatives or the typing, else the lens."""
        if self.focused is self._text:
            self.dismiss(None)
            return
        self._input.display = False
        self.set_focus(self._text)
        self.call_after_refresh(self._share_room)

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value:
            self.dismiss((self.cursor, event.value))

    @on(LensAlternatives.Branched)
    def _branch(self, event: LensAlternatives.Branched) -> None:
        record = self._records[self.cursor]
        if event.alternative.token == record.token and not record.is_users:
            self.notify("This is what stands here already; choose another one.")
        elif event.alternative.is_special:
            self.notify("This one stands for no text; choose another, or type one with i.")
        else:
            self.dismiss((self.cursor, event.alternative))
