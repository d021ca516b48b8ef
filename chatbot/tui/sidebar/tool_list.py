"""The tools in the sidebar: one line each, that switches the tool on and off.

Draws what it is told, and posts what the user wants. Knows no tool box.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.terminal_text import clean_line
from chatbot.tui.chat.source_lines import fitted
from chatbot.tui.knowledge.folder_rows import OFF, ON

if TYPE_CHECKING:
    from chatbot.tools.values import Policy, ServerInfo, ToolInfo

HINT: Final = "Space on, off · p ask, allow, deny"

_NEXT: "Final[dict[Policy, Policy]]" = {"ask": "allow", "allow": "deny", "deny": "ask"}
_COLOURS: "Final[dict[Policy, str]]" = {
    "ask": "$text-warning",
    "allow": "$text-success",
    "deny": "$text-error",
}


class ToolList(Widget, can_focus=True):
    """The tools; Space, Enter and clicks switch the one under the cursor, p changes its rule."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("space,enter", "switch", show=False),
        Binding("p", "policy", show=False),
    ]

    tools: "reactive[tuple[ToolInfo, ...]]" = reactive((), layout=True)
    servers: "reactive[tuple[ServerInfo, ...]]" = reactive((), layout=True)
    problems: reactive[tuple[str, ...]] = reactive((), layout=True)
    cursor: reactive[int] = reactive(0)

    class Switched(Message):
        """The user wants a tool on, or off."""

        def __init__(self, name: str, *, is_on: bool) -> None:
            super().__init__()
            self.name = name
            self.is_on = is_on

    class PolicyChosen(Message):
        """The user wants to be asked about a tool, or no longer."""

        def __init__(self, name: str, policy: "Policy") -> None:
            super().__init__()
            self.name = name
            self.policy = policy

    def show_tools(
        self,
        tools: "Sequence[ToolInfo]",
        servers: "Sequence[ServerInfo]",
        problems: Sequence[str],
    ) -> None:
        """Show how the tools stand."""
        self.tools = tuple(tools)
        self.servers = tuple(servers)
        self.problems = tuple(problems)
        self.cursor = min(self.cursor, max(len(tools) - 1, 0))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(max(width, 1)))

    def render(self) -> Content:
        return Content("\n").join(self._lines(max(self.size.width, 1)))

    def _lines(self, width: int) -> list[Content]:
        lines = [_tool_line(info, width) for info in self.tools]
        if self.has_focus and self.cursor < len(lines):
            lines[self.cursor] = lines[self.cursor].stylize("on $primary 30%")
        lines += [_server_line(server, width) for server in self.servers]
        for problem in self.problems:
            lines += Content.styled(f"✗ {clean_line(problem, 300)}", "$text-error").wrap(width)
        return [*lines, Content.styled(HINT, "dim")]

    def action_move(self, step: int) -> None:
        """Go up or down the list."""
        self.cursor = min(max(self.cursor + step, 0), max(len(self.tools) - 1, 0))

    def action_switch(self) -> None:
        """Have the tool under the cursor on, or off."""
        if self.cursor < len(self.tools):
            info = self.tools[self.cursor]
            self.post_message(self.Switched(info.definition.name, is_on=not info.is_on))

    def action_policy(self) -> None:
        """The next rule for the tool under the cursor."""
        if self.cursor < len(self.tools):
            info = self.tools[self.cursor]
            self.post_message(self.PolicyChosen(info.definition.name, _NEXT[info.policy]))

    def on_click(self, event: events.Click) -> None:
        if event.y < len(self.tools):
            event.stop()
            self.cursor = event.y
            self.action_switch()


def _tool_line(info: "ToolInfo", width: int) -> Content:
    """``☑ calculate            allow``; ⇄ reaches the network, ✎ writes."""
    definition = info.definition
    effects = ("⇄" if definition.reaches_network else "") + ("✎" if definition.writes else "")
    about = f"{effects} always" if info.is_always_allowed else f"{effects} {info.policy}"
    colour = "$text-success" if info.is_always_allowed else _COLOURS[info.policy]
    name = fitted(definition.name, max(width - cell_len(about) - 3, 6))
    gap = " " * max(width - 2 - cell_len(name) - cell_len(about), 1)
    return Content.assemble(
        (f"{ON if info.is_on else OFF} ", "$text-accent"),
        (name, "" if info.is_on else "dim"),
        gap,
        (about, colour if info.is_on else "dim"),
    )


def _server_line(server: "ServerInfo", width: int) -> Content:
    states = {
        "starting": ("…", "dim"),
        "ready": ("✓", "$text-success"),
        "failed": ("✗", "$text-error"),
    }
    mark, colour = states[server.state]
    about = (
        f"{server.num_tools} tools {mark}" if server.state == "ready" else f"{server.state} {mark}"
    )
    name = fitted(f"MCP {clean_line(server.name, 64)}", max(width - cell_len(about) - 1, 6))
    gap = " " * max(width - cell_len(name) - cell_len(about), 1)
    return Content.assemble((name, "dim"), gap, (about, colour))
