"""The tools in the sidebar: one line each, that switches the tool on and off.

Draws what it is told, and posts what the user wants. Knows no tool box.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive

from chatbot.terminal_text import clean_line
from chatbot.tui.drawing.cells import fitted
from chatbot.tui.sidebar.row_list import RowList, switch_line

if TYPE_CHECKING:
    from chatbot.tools.values import Policy, ServerInfo, ToolInfo

_NEXT: "Final[dict[Policy, Policy]]" = {"ask": "allow", "allow": "deny", "deny": "ask"}
_COLOURS: "Final[dict[Policy, str]]" = {
    "ask": "$text-warning",
    "allow": "$text-success",
    "deny": "$text-error",
}


class ToolList(RowList["ToolInfo"]):
    """The tools; p changes the rule of the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("p", "policy", show=False)]

    HINT = "Space on, off · p ask, allow, deny"

    servers: "reactive[tuple[ServerInfo, ...]]" = reactive((), layout=True)
    problems: reactive[tuple[str, ...]] = reactive((), layout=True)

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
        self.show_rows(tools)
        self.servers = tuple(servers)
        self.problems = tuple(problems)

    def line(self, row: "ToolInfo", width: int) -> Content:
        """See ``RowList``; ⇄ reaches the network, ✎ writes."""
        definition = row.definition
        effects = ("⇄" if definition.reaches_network else "") + ("✎" if definition.writes else "")
        rule = "always" if row.is_always_allowed else row.policy
        colour = "$text-success" if row.is_always_allowed else _COLOURS[row.policy]
        return switch_line(definition.name, f"{effects} {rule}", colour, width, is_on=row.is_on)

    def more_lines(self, width: int) -> Sequence[Content]:
        """See ``RowList``: the servers, and what is wrong."""
        lines = [_server_line(server, width) for server in self.servers]
        for problem in self.problems:
            lines += Content.styled(f"✗ {clean_line(problem, 300)}", "$text-error").wrap(width)
        return lines

    def switch(self, row: "ToolInfo") -> None:
        """See ``RowList``."""
        self.post_message(self.Switched(row.definition.name, is_on=not row.is_on))

    def action_policy(self) -> None:
        """The next rule for the tool under the cursor."""
        if row := self.chosen:
            self.post_message(self.PolicyChosen(row.definition.name, _NEXT[row.policy]))


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
