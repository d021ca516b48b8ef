"""ChatGPT's export: ``conversations.json``, a tree for each chat in ``mapping``.

Its empty nodes are left out, and the steps of an answer (the call of a tool, the result,
the text after it) become the parts of one message where no branch begins between them.
"""

from typing import Any, Final

import msgspec

from chatbot.conversation.formats.cleaning import checked_chat, content_id, made_by
from chatbot.errors import FormatError
from chatbot.messages import (
    Message,
    Part,
    Role,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from chatbot.store.values import ChatInfo, StoredChat
from chatbot.terminal_text import clean_line

_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "assistant",
}
_THINKING: Final = ("thoughts", "reasoning_recap")


class _Author(msgspec.Struct, kw_only=True):
    role: str
    name: str | None = None


class _Thought(msgspec.Struct, kw_only=True):
    summary: str | None = None
    content: str | None = None


class _Content(msgspec.Struct, kw_only=True):
    content_type: str = "text"
    parts: list[Any] | None = None
    text: str | None = None
    result: str | None = None
    content: str | None = None
    thoughts: list[_Thought] | None = None


class _Metadata(msgspec.Struct, kw_only=True):
    model_slug: str | None = None
    is_visually_hidden_from_conversation: bool | None = None


class _Message(msgspec.Struct, kw_only=True):
    author: _Author
    content: _Content = msgspec.field(default_factory=_Content)
    create_time: float | None = None
    recipient: str | None = "all"
    metadata: _Metadata | None = None


class _Node(msgspec.Struct, kw_only=True):
    message: _Message | None = None
    parent: str | None = None


class _Chat(msgspec.Struct, kw_only=True):
    mapping: dict[str, _Node]
    title: str | None = None
    create_time: float | None = None
    update_time: float | None = None
    current_node: str | None = None
    conversation_id: str | None = None
    id: str | None = None


_decoder: Final = msgspec.json.Decoder(_Chat)


def looks_like(value: dict[str, Any]) -> bool:
    """Whether an object is such a chat."""
    return isinstance(value.get("mapping"), dict)


def chat_of(raw: bytes) -> StoredChat:
    """The chat that an object stands for.

    Raises:
        FormatError: a role is unknown, or the nodes do not form a tree.
        msgspec.ValidationError: a field is missing or of the wrong kind.
    """
    chat = _decoder.decode(raw)
    name = clean_line(chat.title or "", 60) or "without a title"
    messages = {key: _message(key, node, name) for key, node in chat.mapping.items()}
    stands_for = _ancestors(chat.mapping, messages, name)
    kept = [
        msgspec.structs.replace(message, parent_id=_above(chat.mapping[key], stands_for))
        for key, message in messages.items()
        if message is not None
    ]
    leaf = chat.current_node
    if leaf is not None and leaf not in chat.mapping:
        raise FormatError(f"The chat {name!r} refers to a message that it does not have.")
    info = ChatInfo(
        id=chat.conversation_id or chat.id or content_id(list(chat.mapping)),
        title=chat.title or "",
        is_title_given=bool(chat.title),
        created_at=chat.create_time or 0.0,
        updated_at=chat.update_time or 0.0,
    )
    ordered = checked_chat(info, kept)  # before anything is joined: it finds loops
    shown = stands_for[leaf] if leaf is not None else None
    joined, into = _joined({message.id: message for message in kept}, ordered)
    return checked_chat(info, joined, into.get(shown, shown) if shown else None)


def _ancestors(
    mapping: dict[str, _Node], messages: dict[str, Message | None], name: str
) -> dict[str, str | None]:
    """For each node the nearest one, from itself upwards, that is a message."""
    found: dict[str, str | None] = {}
    for start in mapping:
        passed: list[str] = []
        at: str | None = start
        result: str | None = None
        while at is not None:
            if at in found:
                result = found[at]
                break
            node = mapping.get(at)
            if node is None:
                raise FormatError(f"The chat {name!r} has a message whose parent is missing.")
            passed.append(at)
            if messages[at] is not None:
                result = at
                break
            if len(passed) > len(mapping):
                raise FormatError(f"The messages of the chat {name!r} form a loop.")
            at = node.parent
        found.update(dict.fromkeys(passed, result))
    return found


