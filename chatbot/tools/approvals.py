"""Who may let a tool run: a state machine without any input or output of its own.

The rules, in this order:

1. ``deny`` in the settings: never.
2. A tool that writes or reaches the network, while text from documents, the web or a tool is
   in the context: the user is asked about every single call, whatever was allowed before,
   because that text may be what asked for it.
3. Allowed by the settings, for this chat, or for always: it runs. What the user allows is one
   definition of a tool; when that changes, it is allowed no more. (Built-in tools are allowed
   by their names: they change with the program only.) ``--allow-tool`` is for what a server's tool
   is at first in this run. What a server says of a tool that it changed counts as text that others
   wrote, for rule 2.
4. A tool that does neither: it runs, unless the settings say ``ask``.
5. Anything else: the user is asked.

Where there is nobody to ask, ``--allow-tool`` answers for the user, and without it the answer
is no. Where there is somebody, ``--allow-tool`` counts as ``allow`` in the settings.

Knows nothing of how a tool is run or how the user is asked.
"""

from collections.abc import Collection, Mapping
from typing import Final, Literal, Protocol

import msgspec

from chatbot.errors import ToolError
from chatbot.tools.values import ApprovalRequest, ApprovedBy, Decision, Policy, ToolDefinition

_TAINT: Final = "Text that others wrote is in the chat, and may be what asks for it."


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
    """When the user is asked: why, each a sentence."""
    choices: tuple[Decision, ...] = ()
    """When the user is asked: what can be answered."""


class Approvals:
    """What the user has allowed so far. Decides; changes only by what the user answers."""

    def __init__(
        self,
        policies: Mapping[str, Policy] | None = None,
        always: Mapping[str, str] | None = None,
        allowed_by_flag: Collection[str] = (),
    ) -> None:
        """Take over what was kept.

        Args:
            policies: what the settings say, by the tool's name.
            always: identities of the definitions that were allowed for always, by name.
            allowed_by_flag: the names given to ``--allow-tool``.
        """
        self.policies = dict(policies or {})
        self.always = dict(always or {})
        self._allowed_by_flag = frozenset(allowed_by_flag)
        self._allowed_in_chat: set[str] = set()
        self._first_seen: dict[str, str] = {}
        """Identities of the servers' tools, as they were at first in this run, by name."""

    def policy(self, definition: ToolDefinition) -> Policy:
        """What holds for a tool where nothing more special does."""
        default: Policy = "allow" if definition.is_harmless and _is_ours(definition) else "ask"
        return self.policies.get(definition.name, default)

    def is_always_allowed(self, definition: ToolDefinition) -> bool:
        """Whether the user answered "always", of this very definition."""
        return self.always.get(definition.name) == definition.identity

    def is_changed(self, definition: ToolDefinition) -> bool:
        """Whether a server says something else of its tool than when it was allowed for always,
        or else than at first in this run.
        """
        if definition.origin != "mcp":
            return False
        known = self.always.get(definition.name) or self._first(definition)
        return known != definition.identity

    def set_policy(self, definition: ToolDefinition, policy: Policy) -> None:
        """Let the settings say something else of a tool; earlier answers on it are void."""
        self.policies[definition.name] = policy
        self._first_seen[definition.name] = definition.identity
        self.always.pop(definition.name, None)
        if policy == "allow" and not _is_ours(definition):
            self.always[definition.name] = definition.identity
        self._allowed_in_chat.discard(definition.identity)

    def forget_chat(self) -> None:
        """Another chat begins."""
        self._allowed_in_chat.clear()

    def judge(self, definition: ToolDefinition, *, is_tainted: bool) -> Judgement:
        """What the rules say of a call of this tool.

        Args:
            definition: the tool, as it is now.
            is_tainted: text from documents, the web or a tool is in the context.
        """
        policy = self.policy(definition)
        if policy == "deny":
            return Judgement(kind="refuse")
        if is_tainted and not definition.is_harmless:
            return Judgement(
                kind="ask", reasons=(*self._effects(definition), _TAINT), choices=("once", "no")
            )
        if allowed_by := self._allowed_by(definition, policy):
            return Judgement(kind="run", approved_by=allowed_by)
        reasons = self._effects(definition)
        if definition.name in self.always and not self.is_always_allowed(definition):
            changed = definition.changes_since(self.always[definition.name])
            reasons = (*reasons, f"{changed} changed since you allowed it.")
        return Judgement(kind="ask", reasons=reasons, choices=("once", "chat", "always", "no"))

    def _allowed_by(self, definition: ToolDefinition, policy: Policy) -> ApprovedBy:
        if definition.identity in self._allowed_in_chat:
            return "chat"
        if self.is_always_allowed(definition):
            return "always"
        if self._is_flagged(definition):
            return "flag"
        # A name in the settings says nothing of what a server or a file now means by it.
        if policy == "allow" and _is_ours(definition):
            return "settings" if definition.name in self.policies else "default"
        return ""

    def _is_flagged(self, definition: ToolDefinition) -> bool:
        """Whether the flag names it, and no server has made another tool of it in this run."""
        is_same = definition.origin != "mcp" or self._first(definition) == definition.identity
        return is_same and definition.name in self._allowed_by_flag

    def _first(self, definition: ToolDefinition) -> str:
        return self._first_seen.setdefault(definition.name, definition.identity)

    @staticmethod
    def _effects(definition: ToolDefinition) -> tuple[str, ...]:
        """What the tool does that makes it worth a question, each a sentence."""
        if definition.origin == "mcp":
            return (f"It belongs to the server {definition.server}.",)
        effects = []
        if definition.reaches_network:
            effects.append("It reaches the network.")
        if definition.writes:
            effects.append("It can change things on this machine.")
        return tuple(effects)

    async def approve(
        self,
        definition: ToolDefinition,
        arguments: str,
        *,
        is_tainted: bool,
        approver: Approver | None,
    ) -> ApprovedBy:
        """Get a call allowed, by the rules or by the user.

        Args:
            definition: the tool, as it is now.
            arguments: what the user is shown; exactly what the tool is then run with.
            is_tainted: text from documents, the web or a tool is in the context.
            approver: asks the user; None where there is nobody.

        Returns:
            Who allowed it.

        Raises:
            ToolError: it is not allowed, in one sentence for the model.
        """
        judgement = self.judge(definition, is_tainted=is_tainted)
        if judgement.kind == "run":
            return judgement.approved_by
        if judgement.kind == "refuse":
            raise ToolError(f"The user does not allow {definition.name}; answer without it.")
        if approver is None:
            if self._is_flagged(definition):
                return "flag"
            raise ToolError(
                f"{definition.name} needs the user's approval and there is nobody to ask "
                f"(--allow-tool {definition.name} allows it); answer without it."
            )
        decision = await approver.ask(
            ApprovalRequest(
                definition=definition,
                arguments=arguments,
                reasons=judgement.reasons,
                choices=judgement.choices,
            )
        )
        # What was not offered is no answer: a face that lags behind must not widen a yes.
        if decision == "no" or decision not in judgement.choices:
            raise ToolError(f"The user refused this call of {definition.name}; do not repeat it.")
        if decision == "chat":
            self._allowed_in_chat.add(definition.identity)
        elif decision == "always":
            self.always[definition.name] = definition.identity
        return "user"


def _is_ours(definition: ToolDefinition) -> bool:
    """Whether what the definition says of itself was written by this program's authors.

    A user's own function that is called harmless is, but it is only run unasked once the user
    has said so; of a server's, nothing is known.
    """
    return definition.origin == "built-in"
