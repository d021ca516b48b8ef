"""What might have stood in place of a token: bars before and after the settings, or what several
temperatures would make of them. Draws what it is given.
"""

from typing import ClassVar, Final

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.conversation.token_figures import (
    TEMPERATURES,
    at_temperature,
    effect,
    percent,
    visible,
)
from chatbot.tokens import Alternative, TokenRecord
from chatbot.tui.chat.source_lines import fitted
from chatbot.tui.keys import bind
from chatbot.tui.lens.drawing import bar

_PERCENT: Final = 7
_EFFECT: Final = 9


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
        row = self._top(max(self.size.height - 1, 1)) + event.y - 1
        if event.y >= 1 and row < len(self.alternatives):
            self.focus()
            self.chosen = row

    def watch_has_focus(self, focused: bool) -> None:
        self.refresh()

    def render(self) -> Content:
        if not self.alternatives:
            return Content.styled("Nothing was recorded of this stretch.", "dim")
        heading, *rows = self._temperatures() if self.compares else self._before_and_after()
        room = max(self.size.height - 1, 1)
        return Content("\n").join([heading, *rows[self._top(room) : self._top(room) + room]])

    def _top(self, room: int) -> int:
        """Rows that are out of sight above, so that the one set off is not."""
        return max(self.chosen - room + 1, 0)

    def _name_width(self) -> int:
        return min(max(self.size.width // 5, 10), 24)

    def _row(self, number: int, alternative: Alternative, *cells: tuple[str, str]) -> Content:
        is_it = self.record is not None and alternative.token == self.record.token
        width = self._name_width()
        name = fitted(visible(alternative.text), width)
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

    def _before_and_after(self) -> list[Content]:
        width = self._name_width()
        size = max((self.size.width - width - 4 - 2 * (_PERCENT + 1) - _EFFECT) // 2, 4)
        heading = f"{'':{width + 4}}{'by the model':<{size + _PERCENT + 1}} after the settings"
        lines = [Content.styled(heading[: max(self.size.width, 1)], "dim")]
        for number, other in enumerate(self.alternatives):
            is_cut = other.after == 0
            after = " " * size if is_cut else bar(other.after, size)
            lines.append(
                self._row(
                    number,
                    other,
                    (bar(other.before, size), "$primary"),
                    (f"{percent(other.before):>{_PERCENT}} ", ""),
                    (after, "$accent"),
                    (f"{'' if is_cut else percent(other.after):>{_PERCENT}} ", ""),
                    (effect(other), "$text-warning" if is_cut else "dim"),
                )
            )
        return lines

    def _temperatures(self) -> list[Content]:
        width = self._name_width()
        each = (self.size.width - width - 4) // len(TEMPERATURES)
        size = max(each - _PERCENT - 1, 3)
        heading = " " * (width + 4)
        for t in TEMPERATURES:
            mark = "● " if f"{t:g}" == self.temperature else ""
            heading += f"{mark}{'temperature' if each > 18 else 't'} {t:.1f}".ljust(each)
        lines = [Content.styled(heading[: max(self.size.width, 1)], "dim")]
        columns = [at_temperature(self.alternatives, t) for t in TEMPERATURES]
        for number, other in enumerate(self.alternatives):
            cells: list[tuple[str, str]] = []
            for column in columns:
                cells.append((bar(column[number], size), "$primary"))
                cells.append((f"{percent(column[number]):>{_PERCENT}} ", ""))
            lines.append(self._row(number, other, *cells))
        held = sum(other.before for other in self.alternatives)
        note = f"Among these {len(self.alternatives)} alone, which hold {held:.1%} of it all."
        lines.append(Content.styled(f"   {note}", "dim"))
        return lines