def _above(node: _Node, stands_for: dict[str, str | None]) -> str | None:
    if node.parent is None:
        return None
    # A parent that is not there is found missing by the check.
    return stands_for.get(node.parent, node.parent)


def _message(key: str, node: _Node, name: str) -> Message | None:
    """The message of a node, its parent still to be found; None for an empty node."""
    message = node.message
    if message is None:
        return None
    role = _ROLES.get(message.author.role)
    if role is None:
        shown = clean_line(message.author.role, 40)
        raise FormatError(f"The chat {name!r} has a message of the unknown role {shown!r}.")
    part = _part(message)
    metadata = message.metadata
    is_hidden = bool(metadata and metadata.is_visually_hidden_from_conversation)
    if part is None or (is_hidden and role == "system"):
        return None
    model = metadata.model_slug if role == "assistant" and metadata else None
    return Message(
        id=key,
        role=role,
        parts=(part,),
        created_at=message.create_time or 0.0,
        making=made_by(model),
    )


def _part(message: _Message) -> Part | None:
    content = message.content
    text = _text(content)
    if not text.strip():
        return None
    if message.author.role == "tool":
        return ToolResultPart(call_id="", text=text)
    if message.author.role == "assistant" and message.recipient not in (None, "all"):
        return ToolCallPart(id="", name=message.recipient or "", arguments=text)
    if content.content_type in _THINKING:
        return ThinkingPart(text)
    return TextPart(text)


def _text(content: _Content) -> str:
    if content.thoughts is not None:
        texts = [t for thought in content.thoughts for t in (thought.summary, thought.content) if t]
        return "\n\n".join(texts)
    if content.parts is not None:
        return "\n\n".join(filter(None, map(_text_of_part, content.parts)))
    return content.text or content.result or content.content or ""


def _text_of_part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        if isinstance(part.get("text"), str):
            return str(part["text"])
        # Pictures and recordings lie beside the file, under names that say nothing.
        return f"[{str(part.get('content_type', 'attachment')).replace('_', ' ')}]"
    return ""


def _joined(
    messages: dict[str, Message], ordered: StoredChat
) -> tuple[list[Message], dict[str, str]]:
    """Answers whose steps follow one another as single messages, and which went into which."""
    num_children: dict[str | None, int] = {}
    for message in messages.values():
        num_children[message.parent_id] = num_children.get(message.parent_id, 0) + 1
    into: dict[str, str] = {}
    joined: dict[str, Message] = {}
    for message in _in_order(messages):
        parent = joined.get(into.get(message.parent_id or "", message.parent_id or ""))
        if (
            parent is not None
            and parent.role == message.role == "assistant"
            and num_children[message.parent_id] == 1
        ):
            into[message.id] = parent.id
            joined[parent.id] = msgspec.structs.replace(
                parent,
                parts=(*parent.parts, *message.parts),
                making=message.making or parent.making,
            )
        else:
            above = message.parent_id
            joined[message.id] = msgspec.structs.replace(
                message, parent_id=into.get(above, above) if above else None
            )
    return list(joined.values()), into


def _in_order(messages: dict[str, Message]) -> list[Message]:
    """Parents before children, children by the order of the file."""
    children: dict[str | None, list[Message]] = {}
    for message in messages.values():
        children.setdefault(message.parent_id, []).append(message)
    ordered: list[Message] = []
    waiting = list(reversed(children.get(None, [])))
    while waiting:
        message = waiting.pop()
        ordered.append(message)
        waiting += reversed(children.get(message.id, []))
    return ordered
