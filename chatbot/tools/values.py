"""Tools, calls and their outcomes, as values. Every text in them is cleaned for the terminal."""

from typing import Any, Final, Literal

import msgspec

TIME_LIMIT_SECONDS: Final = 10.0
"""How long a call may take before its process is killed."""
MAX_RESULT_BYTES: Final = 32 * 1024
"""Longest result that the model is given, in UTF-8; more is cut off, with a note."""
MAX_ROUNDS: Final = 8
"""How often in one turn the model may be given results and go on."""
MAX_CALLS_PER_ROUND: Final = 8
MAX_ARGUMENT_BYTES: Final = 256 * 1024
"""Longest arguments of a call, as JSON."""

Origin = Literal["built-in", "user", "mcp"]
Policy = Literal["ask", "allow", "deny"]

ApprovedBy = Literal["", "default", "settings", "chat", "always", "user", "flag", "hand"]
"""Who allowed a call: nobody, so that it was not run; the tool does no harm and runs unless
the settings say otherwise; the settings; an earlier answer for this chat, or for always; the
user, asked about this very call; ``--allow-tool``; the user called it by hand."""


class ToolDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a tool before it is called."""

    name: str
    """Letters, digits, ``_`` and ``-``, at most 64."""
    description: str
    parameters: dict[str, Any]
    """JSON schema of an object."""
    reaches_network: bool = True
    writes: bool = True
    origin: Origin = "built-in"
    server: str = ""
    """The MCP server's name; empty for other tools."""
    remote_name: str = ""
    """What the MCP server itself calls it."""
    source_hash: str = ""
    """SHA-256 of the file it is written in, or of how its server is started."""

    @property
    def is_harmless(self) -> bool:
        """Whether it neither writes nor reaches the network."""
        return not (self.reaches_network or self.writes)

    @property
    def identity(self) -> str:
        """Changes with anything that the user's approval rests on.

        One hash of all, and for ``changes_since`` a few digits of each part.
        """
        effects = [self.reaches_network, self.writes]
        place = [self.name, self.origin, self.server, self.remote_name, self.source_hash]
        parts = [self.description, self.parameters, effects]
        digits = [_hash(part)[:4] for part in parts]
        return "-".join([_hash([*parts, *place])[:32], *digits])

    def changes_since(self, identity: str) -> str:
        """What is another than in the definition of this ``identity``, as a subject: ``It``."""
        pairs = zip(self.identity.split("-")[1:], identity.split("-")[1:], strict=False)
        names = ("description", "parameters", "effects")
        changed = [name for name, (now, then) in zip(names, pairs, strict=False) if now != then]
        return f"Its {' and '.join(changed)}" if changed else "It"


def _hash(value: Any) -> str:
    import hashlib  # 8 ms, which a tool process does not need to spend

    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


class ToolInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as the user sees it."""

    definition: ToolDefinition
    is_on: bool
    policy: Policy
    is_always_allowed: bool = False
    """The user answered "always", of this very definition."""


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An MCP server as the user sees it."""

    name: str
    state: Literal["starting", "ready", "failed"] = "starting"
    num_tools: int = 0
    error: str = ""
    """When failed: one sentence."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the model asked for."""

    id: str = ""
    name: str
    arguments: str
    """JSON, as the model wrote it."""


class ToolOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a call. Either ``result`` or ``error`` says it."""

    call_id: str = ""
    name: str
    result: str = ""
    error: str = ""
    """One sentence, for the model and the user."""
    seconds: float = 0.0
    """What the execution took, without the time that the user thought about it."""
    approved_by: ApprovedBy = ""


Decision = Literal["once", "chat", "always", "no"]
"""What the user says to one call; ``chat`` and ``always`` hold for later calls too."""


class ApprovalRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the user is asked."""

    definition: ToolDefinition
    arguments: str
    """Exactly those the tool is run with, as JSON; what cannot be seen is written ``\\u200b``."""
    reasons: tuple[str, ...]
    """Why it is asked, each a sentence."""
    choices: tuple[Decision, ...]
    """What can be answered; anything else counts as ``no``."""
