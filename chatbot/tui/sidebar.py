"""The settings sidebar: every setting of the table, live."""

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Label

from chatbot.engine.client import EngineStatus
from chatbot.settings import SPECS, Settings, Spec, find_spec, get_value
from chatbot.tui.setting_controls import ChoiceControl, SettingControl, TextControl, control_for


class Sidebar(VerticalScroll, can_focus=False):
    """Controls, grouped by what they act on."""

    def __init__(self, settings: Settings, themes: Iterable[str]) -> None:
        super().__init__(id="sidebar")
        self._settings = settings
        self._theme = ChoiceControl(
            Spec(
                name="theme",
                label="Theme",
                kind="choice",
                choices=tuple(themes),
                help="Colours of the screen.",
            ),
        )

    def compose(self) -> ComposeResult:
        model: list[Spec] = []
        sampling: list[Spec] = []
        rest: list[Spec] = []
        for spec in SPECS:
            if spec.name in ("model", "precision"):
                model.append(spec)
            else:
                (sampling if spec.is_sampling else rest).append(spec)
        for title, specs in (
            ("Model", model),
            ("Sampling · acts at the next token", sampling),
            ("Conversation", rest),
        ):
            yield Label(title, classes="group-title")
            yield from map(control_for, specs)
        yield Label("Screen", classes="group-title")
        yield self._theme

    def on_mount(self) -> None:
        self.show_settings(self._settings)

    def show_settings(self, settings: Settings) -> None:
        """Show the values in force."""
        self._settings = settings
        for control in self.query(SettingControl):
            if control is self._theme:
                control.show_value(settings.theme)
            else:
                control.show_value(get_value(settings, control.spec.name))

    def show_status(self, status: EngineStatus) -> None:
        """Say below the model what is loaded, or why nothing is."""
        control = self.query_one("#setting-model", TextControl)
        control.set_class(status.state == "failed", "-failed")
        if status.state == "ready" and status.info:
            info = status.info
            control.say(
                f"{_millions(info.num_parameters)} parameters · "
                f"{info.context_length:,} token window"
            )
        elif status.state == "loading":
            control.say(f"{status.stage}…")
        else:
            control.say(status.error)

    def focus_first(self) -> None:
        """Go to the setting that is changed most often."""
        name = find_spec("temperature").name
        self.query_one(f"#setting-{name} NumberInput").focus()


def _millions(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.0f} M"
