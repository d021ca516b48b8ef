"""The tools as the conversation and the faces see them."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from chatbot.tools.approvals import Approver
from chatbot.tools.knowledge import KnowledgeAccess
from chatbot.tools.settings import ToolSettings
from chatbot.tools.values import Policy, ServerInfo, ToolCall, ToolInfo, ToolOutcome


class ToolBox:
    """Every tool there is, which of them are on, and what the user allows them."""

    def __init__(
        self,
        settings: ToolSettings,
        *,
        user_file: Path,
        log_dir: Path,
        knowledge: KnowledgeAccess | None = None,
        allowed_by_flag: Collection[str] = (),
        save: Callable[[ToolSettings], None] | None = None,
    ) -> None:
        raise NotImplementedError

    async def refresh(self) -> None:
        """List the user's file and the MCP servers anew."""
        raise NotImplementedError

    @property
    def tools(self) -> tuple[ToolInfo, ...]:
        """Every tool that is known: built-in, the user's, then each server's."""
        raise NotImplementedError

    @property
    def servers(self) -> tuple[ServerInfo, ...]:
        """The MCP servers and how they are."""
        raise NotImplementedError

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each thing that is wrong with the user's file or a server."""
        raise NotImplementedError

    def on_change(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` whenever tools, servers or problems change, from the event loop."""
        raise NotImplementedError

    def switch(self, name: str, *, is_on: bool) -> None:
        """Switch a tool on or off, and keep that in the settings."""
        raise NotImplementedError

    def set_policy(self, name: str, policy: Policy) -> None:
        """Ask about a tool, allow it, or deny it; kept in the settings."""
        raise NotImplementedError

    def forget_chat(self) -> None:
        """Another chat begins: what was allowed for the chat is allowed no more."""
        raise NotImplementedError

    def schemas(self) -> list[dict[str, Any]]:
        """The tools that are on and usable, in the form of OpenAI's functions."""
        raise NotImplementedError

    def begin_turn(self, *, is_tainted: bool, approver: Approver | None) -> "ToolTurn":
        """The tools' side of one turn.

        Args:
            is_tainted: text from documents, the web or a tool is in the context already.
            approver: asks the user; None where there is nobody to ask.
        """
        raise NotImplementedError

    async def run_by_hand(self, name: str, text: str) -> ToolOutcome:
        """Run a tool because the user typed ``/tool name text``.

        Args:
            name: the tool; it need not be on.
            text: its arguments as a JSON object, or the value of its first parameter.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """End everything that runs."""
        raise NotImplementedError


class ToolTurn:
    """The calls of one turn: rounds, repeats and taint are counted here."""

    @property
    def rounds_left(self) -> int:
        """How many more rounds of calls will be run."""
        raise NotImplementedError

    async def run(self, call: ToolCall, approver: Approver | None = None) -> ToolOutcome:
        """One round with one call."""
        raise NotImplementedError

    async def run_round(
        self, calls: Sequence[ToolCall], on_start: Callable[[ToolCall], None] | None = None
    ) -> tuple[ToolOutcome, ...]:
        """Run the calls that the model made at once, beside one another.

        Cancelling this kills what runs. Never raises for what a call or a tool does wrong: an
        outcome says it.

        Args:
            calls: at most ``MAX_CALLS_PER_ROUND`` are run; an outcome says so of the others.
            on_start: told of each call when it begins to run, after the user allowed it.

        Returns:
            One outcome for each call, in their order.
        """
        raise NotImplementedError
