"""Several answers to one question, side by side while they are written; one of them is kept.

Shows what it is told; what the user chooses is for whoever opened it to carry out.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from chatbot.engine.client import EngineStatus
from chatbot.events import BeamsShown, Parting, VariantPlan, VariantsFinished, VariantsKind
from chatbot.messages import Message
from chatbot.terminal_text import clean_line
from chatbot.tokens import Beam
from chatbot.tui.drawing.cells import fewer, fitted
from chatbot.tui.keys import NUM_VARIANT_KEYS, bind
from chatbot.tui.variants.beam_list import BeamList
from chatbot.tui.variants.column import VariantColumn
from chatbot.tui.variants.drawing import partings
from chatbot.wording import counted

UPDATES_PER_SECOND: Final = 10
"""How often what is new is drawn: several texts at once cost several times as much."""

COLUMN_WIDTH: Final = 38
"""Cells that a column wants; as many are shown as there is room for."""

TITLES: Final[dict[VariantsKind, str]] = {
    "variants": "answers from one prompt",
    "sweep": "settings from one prompt",
    "beams": "beams",
    "comparison": "answers side by side",
}


class Hints(NamedTuple):
    """What the user can do, by the keys that are bound."""

    when_held: str
    when_thinking: str
    when_running: str


class VariantsScreen(ModalScreen[str | None]):
    """The answers as columns, or the beams as a list. Gives the id of the one to keep."""

    AUTO_FOCUS = ""  # or the keys would go to the box for a setting, shown or not
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", show=False),
        bind("variants_left", "go(-1)"),
        bind("variants_right", "go(1)"),
        Binding("up,k", "go(-1)", show=False),  # of beams: columns have the keys themselves
        Binding("down,j", "go(1)", show=False),
        bind("variants_set", "set"),
        bind("answer_now", "app.answer_now"),
        bind("variants_keep", "keep"),
        *(
            bind(f"variants_keep_{number}", f"keep_number({number})")
            for number in range(1, NUM_VARIANT_KEYS + 1)
        ),
    ]

    def __init__(
        self,
        kind: VariantsKind,
        plans: Sequence[VariantPlan],
        question: str,
        stop: Callable[[], None],
        take_back: Callable[[], None],
        change: Callable[[str], bool],
        hints: Hints,
    ) -> None:
        """Make the screen.

        Args:
            kind: why there are several.
            plans: the answers that are to come.
            question: what they answer.
            stop: ends all of them.
            take_back: brings back what the user sent to follow the one that is kept.
            change: has all of them go on with another setting, given as ``NAME VALUE``; False
                where that cannot be, which the user was told.
            hints: what can be done about answers that are held, or think, or are written.
        """
        super().__init__()
        self.chosen = 0
        """Index of the answer that the keys act on."""
        self._is_gone_to = False
        """The user went to it."""
        self.is_over = False
        self.is_comparison = kind == "comparison"
        """Each has a model of its own, and waits for it."""
        self._plans = tuple(plans)
        self._stop = stop
        self._take_back = take_back
        self._change = change
        self._hints = hints
        self._num_held: int | None = None
        """Tokens after which all are held; None while they go on."""
        self._notice = ""
        self._title = f"{len(plans)} {TITLES[kind]} · {clean_line(question, 200)}"
        self._answers: dict[int, Message] = {}
        self._beams = BeamList([plan.number for plan in plans]) if kind == "beams" else None
        self._columns = [] if self._beams else [VariantColumn(plan) for plan in plans]
        self._wish: str | None = None
        """The answer that the user keeps as soon as the others are stopped."""
        self._facts = Static("", id="variants-facts", markup=False)
        self._setting = Input(placeholder="temperature 0.9", id="variants-set", compact=True)
        self._setting.display = False

    def compose(self) -> ComposeResult:
        with Vertical(id="variants") as box:
            box.border_title = Content(self._title)
            if self._beams:
                with VerticalScroll(id="variants-beams", can_focus=False):
                    yield self._beams
            else:
                with Horizontal(id="variants-columns"):
                    yield from self._columns
            yield self._facts
            yield self._setting

    def on_mount(self) -> None:
        self._say_keys()
        self.set_interval(1 / UPDATES_PER_SECOND, self._draw_running)
        self.call_after_refresh(self._show_page)

    def on_resize(self) -> None:
        self._show_page()
        self._say_keys()

    # What happens

    def say(self, words: str) -> None:
        """Say below the answers, in one line, what is going on."""
        self._notice = words
        self._say_state()

    def _say_state(self) -> None:
        words = self._notice
        if not self.is_over and self._num_held is not None:
            words = f"held after {counted(self._num_held, 'token')} · {self._hints.when_held}"
        elif any(column.is_thinking for column in self._columns):
            words = self._hints.when_thinking
        self._facts.update(words)

    def hold(self, num_tokens: int | None) -> None:
        """Show that all are held after so many tokens; None: they go on."""
        if self._num_held == num_tokens:
            return
        self._num_held = num_tokens
        for column in self._columns:
            column.hold(is_held=num_tokens is not None)
        self._say_state()

    def say_all(self, words: str) -> None:
        """Say in each heading what is going on with all of them at once."""
        if self._beams:
            self._beams.state = words
        for column in self._columns if not self.is_comparison else ():
            column.say(words)

    def show_load(self, status: EngineStatus) -> None:
        """Say how far the load of a model is that answers wait for."""
        if status.state != "loading":
            return
        share = "" if status.fraction is None else f" {status.fraction:.0%}"
        self.say_current(f"{status.stage}{share}")

    def say_current(self, words: str) -> None:
        """Say what is going on with all at once, or with the one of several models whose turn it
        is."""
        self.say_all(words)
        if self.is_comparison and (
            current := next((c for c in self._columns if c.is_silent), None)
        ):
            current.say(words)

    def column(self, index: int) -> VariantColumn | None:
        """The column of an answer; None where the answers are beams."""
        return self._columns[index] if index < len(self._columns) else None

    def show_beams(self, shown: BeamsShown) -> None:
        """Show where a beam search stands."""
        if self._beams:
            self._beams.shown = shown
            self.say(
                f"{shown.num_tokens:,} tokens · {len(shown.finished)} came to their end · "
                "↳ the beam that it goes on from"
            )

    def finish(self, index: int, answer: Message) -> None:
        """Show one of the answers as it is kept."""
        self._answers[index] = answer
        if column := self.column(index):
            column.finish(answer)

    def finish_all(self, finished: VariantsFinished, facts: str) -> None:
        """Nothing follows; the user may look, and keep one."""
        self._end()
        self.say(facts)
        self._answers = dict(enumerate(finished.answers))
        ids = [plan.answer_id for plan in self._plans]
        # Of beams the best is known now; among columns the user may be reading one, or be about to
        # keep it.
        if self._beams or not self._is_gone_to:
            self.chosen = ids.index(finished.kept_id) if finished.kept_id in ids else 0
        if finished.partings and (first := self.column(0)):
            first.say_parting("the others are set against this")
        for parting in finished.partings:
            if column := self.column(parting.index):
                column.say_parting(parting_words(parting, self._plans[0]))
        if self._beams:
            known = self._beams.beams
            self._beams.shown = BeamsShown(
                num_tokens=finished.num_new_tokens,
                live=(),
                finished=tuple(_as_beam(answer, known) for answer in finished.answers),
            )
            self._beams.chosen, self._beams.is_over = self.chosen, True
        self.draw()
        self._say_keys()
        self._show_page()
        if self._wish:
            self.dismiss(self._wish)

    def fail(self, sentence: str) -> None:
        """It broke off; what there is of the answers stays."""
        self._end()
        self.say(f"✗ {sentence}")
        for column in self._columns:
            column.break_off()
        self.draw()
        self._say_keys()

    def _end(self) -> None:
        self.is_over = True
        if self._setting.display:
            self._show_setting(is_shown=False)

    def _draw_running(self) -> None:
        if not self.is_over:
            self.draw()

    def draw(self) -> None:
        """Show what is new."""
        self._say_state()
        texts = [column.text for column in self._columns]
        are_over = [column.answer is not None for column in self._columns]
        for index, places in enumerate(partings(texts, are_over) if texts else ()):
            self._columns[index].draw(places, is_chosen=index == self.chosen)

    # What the user does

    @property
    def num_on_page(self) -> int:
        """How many columns there is room for."""
        return max(1, min(len(self._columns), (self.size.width - 2) // COLUMN_WIDTH))

    def _show_page(self) -> None:
        """Show the columns around the one that is chosen."""
        if not self._columns:
            return
        num = self.num_on_page
        first = min(self.chosen // num * num, len(self._columns) - num)
        for index, column in enumerate(self._columns):
            column.display = first <= index < first + num
            column.is_stale = True
        if self._columns[self.chosen].is_mounted:
            self._columns[self.chosen].go_to()
        box = self.query_one("#variants")
        hidden = len(self._columns) - num
        pages = f" · {'▱' * first}{'▰' * num}{'▱' * (hidden - first)}" if hidden else ""
        box.border_title = Content(fitted(self._title, self.size.width - len(pages) - 6) + pages)
        self.draw()

    def _go_to(self, index: int) -> None:
        self.chosen = min(max(index, 0), len(self._plans) - 1)
        self._is_gone_to = True
        if self._beams:
            self._beams.chosen = self.chosen
        self._show_page()

    def action_go(self, step: int) -> None:
        """Go to the answer beside."""
        self._go_to(self.chosen + step)

    @on(VariantColumn.Clicked)
    def _clicked(self, event: VariantColumn.Clicked) -> None:
        self._go_to(self._columns.index(event.column))

    @on(BeamList.Chosen)
    def _beam_clicked(self, event: BeamList.Chosen) -> None:
        if self.is_over:
            self._go_to(event.index)

    def action_keep(self) -> None:
        """Keep the answer that is gone to; the others stay beside it."""
        answer = self._answers.get(self.chosen)
        if answer is None and self.is_over:
            self.notify("There is nothing of this answer; choose another one.")
        elif answer is None:
            self.notify("This answer is still being written; Esc stops all of them.")
        elif self.is_over:
            self.dismiss(answer.id)
        else:
            self._wish = answer.id
            self._stop()

    def action_keep_number(self, number: int) -> None:
        """Keep the answer of this number."""
        numbers = [plan.number for plan in self._plans]
        if number in numbers:
            self._go_to(numbers.index(number))
            self.action_keep()

    def action_set(self) -> None:
        """Ask for a setting that all answers are to go on with."""
        if self.is_over:
            self.notify("The answers are written; settings act on the next ones.")
            return
        self._setting.value = ""
        self._show_setting(is_shown=True)

    def _show_setting(self, *, is_shown: bool) -> None:
        self._setting.display = is_shown
        self._facts.display = not is_shown
        self._say_keys()
        if is_shown:
            self.set_focus(self._setting)
        elif self._columns:
            self._columns[self.chosen].go_to()
        else:
            self.set_focus(None)

    @on(Input.Submitted, "#variants-set")
    def _set(self, event: Input.Submitted) -> None:
        event.stop()
        if self._change(event.value):
            self._show_setting(is_shown=False)

    def action_leave(self) -> None:
        """Stop the answers; once they are over, go back to the chat."""
        if self._setting.display:
            self._show_setting(is_shown=False)
            return
        self._take_back()
        if self.is_over:
            self.dismiss(None)
        else:
            self.say("stopping…")
            self._stop()

    def _say_keys(self) -> None:
        if self._setting.display:
            self._show_keys("a setting for all of them, and its value · Enter set · Esc close")
            return
        numbers = [plan.number for plan in self._plans if plan.number <= NUM_VARIANT_KEYS]
        edges = dict.fromkeys(map(str, (*numbers[:1], *numbers[-1:])))
        named = f" or {'–'.join(edges)}" if edges else ""
        moves = "↑ ↓ go" if self._beams else "← → go"
        leave = "Esc back" if self.is_over else "Esc stop"
        if self.is_over:
            scrolls = "" if self._beams else "↑ ↓ scroll · "
            words = f"{moves} · Enter{named} keep · {scrolls}{leave}"
        elif self._beams:  # until the end there is no answer that could be kept
            words = f"{self._hints.when_running} · {leave}"
        else:
            words = f"{moves} · Enter{named} keep · {self._hints.when_running} · {leave}"
        self._show_keys(words)

    def _show_keys(self, words: str) -> None:
        self.query_one("#variants").border_subtitle = Content(fewer(words, self.size.width - 6))


def parting_words(parting: Parting, first: VariantPlan) -> str:
    """Where an answer leaves the first one, in words."""
    if parting.character is None:
        return f"the same as {first.number}"
    if parting.token is not None:
        return f"leaves {first.number} at token {parting.token + 1:,}"
    return f"leaves {first.number} after {parting.character:,} characters"


def _as_beam(answer: Message, known: Sequence[tuple[Beam, bool]]) -> Beam:
    """An answer as the beam that it was."""
    beams = (beam for beam, _ in known if beam.text.strip() == answer.text.strip())
    if beam := next(beams, None):
        return beam
    making = answer.making
    num_tokens = making.statistics.num_new_tokens if making and making.statistics else 0
    score = (making.score if making else None) or 0.0
    return Beam(answer.text, score * max(num_tokens, 1), score, num_tokens, 0)
