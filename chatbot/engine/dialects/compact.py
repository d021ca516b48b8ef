"""Our own protocol, for models whose template knows no tools.

A call is one line, ``{"tool": "NAME", "arguments": {…}}``, with which the answer starts. The
tools stand in the system message, one line each, and after it a worked example of each as
turns of their own: models of a hundred million parameters call nothing without examples.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from chatbot.engine.dialects.dialect import Dialect
from chatbot.engine.dialects.examples import example_of
from chatbot.engine.dialects.json_calls import JsonCall
from chatbot.engine.dialects.schemas import parameters_of
from chatbot.engine.protocol.messages import ChatMessage, ToolSchema

COMPACT: Final = Dialect(
    name="compact",
    forms=(JsonCall(trigger='{"tool":', name_key="tool", keeps_trigger=True, only_at_start=True),),
    knows_tools=False,
)

DEFAULT_SYSTEM: Final = "You are a helpful assistant."

_CHAT: Final = (
    ("Hi there.", "Hi! How can I help you?"),
    ("Who painted the Mona Lisa?", "Leonardo da Vinci painted it."),
)
"""Questions that need no tool, among the examples of those that do: without them a small model
calls a tool whatever it is asked."""

_ASK: Final = "\nAnswer my question in plain words."
"""After a result: a small model would call the tool again, as its examples do."""


def with_tools(
    messages: Sequence[ChatMessage], tools: Sequence[ToolSchema]
) -> tuple[list[ChatMessage], list[int]]:
    """The messages with the tools in them, for a template that knows none.

    Returns:
        The messages to render, and for each of ``messages`` how many of them there are up to
        and with it.
    """
    shown: list[ChatMessage] = []
    ends: list[int] = []
    rest = list(messages)
    if tools:
        is_given = bool(rest) and rest[0].role == "system"
        system = rest[0].content if is_given else DEFAULT_SYSTEM
        shown.append(ChatMessage("system", f"{system}\n\n{describe(tools)}".lstrip()))
        shown.extend(examples(tools))
        if is_given:
            del rest[0]
            ends.append(len(shown))
    for message in rest:
        result = _plain(message)
        if message.role == "tool" and shown and shown[-1].content.endswith(_ASK):
            # Several results are one turn, since many templates want the roles to alternate.
            before = shown[-1].content.removesuffix(_ASK)
            shown[-1] = ChatMessage("user", f"{before}\n\n{result.content}")
        else:
            shown.append(result)
        ends.append(len(shown))
    return shown, ends


def describe(tools: Sequence[ToolSchema]) -> str:
    """The tools and how they are called, in words."""
    lines = [f"{_signature(tool)} - {' '.join(tool.description.split())}" for tool in tools]
    return "\n".join(
        (
            "You can use these tools:",
            *lines,
            "To use a tool, answer with one line of JSON and nothing else:",
            '{"tool": "NAME", "arguments": {...}}',
            "Otherwise answer in plain words.",
        )
    )


def examples(tools: Sequence[ToolSchema]) -> list[ChatMessage]:
    """Worked examples, as turns."""
    turns: list[tuple[str, str]] = []
    for index, tool in enumerate(tools):
        if index % 2 == 0 and index // 2 < len(_CHAT):
            turns.append(_CHAT[index // 2])
        example = example_of(tool)
        turns.append((example.question, _line(tool.name, example.arguments)))
    return [
        message
        for question, answer in turns
        for message in (ChatMessage("user", question), ChatMessage("assistant", answer))
    ]


def _plain(message: ChatMessage) -> ChatMessage:
    """A message without calls or results in any form but text."""
    if message.role == "tool":
        name = message.name or "the tool"
        return ChatMessage("user", f"Result of {name}: {message.content}{_ASK}")
    if message.tool_calls:
        calls = "".join(call.raw for call in message.tool_calls)
        if not calls:
            calls = "\n".join(_line(call.name, call.arguments) for call in message.tool_calls)
        return ChatMessage(message.role, message.content + calls)
    return message


def _line(name: str, arguments: str) -> str:
    return f'{{"tool": {json.dumps(name)}, "arguments": {arguments}}}'


def _signature(tool: ToolSchema) -> str:
    schema = parameters_of(tool)
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    parts = [
        f"{name}{'' if name in required else '?'}: {_type(value)}"
        for name, value in properties.items()
    ]
    return f"{tool.name}({', '.join(parts)})"


def _type(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "any"
    if values := schema.get("enum"):
        return "|".join(map(str, values))
    kind = schema.get("type", "any")
    return "|".join(map(str, kind)) if isinstance(kind, list) else str(kind)
