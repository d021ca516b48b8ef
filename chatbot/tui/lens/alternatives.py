"""What might have stood in place of a token: bars before and after the settings, or what several
temperatures would make of them in numbers. Draws what it is given.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.conversation.token_figures import cumulative, effect, percent, playground
from chatbot.conversation.token_text import called
from chatbot.tokens import NO_TOKEN, Alternative, TokenRecord
from chatbot.tui.drawing.cells import fitted
from chatbot.tui.keys import bind
from chatbot.tui.lens.drawing import MARGIN, bar, name_width, panel_width, scale_of

WIDE: Final = 110
"""Cells from which there is room for the numbers of the tokens."""

_PERCENT: Final = 7
_EFFECT: Final = 9
_NUMBER: Final = 8


_Table = tuple[Content, Sequence[Content], Sequence[Content]]
"""A heading, rows of which some may be out of sight, and what stands below them."""


class LensAlternatives(Widget, can_focus=True):
    """The alternatives of one token, one a row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("lens_up", "choose(-1)"),
        bind("lens_down", "choose(1)"),
        bind("lens_branch", "branch"),
    ]

    record: reactive[TokenRecord | None] = reactive(None)
    chosen = reactive(0)
    """Row that is set off while this has the focus."""
    temperature = reactive("")
    """What the token was drawn with, as it is typed."""
    compares = reactive(False)
    """Whether temperatures are shown in place of before and after."""

    class Branched(Message):
        """The answer should go on with this one."""

        def __init__(self, alternative: Alternative) -> None:
            super().__init__()
            self.alternative = alternative

    @property
    def alternatives(self) -> tuple[Alternative, ...]:
        """What is shown, from the top."""
        return self.record.alternatives if self.record else ()

    def watch_record(self, old: TokenRecord | None, new: TokenRecord | None) -> None:
        # The row of the token itself; a choice is another one.
        ids = [a.token for a in self.alternatives]
        self.chosen = ids.index(new.token) if new and new.token in ids else 0

    def action_choose(self, step: int) -> None:
        """Set off another row."""
        if self.alternatives:
            self.chosen = min(max(self.chosen + step, 0), len(self.alternatives) - 1)

    def action_branch(self) -> None:
        """Tell whoever shows this that the answer should go on with the row."""
        if self.chosen < len(self.alternatives):
            self.post_message(self.Branched(self.alternatives[self.chosen]))

    def on_click(self, event: events.Click) -> None:
        shown = self._shown(max(self.size.height - 1 - self._num_foot_rows, 1))
        if 1 <= event.y <= len(shown):
            self.focus()
            self.chosen = shown[event.y - 1]

    def watch_has_focus(self, focused: bool) -> None:
        self.refresh()

    def render(self) -> Content:
        if self.record is None:
            return Content("")
        if not self.alternatives:
            is_typed = self.record.token == NO_TOKEN and self.record.is_users
            words = "You typed this" if is_typed else "This was not recorded"
            return Content.styled(f"{words}: there is nothing that it was drawn from.", "dim")
        table = self._temperatures if self.compares else self._before_and_after
        heading, rows, foot = table(self.record)
        room = max(self.size.height - 1 - len(foot), 1)
        shown = (rows[number] for number in self._shown(room))
        return Content("\n").join([heading, *shown, *foot])

    @property
    def _num_foot_rows(self) -> int:
        return int(self.compares)

    def _shown(self, room: int) -> list[int]:
        """Rows that are in sight: those around the one set off, else the first ones, of which the
        last gives way to the token's own where that is further down."""
        num = len(self.alternatives)
        if num <= room:
            return list(range(num))
        last = max(self.chosen, room - 1)
        if self.has_focus:
            return list(range(last - room + 1, last + 1))
        return [*range(room - 1), last]

    def _row(self, number: int, alternative: Alternative, *cells: tuple[str, str]) -> Content:
        is_it = self.record is not None and alternative.token == self.record.token
        width = name_width(self.size.width)
        name = fitted(called(alternative), width)
        name += " " * (width - cell_len(name))
        is_here = self.has_focus and number == self.chosen
        style = "bold $text-primary" if is_it else ("dim" if alternative.is_special else "")
        if is_here:
            style = f"{style} reverse"
        return Content.assemble(
            ("❯" if is_here else " ", "bold $accent"),
            ("● " if is_it else "  ", "bold $text-primary"),
            (name, style),
            " ",
            *cells,
        )

    def _heading(self, *words: str) -> Content:
        before = " " * (name_width(self.size.width) + MARGIN)
        return Content.styled("".join([before, *words])[: max(self.size.width, 1)], "dim")

    def _before_and_after(self, record: TokenRecord) -> _Table:
        # By hand, not by the plotting library: a bar has to stand in the row of its token, which
        # can be chosen, and a plot has neither rows that one can be at nor text beside its bars.
        others = record.alternatives
        width = self.size.width
        number_width = _NUMBER if width >= WIDE else 0
        room = width - name_width(width) - MARGIN - number_width - 3 * _PERCENT - 4 - _EFFECT
        size = max(room // 2, 4)
        scale = scale_of(share for other in others for share in (other.before, other.after))
        full = f"full: {scale:.0%}"
        full = (full if len(full) < size else "").ljust(size)
        heading = self._heading(
            f"{'token':>{number_width - 1}} " if number_width else "",
            f"by the model Σ  {full} after the settings",
        )
        rows = []
        for number, (other, total) in enumerate(zip(others, cumulative(record), strict=True)):
            is_cut = other.after == 0
            after = "" if is_cut else percent(other.after)
            rows.append(
                self._row(
                    number,
                    other,
                    (f"{other.token:>{number_width - 1}} " if number_width else "", "dim"),
                    (f"{percent(other.before):>{_PERCENT}}", ""),
                    (f"{'' if total is None else percent(total):>{_PERCENT}}  ", "dim"),
                    (bar(other.before / scale, size), "$primary"),
                    (f" {after:>{_PERCENT - 1}}  ", ""),
                    (bar(other.after / scale, size), "$accent"),
                    (f" {effect(other)}", "$text-warning" if is_cut else "dim"),
                )
            )
        return heading, rows, []

    def _temperatures(self, record: TokenRecord) -> _Table:
        panels = playground(record)
        each = panel_width(self.size.width, len(panels))
        words = []
        for t, _ in panels:
            mark = "● " if t is not None and f"{t:g}" == self.temperature else ""
            word = "temperature" if each > 18 else "t"
            drawn = "as drawn" if each > 8 else "drawn"
            words.append(f"{mark}{word} {t:.1f}" if t is not None else drawn)
        heading = self._heading(*(fitted(word, each - 1).ljust(each) for word in words))
        columns = [[percent(share) if share else "✂" for share in shares] for _, shares in panels]
        rows = [
            self._row(
                number, other, *((f"{cells[number]:>6}".ljust(each), "") for cells in columns)
            )
            for number, other in enumerate(record.alternatives)
        ]
        held = min(sum(other.before for other in record.alternatives), 1.0)
        note = f"   Among these {len(rows)} alone; by the model they hold {held:.1%} of it all."
        return heading, rows, [Content.styled(note, "dim")]
