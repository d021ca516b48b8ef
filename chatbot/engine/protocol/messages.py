"""What the model is told: the messages of a chat, and the tools that it may call."""

from typing import Literal

import msgspec

from chatbot.messages import Role

ChatRole = Role | Literal["tool"]
"""A tool's result is a message of its own for the model, though not for the user."""


class ToolExample(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody may ask, and the call that answers it."""

    question: str
    arguments: str
    """A JSON object."""


class ToolSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as the model is told of it."""

    name: str
    """Letters, digits, ``_``, ``-`` and ``.`` alone, at most 64 characters."""
    description: str
    parameters: str = '{"type": "object", "properties": {}}'
    """JSON schema of the arguments, which are always an object."""
    example: ToolExample | None = None
    """Shown to models whose template knows no tools; small ones call nothing without any."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the model made, as the later rounds of the turn show it."""

    id: str
    name: str
    arguments: str
    """A JSON object."""
    raw: str = ""
    """As ``ToolCallReady`` gave it. With it the next prompt begins with the very tokens that
    the model wrote, so that none of them is read again."""


class ChatMessage(msgspec.Struct, frozen=True):
    """One message as the model's chat template knows it."""

    role: ChatRole
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """On an answer: the calls that it ends with, after the content."""
    call_id: str = ""
    """On a tool's result: the call that it belongs to."""
    name: str = ""
    """On a tool's result: the tool."""
    thinking: str = ""
    """On an answer: what was thought before it. Shown to the model again only while the turn
    goes on, and only where its family does that."""
