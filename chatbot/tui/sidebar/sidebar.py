"""The settings sidebar: every setting of the table, live."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Label

from chatbot.engine.client import EngineStatus
from chatbot.settings import SPECS, Settings, Spec, get_value
from chatbot.tui.sidebar.setting_controls import ChoiceControl, TextControl, control_for
from chatbot.wording import memory, parameters

if TYPE_CHECKING:
    from chatbot.conversation.folders import FolderState
    from chatbot.tools.values import ServerInfo, ToolInfo
    from chatbot.tui.sidebar.adapter_list import AdapterPanel, AdapterRow
    from chatbot.tui.sidebar.folder_list import FolderList
    from chatbot.tui.sidebar.tool_list import ToolList

KNOWLEDGE: Final = (
    *("num_sources", "relevance_threshold", "grounding"),
    *("embedding_model", "reranker"),
)
"""Settings that act on the knowledge folders."""


BESIDE_FROM: Final = 80
"""Columns from which there is room for the chat beside it; on a narrower screen it lies over it."""


class Sidebar(VerticalScroll, can_focus=False):
    """Controls, grouped by what they act on."""

    def __init__(self, settings: Settings, themes: Iterable[str]) -> None:
        super().__init__(id="sidebar")
        self._settings = settings
        self._folders: FolderList | None = None
        self._states: tuple[FolderState, ...] = ()
        self._tools: ToolList | None = None
        self._adapters: AdapterPanel | None = None
        self._adapter_rows: tuple[AdapterRow, ...] = ()
        self._controls = {spec.name: control_for(spec) for spec in SPECS}
        self._controls["thinking"].display = False  # until a model is there that can be told
        self._theme = ChoiceControl(
            Spec(
                name="theme",
                label="Theme",
                kind="choice",
                choices=tuple(themes),
                help="Colours of the screen.",
            )
        )

    def on_mount(self) -> None:
        self.watch(self.screen, "focused", self._give_way, init=False)

    def fit(self, num_columns: int) -> None:
        """Lie beside the chat, or over it, on a screen of so many columns."""
        self.set_class(num_columns < BESIDE_FROM, "-over")
        self._give_way(self.screen.focused)

    def _give_way(self, focused: Widget | None) -> None:
        """Where it lies over the chat, it goes when the user goes there."""
        if focused and self.has_class("-over") and self not in focused.ancestors:
            self.display = False

    async def fill(self) -> None:
        """Add the controls. They are most of the widgets, so the first frame goes without."""
        model = ("model", "precision", "thinking")
        sampling = [spec.name for spec in SPECS if spec.is_sampling]
        grouped = (*model, *sampling, *KNOWLEDGE)
        rest = [spec.name for spec in SPECS if spec.name not in grouped]
        from chatbot.tui.sidebar.adapter_list import AdapterPanel
        from chatbot.tui.sidebar.folder_list import FolderList
        from chatbot.tui.sidebar.tool_list import ToolList

        self._adapters = AdapterPanel()
        self._adapters.show_rows(self._adapter_rows)
        self._tools = ToolList(id="tools-in-force")
        self._folders = FolderList(id="folders-in-force")
        self._folders.show_rows(self._states)
        widgets: list[Widget] = []
        for title, lists, names in (
            ("Model", (), model),
            ("Adapters · from the next answer on", (self._adapters,), ()),
            ("Sampling · acts at the next token", (), sampling),
            ("Knowledge", (self._folders,), KNOWLEDGE),
            ("Tools", (self._tools,), ()),
            ("Conversation", (), rest),
        ):
            widgets += [Label(title, classes="group-title"), *lists]
            widgets += [self._controls[name] for name in names]
        await self.mount_all([*widgets, Label("Screen", classes="group-title"), self._theme])
        self.show_settings(self._settings)

    def show_settings(self, settings: Settings) -> None:
        """Show the values in force."""
        self._settings = settings
        for name, control in self._controls.items():
            control.show_value(get_value(settings, name))
        self._theme.show_value(settings.theme)

    def show_folders(self, states: "Sequence[FolderState]") -> None:
        """Show the knowledge folders, and how far each is."""
        self._states = tuple(states)
        if self._folders:
            self._folders.show_rows(states)

    def show_adapters(self, rows: "Sequence[AdapterRow]") -> None:
        """Show the model's adapters, and which are on."""
        self._adapter_rows = tuple(rows)
        if self._adapters:
            self._adapters.show_rows(rows)

    def show_tools(
        self,
        tools: "Sequence[ToolInfo]",
        servers: "Sequence[ServerInfo]",
        problems: Sequence[str],
    ) -> None:
        """Show the tools, and which are on."""
        if self._tools:
            self._tools.show_tools(tools, servers, problems)

    def show_status(self, status: EngineStatus) -> None:
        """Say below the model what is loaded, or why nothing is."""
        control = self._controls["model"]
        if not isinstance(control, TextControl):
            raise TypeError("the model is chosen by its name")
        control.set_class(status.state == "failed", "-failed")
        if status.info:
            self._controls["thinking"].display = status.info.thinking_switch != "none"
        if status.state == "ready" and status.info:
            info = status.info
            lines = [
                f"{parameters(info.num_parameters)} parameters",
                f"window {info.context_length:,} tokens",
            ]
            if info.weight_bytes:
                lines.insert(1, f"{memory(info.weight_bytes)} of weights")
            if info.split:
                lines.append(f"split: {info.split}")
            control.say("\n".join(lines))
        elif status.state == "loading":
            control.say(f"{status.stage}…")
        else:
            control.say(status.error)

    def focus_first(self) -> None:
        """Go to the setting that is changed most often."""
        self.screen.set_focus(self._controls["temperature"].query_one("NumberInput"))
