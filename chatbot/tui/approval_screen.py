"""The question whether a tool may run: a dialog of its own, in front of everything.

What is not the program's own words stands in a frame that it cannot leave: plain text, each
line of it inside the frame. Decides nothing beyond what key was pressed.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from chatbot.terminal_text import clean_line
from chatbot.tools.json_text import LINE_MARK, in_lines

if TYPE_CHECKING:
    from chatbot.tools.values import ApprovalRequest, Decision

QUIET_SECONDS: Final = 0.6
"""So long no key may come before one is an answer: who is typing when the question comes up has not
read it."""

_BUTTONS: "Final[dict[Decision, tuple[str, str]]]" = {
    "once": ("o", "Once"),
    "chat": ("c", "This chat"),
    "always": ("A", "Always"),
    "no": ("n", "No"),
}

_HUNK: Final = re.compile(r"@@ -\d+")
"""What a place in a diff begins with."""

_DIFF_COLOURS: Final = {"+": "$text-success", "-": "$text-error", "@": "$text-primary"}

NARROW: Final = 70
LOW: Final = 20
"""Columns and rows below which nothing is wasted, so that every answer is in sight."""


class ApprovalScreen(ModalScreen["Decision"]):
    """One call, and what the user says to it; Esc says no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "decide('once')", show=False),
        Binding("c", "decide('chat')", show=False),
        Binding("A", "decide('always')", show=False),
        Binding("n", "decide('no')", show=False),
        Binding("escape", "refuse", show=False),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
        Binding("up", "scroll(-1)", show=False),
        Binding("down", "scroll(1)", show=False),
        Binding("pageup", "scroll(-5)", show=False),
        Binding("pagedown", "scroll(5)", show=False),
    ]

    def __init__(self, request: "ApprovalRequest", take_typed: Callable[[str], object]) -> None:
        """Ask.

        Args:
            request: what is to be decided.
            take_typed: takes what is typed on before the question can have been read.
        """
        super().__init__()
        self._request = request
        self._take_typed = take_typed
        self._is_read = False
        """Whether the user has had time to read it since the last key."""

    def compose(self) -> ComposeResult:
        definition = self._request.definition
        with VerticalScroll(id="approval", can_focus=False) as box:
            box.border_title = Content(f"Allow {definition.name}?")
            box.border_subtitle = "Esc says no"
            yield Static(clean_line(definition.description, 300), markup=False, id="approval-about")
            for reason in self._request.reasons:
                yield Static(f"▲ {reason}", markup=False, classes="approval-reason")
            arguments = _Arguments(self._request.arguments)
            arguments.border_title = "exactly these arguments"
            yield arguments
            with Horizontal(id="approval-buttons"):
                for decision in self._request.choices:
                    key, words = _BUTTONS[decision]
                    yield Button(
                        f"{words} ({key})",
                        id=f"approval-{decision}",
                        compact=True,
                        disabled=True,
                    )

    def on_mount(self) -> None:
        self._quiet = self.set_timer(QUIET_SECONDS, self._take_answers)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < NARROW, "-narrow")
        self.set_class(event.size.height < LOW, "-low")

    def on_key(self, event: events.Key) -> None:
        if not self._is_read and event.key != "escape":
            event.stop()
            self._quiet.reset()
            if event.is_printable and event.character:
                self._take_typed(event.character)

    def _take_answers(self) -> None:
        self._is_read = True
        for button in self.query(Button):
            button.disabled = False
        # The answer that does nothing is the one that Enter gives.
        self.query_one("#approval-no", Button).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """See Textual: no answer is taken from who has not had time to read."""
        return self._is_read or action != "decide"

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_decide(str(event.button.id).removeprefix("approval-"))

    def action_scroll(self, num_lines: int) -> None:
        """Go up or down in what is to be decided, where it is longer than the screen."""
        self.query_one("#approval").scroll_relative(y=num_lines, animate=False)

    def action_refuse(self) -> None:
        """Say no, at any time."""
        self.dismiss("no")

    def action_decide(self, name: str) -> None:
        """Give an answer, if it is one of those that are offered."""
        for decision in self._request.choices:
            if decision == name:
                self.dismiss(decision)


class _Arguments(Static):
    """What the tool is given, a line of a text on each line; where it holds a diff, in colours."""

    def __init__(self, arguments: str) -> None:
        super().__init__(arguments, markup=False, id="approval-arguments")
        self._lines = in_lines(arguments).split("\n")
        self._colours = _DIFF_COLOURS if _HUNK.search(arguments) else {}

    def on_resize(self) -> None:
        """Have what goes on below a line's first row stay in its column."""
        rows: list[Content] = []
        for line in self._lines:
            text = line.removeprefix(LINE_MARK)
            mark = line.removesuffix(text)
            colour = self._colours.get(text[:1], "") if mark else ""
            wrapped = Content.styled(text, colour).wrap(max(self.content_size.width - len(mark), 1))
            rows += [Content.styled(mark, "$text-muted") + row for row in wrapped]
        self.update(Content("\n").join(rows))
