"""Claude's export: ``conversations.json``, for each chat a list of messages in ``chat_messages``.

Newer exports name the parent of each message, so that a list is a tree; of older ones each message
follows the one before. Texts that were pasted or attached are in the file; of pictures there is the
name.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from chatbot.conversation.formats.cleaning import checked_chat, made_by
from chatbot.errors import FormatError
from chatbot.messages import (
    FilePart,
    Message,
    Part,
    Role,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from chatbot.store.values import ChatInfo, StoredChat

_ROLES: Final[dict[str, Role]] = {"human": "user", "user": "user", "assistant": "assistant"}

_NO_PARENT: Final = "00000000-0000-"
"""What the id of a parent begins with, where there is none."""

_PASTED: Final = "pasted.txt"
"""What is attached without a name: a long text, put there from a clipboard."""


class _Block(msgspec.Struct, kw_only=True):
    type: str = "text"
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    tool_use_id: str | None = None
    content: Any = None


class _Attachment(msgspec.Struct, kw_only=True):
    file_name: str | None = None
    extracted_content: str | None = None


class _Message(msgspec.Struct, kw_only=True):
    uuid: str
    sender: str
    text: str | None = None
    content: list[_Block] | None = None
    created_at: datetime | None = None
    parent_message_uuid: str | None = None
    attachments: list[_Attachment] | None = None
    files: list[_Attachment] | None = None


class _Chat(msgspec.Struct, kw_only=True):
    uuid: str
    chat_messages: list[_Message]
    name: str | None = None
    model: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    current_leaf_message_uuid: str | None = None


_decoder: Final = msgspec.json.Decoder(_Chat)


def looks_like(value: dict[str, Any]) -> bool:
    """Whether an object is such a chat."""
    return isinstance(value.get("chat_messages"), list)


def chat_of(raw: bytes) -> StoredChat:
    """The chat that an object stands for.

    Raises:
        FormatError: a sender is unknown, or the messages do not form a tree.
        msgspec.ValidationError: a field is missing or of the wrong kind.
    """
    chat = _decoder.decode(raw)
    has_parents = any(message.parent_message_uuid for message in chat.chat_messages)
    messages: list[Message] = []
    for message in chat.chat_messages:
        role = _ROLES.get(message.sender)
        if role is None:
            raise FormatError(f"There is no sender {message.sender[:40]!r} of a message.")
        parent = message.parent_message_uuid
        if not has_parents:
            parent = messages[-1].id if messages else None
        elif parent and parent.startswith(_NO_PARENT):
            parent = None
        messages.append(
            Message(
                id=message.uuid,
                role=role,
                parts=tuple(_parts(message)),
                parent_id=parent,
                created_at=_seconds(message.created_at),
                making=made_by(chat.model if role == "assistant" else None),
            )
        )
    info = ChatInfo(
        id=chat.uuid,
        title=chat.name or "",
        is_title_given=bool(chat.name),
        created_at=_seconds(chat.created_at),
        updated_at=_seconds(chat.updated_at),
    )
    return checked_chat(info, messages, chat.current_leaf_message_uuid)


def _seconds(time: datetime | None) -> float:
    return time.timestamp() if time else 0.0


def _parts(message: _Message) -> list[Part]:
    parts: list[Part] = [_file(attached) for attached in message.attachments or ()]
    parts += [TextPart(f"[{file.file_name or 'a file'}]\n") for file in message.files or ()]
    blocks = [part for block in message.content or () if (part := _part(block))]
    if not blocks and message.text:
        blocks = [TextPart(message.text)]
    return parts + blocks or [TextPart("")]


def _file(attached: _Attachment) -> FilePart:
    text = attached.extracted_content or ""
    return FilePart(name=attached.file_name or _PASTED, kind="Text", text=text)


def _part(block: _Block) -> Part | None:
    """What a block is; None for an empty one, and for a kind that has no place in a chat."""
    if block.type == "tool_use":
        arguments = msgspec.json.encode(block.input or {}).decode()
        return ToolCallPart(id=block.id or "", name=block.name or "", arguments=arguments)
    if block.type == "tool_result":
        return ToolResultPart(call_id=block.tool_use_id or "", text=_text(block.content))
    if block.thinking:
        return ThinkingPart(block.thinking)
    return TextPart(block.text) if block.text else None


def _text(content: Any) -> str:
    """Of a tool's result: a text, or a list of blocks with texts among them."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = [block.get("text") for block in blocks if isinstance(block, dict)]
    return "\n\n".join(text for text in texts if isinstance(text, str))
