"""A conversation as a tree of messages, one branch of which is shown.

Editing a question or regenerating an answer adds a sibling; nothing is overwritten, and what
is deleted can be brought back. All changes go through the verbs here, and each is told to
whoever watches: this is how they get onto the disk.
"""

import time
from collections.abc import Callable
from typing import Self

import msgspec

from chatbot.conversation.titles import title_of_fork
from chatbot.messages import Message
from chatbot.store.values import ChatInfo, Deletion, Rating, StoredChat, new_id


class Added(msgspec.Struct, frozen=True):
    """A message is new, and ends the branch that is shown."""

    message: Message


class Replaced(msgspec.Struct, frozen=True):
    """A message goes on: more was said in it."""

    message: Message


class Shown(msgspec.Struct, frozen=True):
    """Another branch is shown."""

    leaf_id: str | None


class Described(msgspec.Struct, frozen=True):
    """The title or the pin of the chat is another one."""


class MessagePinned(msgspec.Struct, frozen=True):
    """A message must stay in the context window, or need not any more."""

    message_id: str
    is_pinned: bool


class MessageRated(msgspec.Struct, frozen=True):
    """The user thinks otherwise of an answer."""

    message_id: str
    rating: Rating | None


class Deleted(msgspec.Struct, frozen=True):
    """A branch was taken away."""

    message_id: str
    """Where it begins."""
    deletion: Deletion


class Restored(msgspec.Struct, frozen=True):
    """A branch that was taken away is back."""

    deletion: Deletion


class GivenUp(msgspec.Struct, frozen=True):
    """An answer that was about to be written came to nothing: it does not come into the tree."""

    message_id: str


Change = (
    Added
    | Replaced
    | Shown
    | Described
    | MessagePinned
    | MessageRated
    | Deleted
    | Restored
    | GivenUp
)


