"""The controls of the sidebar: one for each kind of setting.

A control refuses what its setting does not allow, in place and with the allowed range, and
posts only what is valid. Knows nothing of what a setting does.
"""

import math
from typing import Any, ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from chatbot.errors import SettingError
from chatbot.settings import Spec
from chatbot.tui.text_area import WritingArea


class SettingChosen(Message):
    """The user chose an allowed value."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__()
        self.name = name
        self.text = text


_NOTHING: Final = object()
"""No value at all; None is one (a random seed)."""


class SettingControl(Vertical):
    """A setting's label, what changes it, and room for a refusal."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(id=f"setting-{spec.name}")
        self.spec = spec
        self.tooltip = f"{spec.help} Allowed: {spec.allowed}."
        self._shown: Any = _NOTHING
        self._is_built = False
        """Whether the parts are there that a value is shown by."""
        self.refusal = ""
        """Why the last text was not taken; empty where it was."""

    def show_value(self, value: Any) -> None:
        """Show the value that is in force; one shown already leaves what is being typed alone."""
        if self._shown is _NOTHING or value != self._shown:
            self._shown = value
            self._refuse("")
            if self._is_built:
                self._show(value)

    def on_mount(self) -> None:
        self._is_built = True
        if self._shown is not _NOTHING:
            self._show(self._shown)

    def _show(self, value: Any) -> None:
        raise NotImplementedError

    def _refuse(self, sentence: str) -> None:
        """Say why a text is not taken, or with nothing that all is well."""
        if sentence != self.refusal:
            self.refusal = sentence
            self._show_refusal()

    def _show_refusal(self) -> None:
        raise NotImplementedError

    def choose(self, text: str) -> bool:
        """Post ``text`` if it is allowed, else say here what is; returns whether it is."""
        try:
            self.spec.parse(text)
        except SettingError as error:
            self._refuse(str(error))
            return False
        self._refuse("")
        self.post_message(SettingChosen(self.spec.name, text))
        return True


class NumberInput(Input):
    """A number that the arrow keys step up and down."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "step(1)", "Up", show=False),
        Binding("down", "step(-1)", "Down", show=False),
    ]

    class Stepped(Message):
        """The user asked for a step up (1) or down (-1)."""

        def __init__(self, direction: int) -> None:
            super().__init__()
            self.direction = direction

    def action_step(self, direction: int) -> None:
        """Ask for a step."""
        self.post_message(self.Stepped(direction))


class RowControl(SettingControl):
    """A setting on one line: its label, and what changes it at the end of the line.

    The label, and what stands below the line, are drawn by the control itself, not by widgets:
    each widget of the sidebar takes time whenever the screen is laid out, which is while an
    answer streams.
    """

    ALLOW_SELECT = False

    def __init__(self, spec: Spec, editor: Widget) -> None:
        """Show what changes the value, ``editor``, the only child."""
        super().__init__(spec)
        self._editor = editor

    def compose(self) -> ComposeResult:
        yield self._editor

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return sum(part.get_height({}, width) for part in self._parts(width))

    def render(self) -> Content:
        return Content("\n").join(self._parts(self.size.width))

    def _parts(self, width: int) -> list[Content]:
        """What is drawn, one below the other."""
        refusal = [Content.styled(self.refusal, "$text-error")] if self.refusal else []
        return [Content(self.spec.label), *refusal]

    def _show_refusal(self) -> None:
        self.refresh(layout=True)


class NumberControl(RowControl):
    """A number: typed, stepped with the arrow keys, or clicked on the bar of its range."""

    def __init__(self, spec: Spec) -> None:
        self._input = NumberInput(compact=True, select_on_focus=True)
        super().__init__(spec, self._input)
        self._has_bar = spec.kind in ("float", "int")

    def _parts(self, width: int) -> list[Content]:
        label, *rest = super()._parts(width)
        return [label, *([self._bar(width)] if self._has_bar else []), *rest]

    def _bar(self, width: int) -> Content:
        """Where the value lies in its range."""
        share = 0.0 if self._shown is _NOTHING else self._share_of(float(self._shown))
        at = round(share * (width - 1))
        return Content.assemble(
            ("━" * at, "$primary"),
            ("●", "bold $accent"),
            ("─" * (width - 1 - at), "$foreground 30%"),
        )

    def _show(self, value: Any) -> None:
        self._input.value = self.spec.format(value)
        self.refresh()

    def _is_wide(self) -> bool:
        """Whether the range spans so much that the bar has to be logarithmic."""
        return self.spec.kind == "int" and self.spec.maximum > 100

    def _share_of(self, value: float) -> float:
        low, high = self.spec.minimum, self.spec.maximum
        if self._is_wide():
            return math.log1p(value - low) / math.log1p(high - low)
        return (value - low) / (high - low)

    def _value_at(self, share: float) -> float:
        low, high = self.spec.minimum, self.spec.maximum
        if self._is_wide():
            return low + math.expm1(share * math.log1p(high - low))
        value = low + share * (high - low)
        return round(value / self.spec.step) * self.spec.step

    def _choose_number(self, value: float) -> None:
        low, high = self.spec.minimum, self.spec.maximum
        if self.spec.kind != "seed":
            value = min(max(value, low), high)
        whole = self.spec.kind != "float"
        self.choose(str(round(value)) if whole else f"{value:.6g}")

    @on(NumberInput.Stepped)
    def _step(self, event: NumberInput.Stepped) -> None:
        event.stop()
        try:
            present = self.spec.parse(self._input.value)
        except SettingError:
            present = self.spec.minimum
        number = float(present) if isinstance(present, int | float) else 0.0
        self._choose_number(max(number + event.direction * self.spec.step, 0))

    def on_click(self, event: events.Click) -> None:
        if self._has_bar and event.widget is self and event.y == 1:
            share = event.x / max(self.size.width - 1, 1)
            self._choose_number(self._value_at(min(max(share, 0), 1)))

    @on(Input.Submitted)
    @on(Input.Blurred)
    def _take(self, event: Input.Submitted | Input.Blurred) -> None:
        event.stop()
        if event.value != self.spec.format(self._shown) or self.refusal:
            self.choose(event.value)


class BlockControl(SettingControl):
    """A setting on several lines, from its label on top to the room for a refusal."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._refusal_line = Label("", classes="refusal", markup=False)
        self._refusal_line.display = False

    def _show_refusal(self) -> None:
        self._refusal_line.update(self.refusal)
        self._refusal_line.display = bool(self.refusal)


