"""Who may let a tool run: a state machine without any input or output of its own.

The rules, in this order:

1. ``deny`` in the settings: never.
2. A tool that writes or reaches the network, while text from documents, the web or a tool is
   in the context: the user is asked about every single call, whatever was allowed before,
   because that text may be what asked for it.
3. Allowed by the settings, for this chat, or for always: it runs. An answer is kept for one
   definition of a tool and is void when that changes.
4. A tool that does neither: it runs, unless the settings say ``ask``.
5. Anything else: the user is asked.

Where there is nobody to ask, ``--allow-tool`` answers for the user, and without it the answer
is no. Knows nothing of how a tool is run or how the user is asked.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Literal, Protocol

import msgspec

from chatbot.tools.values import ApprovalRequest, ApprovedBy, Decision, Policy, ToolDefinition


class Approver(Protocol):
    """Asks the user. A face without anybody behind it gives none."""

    async def ask(self, request: ApprovalRequest) -> Decision:
        """The user's answer; ``no`` when the question is dismissed."""
        ...


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules say of a call."""

    kind: Literal["run", "ask", "refuse"]
    approved_by: ApprovedBy = ""
    """When it runs."""
    reasons: tuple[str, ...] = ()
    """Why the user has to be asked, or why it is refused."""
    choices: tuple[Decision, ...] = ()
    """What the user can answer."""


class Approvals:
    """What the user has allowed so far."""

    def __init__(
        self,
        policies: Mapping[str, Policy] | None = None,
        always: Mapping[str, str] | None = None,
        allowed_by_flag: Collection[str] = (),
    ) -> None:
        raise NotImplementedError

    def judge(self, definition: ToolDefinition, *, is_tainted: bool) -> Judgement:
        """What the rules say of a call of this tool."""
        raise NotImplementedError

    async def approve(
        self,
        definition: ToolDefinition,
        arguments: str,
        *,
        is_tainted: bool,
        approver: Approver | None,
    ) -> ApprovedBy:
        """Get a call allowed.

        Raises:
            ToolError: it is not.
        """
        raise NotImplementedError


Remember = Callable[[str, str], Awaitable[None]]