class Conversation:
    """Messages by id, and the leaf of the branch that is shown."""

    def __init__(self, conversation_id: str | None = None) -> None:
        self._info = ChatInfo(id=conversation_id or new_id())
        self.active_leaf: str | None = None
        """Id of the last message shown; None while there is none."""
        self._leaf_before: str | None = None
        """What it was before another branch was shown."""
        self._messages: dict[str, Message] = {}
        self._children: dict[str | None, list[str]] = {None: []}
        self._gone: set[str] = set()
        self._deletions: list[Deletion] = []
        self._pinned: set[str] = set()
        self._ratings: dict[str, Rating] = {}
        self._watchers: list[Callable[[Change], None]] = []

    @classmethod
    def from_stored(cls, chat: StoredChat) -> Self:
        """The conversation that was stored.

        Raises:
            ValueError: two messages have one id, or a parent is not there.
            KeyError: the leaf is not there.
        """
        conversation = cls()
        conversation._info = chat.info
        for message in chat.messages:
            conversation._insert(message)
        conversation._deletions = list(chat.deletions)
        conversation._gone = {key for group in chat.deletions for key in group.message_ids}
        conversation._pinned = set(chat.pinned) & set(conversation._messages)
        conversation._ratings = dict(chat.ratings)
        conversation.show(chat.active_leaf)
        return conversation

    def as_stored(self) -> StoredChat:
        """All of it as one value; ``from_stored`` makes the same of it again."""
        return StoredChat(
            info=self.info,
            messages=tuple(self._messages.values()),
            active_leaf=self.active_leaf,
            pinned=tuple(key for key in self._messages if key in self._pinned),
            deletions=tuple(self._deletions),
            ratings=dict(self._ratings),
        )

    def watch(self, watcher: Callable[[Change], None]) -> None:
        """Have ``watcher`` told of every change, after it is made."""
        self._watchers.append(watcher)

    @property
    def id(self) -> str:
        """The chat's id, which it keeps for good."""
        return self._info.id

    @property
    def title(self) -> str:
        """One line; empty while nothing was asked."""
        return self._info.title

    @property
    def is_title_given(self) -> bool:
        """Whether the user chose the title."""
        return self._info.is_title_given

    @property
    def is_pinned(self) -> bool:
        """Whether the chat stays on top of the list."""
        return self._info.is_pinned

    @property
    def info(self) -> ChatInfo:
        """The chat without its messages."""
        return msgspec.structs.replace(self._info, num_messages=len(self))

    @property
    def pinned(self) -> frozenset[str]:
        """Ids of the messages that must stay in the context window."""
        return frozenset(self._pinned - self._gone)

    @property
    def last_deletion(self) -> Deletion | None:
        """The deletion that ``restore`` undoes."""
        return self._deletions[-1] if self._deletions else None

    def __len__(self) -> int:
        return len(self._messages) - len(self._gone)

    def __getitem__(self, message_id: str) -> Message:
        if message_id in self._gone:
            raise KeyError(message_id)
        return self._messages[message_id]

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._messages and message_id not in self._gone

    def question_of(self, message_id: str) -> Message:
        """The question that a message is, or that it answers.

        Raises:
            KeyError: there is no such message.
        """
        message = self[message_id]
        if message.role == "assistant" and message.parent_id:
            return self[message.parent_id]
        return message

    def messages(self) -> tuple[Message, ...]:
        """All messages of all branches, parents before children."""
        return tuple(m for m in self._messages.values() if m.id not in self._gone)

    def add(self, message: Message) -> None:
        """Add a message below its parent, and show the branch that ends with it.

        Raises:
            ValueError: its id is taken, or its parent is not here.
        """
        if message.parent_id in self._gone:
            raise ValueError(f"message {message.id} names a parent that was deleted")
        self._insert(message)
        self.active_leaf = message.id
        self._info = msgspec.structs.replace(self._info, updated_at=time.time())
        self._tell(Added(message))

    def _insert(self, message: Message) -> None:
        if message.id in self._messages:
            raise ValueError(f"message {message.id} is here already")
        if message.parent_id is not None and message.parent_id not in self._messages:
            raise ValueError(f"message {message.id} names a parent that is not here")
        self._messages[message.id] = message
        self._children[message.id] = []
        self._children[message.parent_id].append(message.id)

    def replace(self, message: Message) -> None:
        """Put what has become of a message in its place.

        Raises:
            KeyError: there is no such message.
        """
        self.take_over(message)
        self._tell(Replaced(self._messages[message.id]))

    def take_over(self, message: Message) -> None:
        """As ``replace``, of what is on the disk already: whoever keeps the tree is not told.

        Raises:
            KeyError: there is no such message.
        """
        old = self[message.id]
        self._messages[message.id] = msgspec.structs.replace(message, parent_id=old.parent_id)

    def show(self, leaf_id: str | None) -> None:
        """Show the branch that ends with this message; None shows an empty chat.

        Raises:
            KeyError: there is no such message.
        """
        if leaf_id is not None and leaf_id not in self:
            raise KeyError(leaf_id)
        if leaf_id != self.active_leaf:
            self._leaf_before = self.active_leaf
        self.active_leaf = leaf_id
        self._tell(Shown(leaf_id))

    def give_up(self, answer_id: str, question_id: str) -> None:
        """Leave an answer out that nothing came of, and show what was shown before it.

        Args:
            answer_id: it may be on the disk, but is not here.
            question_id: the question, which has other answers.
        """
        if self.active_leaf == question_id:
            before = self._leaf_before
            is_there = before is not None and before in self
            is_below = is_there and question_id in {m.id for m in self.path(before)}
            self.active_leaf = before if is_below else self.newest_leaf(question_id)
        self._tell(GivenUp(answer_id))
        self._tell(Shown(self.active_leaf))

    def rename(self, title: str, *, is_given: bool = True) -> None:
        """Give the chat a title, the user's own or one that was made."""
        self._info = msgspec.structs.replace(self._info, title=title, is_title_given=is_given)
        self._tell(Described())

    def pin(self, is_pinned: bool) -> None:
        """Keep the chat on top of the list, or no longer."""
        self._info = msgspec.structs.replace(self._info, is_pinned=is_pinned)
        self._tell(Described())

    def pin_message(self, message_id: str, is_pinned: bool) -> None:
        """Have a message stay in the context window, or no longer.

        Raises:
            KeyError: there is no such message.
        """
        (self._pinned.add if is_pinned else self._pinned.discard)(self[message_id].id)
        self._tell(MessagePinned(message_id, is_pinned))

    def rating(self, message_id: str) -> Rating | None:
        """What the user thinks of an answer; None where they did not say."""
        return self._ratings.get(message_id)

    def rate(self, message_id: str, rating: Rating | None) -> None:
        """Note what the user thinks of an answer, or that they take it back.

        Raises:
            KeyError: there is no such message.
        """
        key = self[message_id].id
        if rating is None:
            self._ratings.pop(key, None)
        else:
            self._ratings[key] = rating
        self._tell(MessageRated(key, rating))

    def delete(self, message_id: str) -> Deletion:
        """Take away a message and all below it; where it is shown, its neighbour is instead.

        Raises:
            KeyError: there is no such message.
        """
        root = self[message_id]
        siblings = self.variants(message_id)
        deletion = Deletion(new_id(), tuple(self._branch(message_id)))
        self._gone.update(deletion.message_ids)
        self._deletions.append(deletion)
        if self.active_leaf in deletion.message_ids:
            others = [sibling for sibling in siblings if sibling != message_id]
            before = siblings[: siblings.index(message_id)]
            beside = before[-1:] or others[:1]
            self.active_leaf = self.newest_leaf(beside[0]) if beside else root.parent_id
        self._tell(Deleted(message_id, deletion))
        self._tell(Shown(self.active_leaf))
        return deletion

    def restore(self) -> Deletion | None:
        """Bring back what was deleted last, and show it; None when there is nothing."""
        if not self._deletions:
            return None
        deletion = self._deletions.pop()
        self._gone.difference_update(deletion.message_ids)
        self._tell(Restored(deletion))
        self.show(self.newest_leaf(deletion.message_ids[0]))
        return deletion

    def path(self, leaf_id: str | None = None) -> tuple[Message, ...]:
        """The messages from the first to ``leaf_id``, by default the branch that is shown."""
        found = []
        at = leaf_id or self.active_leaf
        while at is not None:
            message = self._messages[at]
            found.append(message)
            at = message.parent_id
        return tuple(reversed(found))

    def variants(self, message_id: str) -> tuple[str, ...]:
        """Ids of the message and its siblings, oldest first."""
        return self._shown_children(self._messages[message_id].parent_id)

    def has_answer(self, question_id: str) -> bool:
        """Whether anything stands below a message."""
        return bool(self._shown_children(question_id))

    def newest_leaf(self, message_id: str) -> str:
        """The end of the newest branch through this message."""
        while children := self._shown_children(message_id):
            message_id = children[-1]
        return message_id

    def last(self, role: str) -> Message | None:
        """The last message of this role on the branch that is shown."""
        return next((m for m in reversed(self.path()) if m.role == role), None)

    def fork(self, leaf_id: str | None = None) -> "Conversation":
        """A conversation of its own that begins with the branch up to ``leaf_id``."""
        other = Conversation()
        above: str | None = None
        for message in self.path(leaf_id):
            copy = msgspec.structs.replace(message, id=new_id(), parent_id=above)
            other.add(copy)
            above = copy.id
            if message.id in self.pinned:
                other.pin_message(copy.id, True)
            other.rate(copy.id, self.rating(message.id))
        other.rename(title_of_fork(self.title), is_given=self.is_title_given)
        return other

    def _shown_children(self, parent_id: str | None) -> tuple[str, ...]:
        return tuple(key for key in self._children[parent_id] if key not in self._gone)

    def _branch(self, message_id: str) -> list[str]:
        """The message and all below it, parents before children."""
        found = [message_id]
        for key in found:
            found += self._shown_children(key)
        return found

    def _tell(self, change: Change) -> None:
        for watcher in self._watchers:
            watcher(change)
