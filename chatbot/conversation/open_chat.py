"""The chat that is open: its tree, how it is kept, and what is done to it as a whole.

Knows nothing of how answers are made, and no screen.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from chatbot.conversation.journal import Journal
from chatbot.conversation.keeping import leave_out_unbegun
from chatbot.conversation.tree import Conversation
from chatbot.errors import CommandError, StoreError
from chatbot.messages import Message
from chatbot.store.chat_store import ChatStore
from chatbot.store.values import Deletion, Rating, StoredChat
from chatbot.terminal_text import clean_line
from chatbot.tokens import TokenRecord


class LeftChat(NamedTuple):
    """A chat whose answer goes on being written while another one is open."""

    conversation: Conversation
    journal: Journal


class OpenChat(ABC):
    """One conversation after the other, each kept while it goes on."""

    def __init__(self, store: ChatStore | None) -> None:
        """Begin with an empty conversation.

        Args:
            store: keeps the conversations; without one they live in memory alone.
        """
        self.store = store
        self._records: dict[str, tuple[TokenRecord, ...]] = {}
        """Of the last answer, or of all of them where nothing is stored, by the answer's id."""
        self._problem_watchers: list[Callable[[str], None]] = []
        self.left: LeftChat | None = None
        """The chat whose answer is being written while another one is open."""
        self._begin(Conversation(), is_stored=False)

    @property
    @abstractmethod
    def is_answering(self) -> bool:
        """Whether an answer is being made in the chat that is open, which then stays as it is."""

    @property
    @abstractmethod
    def may_be_left(self) -> bool:
        """Whether an answer that is being made here goes on when another chat is opened."""

    def _use(self, conversation: Conversation, *, is_stored: bool) -> None:
        """Open a chat in place of the one that is open."""
        self._let_go()
        self._begin(conversation, is_stored=is_stored)

    def _begin(self, conversation: Conversation, *, is_stored: bool) -> None:
        journal: Journal | None = None
        if self.store:
            journal = Journal(self.store, conversation, self._report_problem, is_stored=is_stored)
        self._set(conversation, journal)

    def _set(self, conversation: Conversation, journal: Journal | None) -> None:
        self.conversation, self._journal = conversation, journal
        self._deleted_chat: str | None = None
        self._undoable: Deletion | None = None
        self._records.clear()
        self.written_elsewhere: tuple[str, ...] = ()
        """Ids of answers in this chat that another running program is writing."""

    def _let_go(self) -> None:
        """See to what becomes of the chat that is open when another one takes its place."""
        if self.is_answering and self._journal:
            self.left = LeftChat(self.conversation, self._journal)
        else:
            self.make_good()

    def _come_back(self, left: LeftChat) -> None:
        """Have the chat open again that was left while its answer is being written."""
        self._let_go()
        self.left = None
        self._set(*left)

    def on_problem(self, watcher: Callable[[str], None]) -> None:
        """Have ``watcher`` told, in a sentence, when the chat cannot be kept on the disk."""
        self._problem_watchers.append(watcher)

    def _report_problem(self, sentence: str) -> None:
        for watcher in self._problem_watchers:
            watcher(sentence)

    @property
    def is_kept(self) -> bool:
        """Whether the conversation is on the disk, as far as it was written; see ``settled``."""
        has_all = self._journal is not None and not self._journal.is_behind
        return has_all and len(self.conversation) > 0

    async def settled(self) -> None:
        """Wait until everything so far is on the disk, or failed to get there."""
        if self._journal:
            await self._journal.settled()

    def make_good(self) -> None:
        """Have what did not get to the disk tried once more, before this chat is let go of."""
        for journal in (self._journal, self.left.journal if self.left else None):
            if journal:
                journal.make_good()

    def stored(self) -> ChatStore:
        """What keeps the chats.

        Raises:
            StoreError: they are not kept in this run.
        """
        if self.store is None:
            raise StoreError("Chats are not kept in this run; start without --no-save.")
        return self.store

    def new_chat(self) -> None:
        """Begin an empty conversation."""
        self.open(Conversation())

    def open(self, conversation: Conversation) -> None:
        """Go on with a conversation that is not stored yet; it will be with its next change."""
        self._require_leave()
        self._use(conversation, is_stored=False)

    async def open_chat(self, chat_id: str) -> None:
        """Go on with a stored chat, or with one whose answer is being written.

        Raises:
            StoreError: it is not there, or cannot be read.
        """
        if self.left and self.left.conversation.id == chat_id:
            self._come_back(self.left)
        elif not (self.is_answering and self.conversation.id == chat_id):
            self.open_stored(await self.stored().load_chat(chat_id))

    def open_stored(self, chat: StoredChat) -> None:
        """Go on with a chat as it came out of the store."""
        self._require_leave()
        self._use(Conversation.from_stored(chat), is_stored=True)
        self.written_elsewhere = chat.written_elsewhere
        leave_out_unbegun(self.conversation, chat.written_elsewhere)

    async def import_and_open(self, chat: StoredChat) -> None:
        """Take a chat from elsewhere into the store, and go on with it.

        Raises:
            StoreError: it cannot be kept or read.
        """
        self._require_leave()
        if self.store is None:
            self.open(Conversation.from_stored(chat))
            return
        report = await self.store.import_chats([chat])
        await self.open_chat(report.added[0] if report.added else chat.info.id)

    def fork(self, message_id: str | None = None) -> None:
        """Go on in a new chat that begins with the branch up to a message, or as it is shown.

        Raises:
            CommandError: there is nothing to begin with.
        """
        self.require_idle()
        if not self.conversation.path(message_id):
            raise CommandError("There is nothing to fork yet; ask a question first.")
        old, path = self.conversation, self.conversation.path(message_id)
        self.open(old.fork(message_id))
        if self._journal:
            copies = self.conversation.path()
            pairs = [
                (message.id, copy.id)
                for message, copy in zip(path, copies, strict=True)
                if message.role == "assistant"
            ]
            self._journal.copy_tokens(old.id, pairs)

    def rename(self, title: str) -> None:
        """Give the chat a title.

        Raises:
            CommandError: the title is empty.
        """
        title = clean_line(title)
        if not title:
            raise CommandError("Give a title: /rename My chat")
        self.conversation.rename(title)

    def rate(self, answer_id: str, rating: Rating | None) -> None:
        """Note what the user thinks of an answer.

        Raises:
            CommandError: it is no answer.
        """
        if answer_id not in self.conversation or self.conversation[answer_id].role != "assistant":
            raise CommandError("Only answers that are finished can be rated.")
        self.conversation.rate(answer_id, rating)

    def keep(self, number: int) -> Message:
        """Show another answer to the last question, by its number among them from 1.

        Raises:
            CommandError: there is no such answer, or one is being written.
        """
        self.require_idle()
        answer = self.conversation.last("assistant")
        if answer is None:
            raise CommandError("There is no answer to keep yet; ask a question first.")
        answers = self.conversation.variants(answer.id)
        if not 1 <= number <= len(answers):
            raise CommandError(f"There are answers 1 to {len(answers)}; name one of them.")
        chosen = answers[number - 1]
        self.conversation.show(self.conversation.newest_leaf(chosen))
        return self.conversation[chosen]

    def question_to_edit(self, message_id: str = "") -> Message:
        """The question that is a message, or that it answers; with no message, the last one.

        Raises:
            CommandError: there is none, or an answer is being written.
        """
        self.require_idle()
        if message_id:
            return self.conversation.question_of(message_id)
        question = self.conversation.last("user")
        if question is None:
            raise CommandError("There is no question to edit; ask one first.")
        return question

    def delete_message(self, message_id: str) -> Deletion:
        """Take away a message and all below it; ``undo_deletion`` brings it back.

        Raises:
            KeyError: there is no such message.
        """
        self.require_idle()
        self._undoable = self.conversation.delete(message_id)
        return self._undoable

    async def delete_chat(self) -> None:
        """Take this chat away and begin an empty one; ``undo_deletion`` brings it back.

        Raises:
            CommandError: it is empty.
            StoreError: it cannot be deleted.
        """
        self.require_idle()
        store, chat_id = self.stored(), self.conversation.id
        if not len(self.conversation):
            raise CommandError("This chat is empty.")
        await store.delete_chat(chat_id)
        self.new_chat()
        self._deleted_chat = chat_id

    def undo(self) -> Message:
        """Take back the last exchange; it stays in the tree. Returns its question.

        Raises:
            CommandError: there is nothing to take back.
        """
        self.require_idle()
        question = self.conversation.last("user")
        if question is None:
            raise CommandError("There is nothing to take back.")
        self.conversation.show(question.parent_id)
        return question

    async def undo_deletion(self) -> bool:
        """Bring back what was just deleted, a chat or a message.

        Returns:
            False when the last thing done was no deletion: nothing is changed then.

        Raises:
            StoreError: the chat cannot be brought back.
        """
        self.require_idle()
        if self._deleted_chat and not len(self.conversation):
            await self.stored().restore_chat(self._deleted_chat)
            await self.open_chat(self._deleted_chat)
            return True
        if self._undoable is None or self._undoable != self.conversation.last_deletion:
            return False
        self.conversation.restore()
        self._undoable = None
        return True

    async def look_elsewhere(self) -> tuple[Message, ...]:
        """The answers that other running chatbots write in this chat, where they have grown."""
        ids = self.written_elsewhere
        if not ids:
            return ()
        return tuple(
            message
            for message in await self._kept()
            if message.id in ids and message.id in self.conversation and self._take_over(message)
        )

    async def _kept(self) -> tuple[Message, ...]:
        """The messages of this chat as they are on the disk; none that may have less than here."""
        conversation = self.conversation
        await self.settled()
        if self._journal and not self._journal.is_behind:
            with suppress(StoreError):  # what is not there cannot be lost
                chat = await self.stored().load_chat(conversation.id)
                if self.conversation is conversation:
                    self.written_elsewhere = chat.written_elsewhere
                    return chat.messages
        return ()

    def _take_over(self, kept: Message) -> bool:
        """Have a message as it is on the disk; returns whether it is another one than here."""
        here = self.conversation[kept.id]
        if (kept.parts, kept.making) == (here.parts, here.making):
            return False
        self._records.pop(kept.id, None)
        self.conversation.take_over(kept)
        return True

    def _require_same(self, conversation: Conversation) -> None:
        if self.conversation is not conversation:
            raise CommandError("Another chat was opened meanwhile.")

    def _require_leave(self) -> None:
        """See that another chat may take the place of this one.

        Raises:
            CommandError: an answer is being made that would be lost.
        """
        if not self.may_be_left:
            self.require_idle()

    def require_idle(self) -> None:
        """See that no answer is being made in this chat.

        Raises:
            CommandError: one is.
        """
        if self.is_answering:
            raise CommandError("An answer is being written; stop it first (Esc).")
