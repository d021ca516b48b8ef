"""Keeps the sidebar in step with the tools, and asks the user whether one may run.

Knows the app by the few verbs it needs. Starts nothing before the first frame is drawn.
"""

from typing import TYPE_CHECKING, Protocol

from chatbot.errors import ChatbotError
from chatbot.tui.sidebar.sidebar import Sidebar

if TYPE_CHECKING:
    from chatbot.conversation.tools import Tools
    from chatbot.tools.values import ApprovalRequest, Decision, Policy


class ToolsApp(Protocol):
    """What the watch needs of the app."""

    async def ask_approval(self, request: "ApprovalRequest") -> "Decision":
        """Show the question, and wait for the user."""
        ...

    def count_context(self) -> object:
        """Show anew what the next prompt consists of."""
        ...

    def refuse(self, sentence: str) -> None:
        """Say what went wrong."""
        ...


class ToolsWatch:
    """Between the tools and the app."""

    def __init__(self, app: ToolsApp, sidebar: Sidebar, tools: "Tools") -> None:
        """Prepare; nothing is started."""
        self._app = app
        self._sidebar = sidebar
        self._tools = tools
        self._told_problem = ""

    def start(self) -> None:
        """List the tools, and show them."""
        self._tools.approver = self
        self._tools.on_change(self.show)
        self._tools.start()
        self.show()

    async def ask(self, request: "ApprovalRequest") -> "Decision":
        """See ``chatbot.tools.approvals.Approver``."""
        return await self._app.ask_approval(request)

    def show(self) -> None:
        """Show how the tools stand now."""
        box = self._tools.box
        self._sidebar.show_tools(box.tools, box.servers, box.problems)
        self._app.count_context()
        if self._tools.problem and self._tools.problem != self._told_problem:
            self._told_problem = self._tools.problem
            self._app.refuse(self._told_problem)

    def switch(self, name: str, *, is_on: bool) -> None:
        """Have a tool on, or off."""
        try:
            self._tools.box.switch(name, is_on=is_on)
        except ChatbotError as error:
            self._app.refuse(str(error))

    def set_policy(self, name: str, policy: "Policy") -> None:
        """Ask about a tool, allow it or deny it."""
        try:
            self._tools.box.set_policy(name, policy)
        except ChatbotError as error:
            self._app.refuse(str(error))
