"""Our own JSON: a chat with all its branches, nothing lost.

A file holds one chat, or several, one a line.
"""

from typing import Any, Final

import msgspec

from chatbot.conversation.formats.cleaning import checked_chat, content_id
from chatbot.messages import Message
from chatbot.store.values import ChatInfo, Rating, StoredChat

FORMAT: Final = "chatbot-conversation"


class _Saved(msgspec.Struct, kw_only=True, tag_field="format", tag=FORMAT, omit_defaults=True):
    version: int = 2
    id: str = ""
    title: str = ""
    is_title_given: bool = False
    created_at: float = 0.0
    updated_at: float = 0.0
    is_pinned: bool = False
    active_leaf: str | None
    pinned: tuple[str, ...] = ()
    ratings: dict[str, Rating] = {}
    messages: tuple[Message, ...]


_decoder: Final = msgspec.json.Decoder(_Saved)


def to_json(chat: StoredChat, *, pretty: bool = False) -> bytes:
    """All branches of a chat, on one line or, to be read by people, on several.

    What was deleted is not in it.
    """
    gone = {key for deletion in chat.deletions for key in deletion.message_ids}
    info = chat.info
    saved = _Saved(
        id=info.id,
        title=info.title,
        is_title_given=info.is_title_given,
        created_at=info.created_at,
        updated_at=info.updated_at,
        is_pinned=info.is_pinned,
        active_leaf=chat.active_leaf,
        pinned=tuple(key for key in chat.pinned if key not in gone),
        ratings={key: rating for key, rating in chat.ratings.items() if key not in gone},
        messages=tuple(message for message in chat.messages if message.id not in gone),
    )
    encoded = msgspec.json.encode(saved)
    return (msgspec.json.format(encoded, indent=1) if pretty else encoded) + b"\n"


def looks_like(value: dict[str, Any]) -> bool:
    """Whether an object is such a chat."""
    return value.get("format") == FORMAT


def chat_of(raw: bytes) -> StoredChat:
    """The chat that an object stands for.

    Raises:
        FormatError: its messages do not fit together.
        msgspec.ValidationError: a field is missing or of the wrong kind.
    """
    saved = _decoder.decode(raw)
    # The first version had no id: the same content is given the same one.
    chat_id = saved.id or content_id([message.id for message in saved.messages])
    leaf = saved.active_leaf
    chat = checked_chat(
        ChatInfo(
            id=chat_id,
            title=saved.title,
            is_title_given=saved.is_title_given,
            created_at=saved.created_at,
            updated_at=saved.updated_at,
            is_pinned=saved.is_pinned,
        ),
        saved.messages,
        leaf,
        saved.pinned,
    )
    known = {message.id for message in chat.messages}
    return msgspec.structs.replace(
        chat,
        active_leaf=chat.active_leaf if leaf is not None else None,
        ratings={key: rating for key, rating in saved.ratings.items() if key in known},
    )
