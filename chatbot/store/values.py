"""What goes into the store and comes out of it. Values only; no SQL."""

import time
import uuid
from typing import Literal

import msgspec

from chatbot.messages import Message, Role

Rating = Literal[-1, 1]
"""What the user thinks of an answer: good or bad."""


def new_id() -> str:
    """An id that nothing else has."""
    return uuid.uuid4().hex


class ChatInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A chat without its messages."""

    id: str = msgspec.field(default_factory=new_id)
    title: str = ""
    is_title_given: bool = False
    """The user chose the title; nothing else may change it."""
    created_at: float = msgspec.field(default_factory=time.time)
    """Seconds since 1970, UTC."""
    updated_at: float = 0.0
    """When the last message came in; seconds since 1970, UTC."""
    is_pinned: bool = False
    num_messages: int = 0
    """On all branches. Known in lists and search results."""


class Deletion(msgspec.Struct, frozen=True):
    """A branch that was deleted, and can be brought back."""

    id: str
    message_ids: tuple[str, ...]
    """The messages that went with it, parents before children."""


class StoredChat(msgspec.Struct, frozen=True, kw_only=True):
    """A whole chat: every branch of it."""

    info: ChatInfo
    messages: tuple[Message, ...]
    """Parents before children, siblings oldest first; those that are deleted, too."""
    active_leaf: str | None = None
    """Id of the last message of the branch that is shown; None shows an empty chat."""
    pinned: tuple[str, ...] = ()
    """Ids of the messages that must stay in the context window."""
    deletions: tuple[Deletion, ...] = ()
    """Oldest first."""
    ratings: dict[str, Rating] = {}
    """What the user thinks of answers, by their ids; 1 for good and -1 for bad."""
    written_elsewhere: tuple[str, ...] = ()
    """Ids of answers that another running program is writing at this moment."""


class Run(msgspec.Struct, frozen=True):
    """A stretch of an excerpt that is, or is not, what was searched for."""

    text: str
    is_hit: bool


class SearchHit(msgspec.Struct, frozen=True, kw_only=True):
    """A message, or the title of a chat, that matches."""

    chat: ChatInfo
    message_id: str | None
    """None when it is the title that matches."""
    role: Role | None
    created_at: float
    excerpt: tuple[Run, ...]
    """The words around the first hits, on one line."""


class BrokenChat(msgspec.Struct, frozen=True):
    """A chat of a file that cannot be imported."""

    reason: str
    """One sentence that names the chat."""


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did."""

    num_added: int = 0
    """Chats that are new here, or came back from being deleted."""
    num_skipped: int = 0
    """Chats that were here already, with everything that the file has of them."""
    num_renamed: int = 0
    """Of the added ones: chats that were here with other content, and got an id of their own."""
    num_messages: int = 0
    """In the added chats."""
    added: tuple[str, ...] = ()
    """Ids of the added chats, in the order of the file."""
    broken: tuple[str, ...] = ()
    """One sentence for each chat that was left out because it is broken."""
