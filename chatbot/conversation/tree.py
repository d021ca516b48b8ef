"""A conversation as a tree of messages, one branch of which is shown.

Editing a question or regenerating an answer adds a sibling; nothing is overwritten. All
changes go through the few verbs here, so that a store on disk has one place to listen.
"""

import uuid

from chatbot.messages import Message


class Conversation:
    """Messages by id, and the leaf of the branch that is shown."""

    def __init__(self, conversation_id: str | None = None) -> None:
        self.id = conversation_id or uuid.uuid4().hex
        self.active_leaf: str | None = None
        """Id of the last message shown; None while there is none."""
        self._messages: dict[str, Message] = {}
        self._children: dict[str | None, list[str]] = {None: []}

    def __len__(self) -> int:
        return len(self._messages)

    def __getitem__(self, message_id: str) -> Message:
        return self._messages[message_id]

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._messages

    def messages(self) -> tuple[Message, ...]:
        """All messages of all branches, parents before children."""
        return tuple(self._messages.values())

    def add(self, message: Message) -> None:
        """Add a message below its parent, and show the branch that ends with it.

        Raises:
            ValueError: its id is taken, or its parent is not here.
        """
        if message.id in self._messages:
            raise ValueError(f"message {message.id} is here already")
        if message.parent_id is not None and message.parent_id not in self._messages:
            raise ValueError(f"message {message.id} names a parent that is not here")
        self._messages[message.id] = message
        self._children[message.id] = []
        self._children[message.parent_id].append(message.id)
        self.active_leaf = message.id

    def show(self, leaf_id: str | None) -> None:
        """Show the branch that ends with this message; None shows an empty chat.

        Raises:
            KeyError: there is no such message.
        """
        if leaf_id is not None and leaf_id not in self._messages:
            raise KeyError(leaf_id)
        self.active_leaf = leaf_id

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
        return tuple(self._children[self._messages[message_id].parent_id])

    def newest_leaf(self, message_id: str) -> str:
        """The end of the newest branch through this message."""
        while children := self._children[message_id]:
            message_id = children[-1]
        return message_id

    def last(self, role: str) -> Message | None:
        """The last message of this role on the branch that is shown."""
        return next((m for m in reversed(self.path()) if m.role == role), None)
