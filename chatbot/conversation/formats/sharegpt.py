"""ShareGPT: ``{"id": ..., "conversations": [{"from": "human", "value": ...}, ...]}``."""

from typing import Any, Final

import msgspec

from chatbot.conversation.formats.cleaning import content_id
from chatbot.conversation.formats.openai_jsonl import chat_of_turns
from chatbot.errors import FormatError
from chatbot.messages import Part, Role, TextPart, ToolCallPart, ToolResultPart
from chatbot.store.values import StoredChat

_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "assistant",
    "function_response": "assistant",
    "tool": "assistant",
}
_CALLS: Final = ("function_call", "tool_call")
_RESULTS: Final = ("observation", "function_response", "tool")


class _Turn(msgspec.Struct, kw_only=True):
    sender: str = msgspec.field(name="from")
    value: str


class _Chat(msgspec.Struct, kw_only=True):
    conversations: list[_Turn]
    id: str | int = ""
    title: str = ""
    system: str = ""


_decoder: Final = msgspec.json.Decoder(_Chat)


def looks_like(value: dict[str, Any]) -> bool:
    """Whether an object is such a chat."""
    return isinstance(value.get("conversations"), list)


def chat_of(raw: bytes) -> StoredChat:
    """The chat that an object stands for.

    Raises:
        FormatError: a sender is unknown, or the chat has no messages.
        msgspec.ValidationError: a field is missing or of the wrong kind.
    """
    chat = _decoder.decode(raw)
    turns: list[tuple[Role, list[Part]]] = []
    if chat.system:
        turns.append(("system", [TextPart(chat.system)]))
    for turn in chat.conversations:
        role = _ROLES.get(turn.sender)
        if role is None:
            raise FormatError(f"There is no sender {turn.sender[:40]!r} of a message.")
        part = _part(turn)
        # What a tool did is a part of the answer around it.
        last = turns[-1][1][-1] if turns else None
        in_answer = isinstance(part, ToolResultPart) or isinstance(last, ToolResultPart)
        if turns and turns[-1][0] == role == "assistant" and in_answer:
            turns[-1][1].append(part)
        else:
            turns.append((role, [part]))
    # Ids there are numbers within one data set, so that they say nothing on their own.
    return chat_of_turns(turns, content_id(str(chat.id), chat.conversations), chat.title)


def _part(turn: _Turn) -> Part:
    if turn.sender in _CALLS:
        return ToolCallPart(id="", name="", arguments=turn.value)
    if turn.sender in _RESULTS:
        return ToolResultPart(call_id="", text=turn.value)
    return TextPart(turn.value)