class TextControl(BlockControl):
    """One line of text, taken at Enter."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._input = Input(
            compact=True, placeholder=spec.label if spec.name == "model" else "none"
        )
        self._about = Static("", classes="setting-about", markup=False)
        self._about.display = False

    def compose(self) -> ComposeResult:
        if self.spec.name != "model":  # that one stands right below its group's title
            yield Label(self.spec.label, classes="setting-label")
        yield self._input
        yield self._about
        yield self._refusal_line

    def _show(self, value: Any) -> None:
        self._input.value = str(value)

    def say(self, text: str) -> None:
        """Say something about the value, below it."""
        self._about.display = bool(text)
        self._about.update(text)

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        event.stop()
        self.choose(event.value)


class LongTextControl(BlockControl):
    """Several lines of text, taken when the user goes elsewhere."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._area = WritingArea(compact=True, show_line_numbers=False, tab_behavior="focus")

    def compose(self) -> ComposeResult:
        yield Label(self.spec.label, classes="setting-label")
        yield self._area
        yield self._refusal_line

    def _show(self, value: Any) -> None:
        if self._area.text != value:
            self._area.text = str(value)

    def on_descendant_blur(self) -> None:
        if self._area.text != self._shown:
            self.choose(self._area.text)


class Chooser(Static, can_focus=True):
    """One of a few words; the arrow keys and clicks go through them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space,enter", "step(1)", "Next", show=False),
        Binding("left", "step(-1)", "Previous", show=False),
    ]

    class Stepped(Message):
        """The user asked for the next (1) or the previous (-1) one."""

        def __init__(self, direction: int) -> None:
            super().__init__()
            self.direction = direction

    def show_choice(self, choice: str) -> None:
        """Show what is chosen."""
        self.update(Content.assemble(("‹ ", "dim"), choice, (" ›", "dim")))

    def action_step(self, direction: int) -> None:
        """Ask for another."""
        self.post_message(self.Stepped(direction))

    def on_click(self, event: events.Click) -> None:
        self.action_step(-1 if event.x < self.size.width // 3 else 1)


class ChoiceControl(RowControl):
    """One of a few."""

    def __init__(self, spec: Spec) -> None:
        self._chooser = Chooser(classes="chooser")
        super().__init__(spec, self._chooser)

    def _show(self, value: Any) -> None:
        self._chooser.show_choice(str(value))

    @on(Chooser.Stepped)
    def _step(self, event: Chooser.Stepped) -> None:
        event.stop()
        choices = self.spec.choices
        index = choices.index(self._shown) if self._shown in choices else -1
        self.choose(choices[(index + event.direction) % len(choices)])


def control_for(spec: Spec) -> SettingControl:
    """The control that fits a setting."""
    match spec.kind:
        case "choice":
            return ChoiceControl(spec)
        case "text" if spec.name == "system_prompt":
            return LongTextControl(spec)
        case "text":
            return TextControl(spec)
        case _:
            return NumberControl(spec)
