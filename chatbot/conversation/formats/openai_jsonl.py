"""OpenAI messages, one chat a line: ``{"messages": [{"role": ..., "content": ...}, ...]}``; also
the messages of one chat by themselves.

Holds one branch, its texts, tool calls and tool results; a tool's call and result are
messages of their own there, and parts of one answer here.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from chatbot.conversation.file_block import as_one_text
from chatbot.conversation.formats.cleaning import checked_chat, content_id, part_of_image
from chatbot.conversation.formats.json_stream import MAX_OBJECT_BYTES
from chatbot.conversation.titles import title_of
from chatbot.errors import FormatError
from chatbot.messages import (
    ImagePart,
    Message,
    Part,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from chatbot.store.values import ChatInfo, StoredChat

_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "assistant",
    "function": "assistant",
}


class _Function(msgspec.Struct, kw_only=True):
    name: str
    arguments: str = ""


class _ToolCall(msgspec.Struct, kw_only=True):
    function: _Function
    id: str = ""


class _Image(msgspec.Struct, kw_only=True):
    url: str = ""


class _Content(msgspec.Struct, kw_only=True):
    type: str = "text"
    text: str = ""
    image_url: _Image | None = None


class _Message(msgspec.Struct, kw_only=True):
    role: str
    content: str | list[_Content] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str = ""


class _Chat(msgspec.Struct, kw_only=True):
    messages: list[_Message]


_decoder: Final = msgspec.json.Decoder(_Chat)


def to_openai(path: tuple[Message, ...]) -> bytes:
    """A branch as one line."""
    messages: list[dict[str, Any]] = []
    for message in path:
        _expand(as_one_text(message), messages)
    return msgspec.json.encode({"messages": messages}) + b"\n"


def _expand(message: Message, messages: list[dict[str, Any]]) -> None:
    """Append the messages that a message becomes: an answer, its tools' results, and so on."""
    entry: dict[str, Any] | None = None
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            messages.append({"role": "tool", "tool_call_id": part.call_id, "content": part.text})
            entry = None
            continue
        if entry is None or (isinstance(part, TextPart) and "tool_calls" in entry):
            entry = {"role": message.role, "content": ""}
            messages.append(entry)
        match part:
            case TextPart(text=text):
                _add_content(entry, {"type": "text", "text": text})
            case ImagePart(media_type=media_type, data=data):
                url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
                _add_content(entry, {"type": "image_url", "image_url": {"url": url}})
            case ToolCallPart(id=call_id, name=name, arguments=arguments):
                function = {"name": name, "arguments": arguments}
                call = {"id": call_id, "type": "function", "function": function}
                entry.setdefault("tool_calls", []).append(call)
            case _:
                pass  # thinking and sources have no place there


def _add_content(entry: dict[str, Any], item: dict[str, Any]) -> None:
    """Text stays a plain string as long as there is nothing else."""
    content = entry["content"]
    if isinstance(content, str) and not content and item["type"] == "text":
        entry["content"] = item["text"]
    elif isinstance(content, str):
        first = [{"type": "text", "text": content}] if content else []
        entry["content"] = [*first, item]
    else:
        content.append(item)


def looks_like(value: dict[str, Any]) -> bool:
    """Whether an object is such a chat."""
    messages = value.get("messages")
    return isinstance(messages, list) and "format" not in value


def looks_like_message(value: dict[str, Any]) -> bool:
    """Whether an object is a message by itself: then the file is one chat, and they are its own."""
    return isinstance(value.get("role"), str) and "content" in value


def as_chat(messages: Iterable[bytes]) -> bytes:
    """One such chat out of messages that stand by themselves.

    Raises:
        FormatError: together they are too long for a chat.
    """
    joined = bytearray()
    for message in messages:
        joined += b"," + message if joined else message
        if len(joined) > MAX_OBJECT_BYTES:
            raise FormatError("The file is too long for one chat.")
    return b'{"messages":[' + joined + b"]}"


def chat_of(raw: bytes) -> StoredChat:
    """The chat that an object stands for.

    Raises:
        FormatError: a role is unknown, or the chat has no messages.
        msgspec.ValidationError: a field is missing or of the wrong kind.
    """
    chat = _decoder.decode(raw)
    turns: list[tuple[Role, list[Part]]] = []
    for message in chat.messages:
        role = _ROLES.get(message.role)
        if role is None:
            raise FormatError(f"There is no role {message.role[:40]!r} for a message.")
        # A tool's result belongs to the answer that asked for it, and so does what follows it.
        after_tool = bool(turns) and isinstance(_last(turns[-1][1]), ToolResultPart)
        is_result = message.role in ("tool", "function")
        if turns and turns[-1][0] == role == "assistant" and (is_result or after_tool):
            turns[-1][1].extend(_parts(message))
        else:
            turns.append((role, _parts(message)))
    return chat_of_turns(turns, content_id(chat.messages))


def chat_of_turns(
    turns: list[tuple[Role, list[Part]]], chat_id: str, title: str = ""
) -> StoredChat:
    """A chat of one branch, whose messages have neither ids nor times of their own.

    Raises:
        FormatError: there is no message.
    """
    messages: list[Message] = []
    above: str | None = None
    for number, (role, parts) in enumerate(turns):
        message_id = content_id(chat_id, number)
        messages.append(
            Message(id=message_id, role=role, parts=tuple(parts), parent_id=above, created_at=0.0)
        )
        above = message_id
    asked = next((message.text for message in messages if message.role == "user"), "")
    info = ChatInfo(id=chat_id, title=title or title_of(asked), created_at=0.0)
    return checked_chat(info, messages)


def _last(parts: list[Part]) -> Part | None:
    return parts[-1] if parts else None


def _parts(message: _Message) -> list[Part]:
    if message.role in ("tool", "function"):
        return [ToolResultPart(call_id=message.tool_call_id, text=_text(message.content))]
    parts: list[Part] = []
    if isinstance(message.content, str):
        if message.content:
            parts.append(TextPart(message.content))
    else:
        for item in message.content or ():
            if item.image_url is not None:
                parts.append(_image(item.image_url.url))
            else:
                parts.append(TextPart(item.text))
    parts += [
        ToolCallPart(id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in message.tool_calls or ()
    ]
    return parts or [TextPart("")]


def _text(content: str | list[_Content] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(item.text for item in content)


def _image(url: str) -> Part:
    """A picture that is in the file; of one that is elsewhere, its address as text."""
    head, separator, body = url.partition(";base64,")
    if separator and head.startswith("data:"):
        try:
            return part_of_image(head.removeprefix("data:"), base64.b64decode(body, validate=True))
        except binascii.Error as error:
            raise FormatError("A picture in a chat is broken.") from error
    return TextPart(f"[picture: {url}]")
