"""What the picker asks for a prompt's variables with: a text that grows, or one of a few.

A field posts each change, and knows nothing of what becomes of its value.
"""

from collections.abc import Callable, Mapping

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Label, TextArea

from chatbot.conversation.prompt_template import PromptTemplate, Variable
from chatbot.tui.key_order import passed_on
from chatbot.tui.prompt import MessageArea


class Field(Horizontal):
    """A variable's name, and where its value is given."""

    class Changed(Message):
        """The value is another one now."""

        def __init__(self, field: "Field") -> None:
            super().__init__()
            self.field = field

    def __init__(self, variable: Variable, value: str, send: Callable[[], None]) -> None:
        """Make a field.

        Args:
            variable: what is asked for.
            value: what it begins with.
            send: called at Enter. Not a message: what is typed next belongs to what is next.
        """
        super().__init__(classes="prompt-field")
        self.variable = variable
        # As content, since plain text would be read as markup.
        about = Content(variable.description)
        self.tooltip = about or None
        self._input: _Text | _Choice
        if variable.choices:
            self._input = _Choice(variable.choices, value, send)
        else:
            self._input = _Text(value, about, send)

    @property
    def value(self) -> str:
        """What is given now."""
        return self._input.text

    def compose(self) -> ComposeResult:
        yield Label(self.variable.name, classes="field-name", markup=False)
        yield self._input

    def give_focus(self) -> None:
        """Let the user type here, from the next key on."""
        self.screen.set_focus(self._input)

    def set_value(self, value: str) -> None:
        """Show another value."""
        if value != self._input.text:
            self._input.text = value

    @on(TextArea.Changed)
    def _changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(self))


class _Text(MessageArea):
    """A text of one or more lines."""

    def __init__(self, value: str, placeholder: Content, send: Callable[[], None]) -> None:
        super().__init__(
            value,
            compact=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
            placeholder=placeholder,
            tab_behavior="focus",
            classes="field-input",
        )
        self._default = value
        self._send = send

    def on_focus(self) -> None:
        """Select a default of one line, so that typing replaces it."""
        if self.text and self.text == self._default and "\n" not in self.text:
            self.select_all()

    def on_blur(self) -> None:
        """Deselect: a selection out of focus looks like one that typing would replace."""
        self.move_cursor(self.cursor_location)

    def action_send(self) -> None:
        """Pass Enter on."""
        self._send()

    async def _on_key(self, event: events.Key) -> None:
        if not passed_on(self, event):
            await super()._on_key(event)


class _Choice(Widget, can_focus=True):
    """One of a few, which the arrow keys and a click go through."""

    text: reactive[str] = reactive("", init=False)

    def __init__(self, choices: tuple[str, ...], value: str, send: Callable[[], None]) -> None:
        super().__init__(classes="field-input field-choice")
        self._choices = choices
        self._send = send
        self.set_reactive(_Choice.text, value)

    def render(self) -> Content:
        at = self._choices.index(self.text) + 1 if self.text in self._choices else 0
        count = f"{at}/{len(self._choices)}" if at else ""
        shown = self.text or "← → to choose"
        room = max(self.size.width - len("‹  › ") - len(count), 1)
        if cell_len(shown) > room:
            shown = shown[: room - 1] + "…"
        return Content.from_markup(
            "[$text-accent]‹[/] $shown [$text-accent]›[/] [$foreground 60%]$count[/]",
            shown=shown,
            count=count,
        )

    def watch_text(self) -> None:
        if isinstance(self.parent, Field):
            self.post_message(Field.Changed(self.parent))

    def step(self, direction: int) -> None:
        """Go to the choice before or after, round the end."""
        if self.text in self._choices:
            index = self._choices.index(self.text) + direction
        else:
            index = 0 if direction > 0 else -1
        self.text = self._choices[index % len(self._choices)]

    async def _on_key(self, event: events.Key) -> None:
        if passed_on(self, event):
            return
        match event.key:
            case "left":
                self.step(-1)
            case "right" | "space":
                self.step(1)
            case "enter":
                self._send()
            case _:
                return
        event.stop()

    def on_click(self, event: events.Click) -> None:
        self.step(-1 if event.x < 2 else 1)


class PromptFields(Vertical):
    """All fields of one prompt."""

    def __init__(
        self, prompt: PromptTemplate, values: Mapping[str, str], send: Callable[[], None]
    ) -> None:
        """Make the fields.

        Args:
            prompt: whose variables are asked for.
            values: what the user gave already; defaults stand in for the rest.
            send: called at Enter in any of them.
        """
        super().__init__(classes="prompt-fields")
        self.prompt = prompt
        self.fields = [Field(v, values.get(v.name, v.default or ""), send) for v in prompt.fields]

    def compose(self) -> ComposeResult:
        yield from self.fields

    @property
    def values(self) -> dict[str, str]:
        """What the fields say, by variable."""
        return {field.variable.name: field.value for field in self.fields}

    def find(self, name: str) -> Field | None:
        """The field of the variable called ``name``."""
        return next((field for field in self.fields if field.variable.name == name), None)
