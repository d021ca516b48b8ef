"""Keeps a conversation on the disk while it goes on.

Listens to the tree's changes and hands each to the store, in order and without waiting.
While the store fails, the conversation lives on in memory, and as soon as the store works
again everything that was missed is made good. Knows no SQL.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from chatbot.conversation.tree import (
    Added,
    Change,
    Conversation,
    Deleted,
    Described,
    GivenUp,
    MessagePinned,
    MessageRated,
    Replaced,
    Restored,
    Shown,
)
from chatbot.errors import ChatbotError
from chatbot.messages import Message
from chatbot.store import token_records, writing
from chatbot.store.chat_store import ChatStore, Work
from chatbot.store.database import Database
from chatbot.store.values import StoredChat, new_id
from chatbot.tokens import TokenRecord


class Journal:
    """One conversation's way to the disk."""

    def __init__(
        self,
        store: ChatStore,
        conversation: Conversation,
        report: Callable[[str], None],
        *,
        is_stored: bool,
    ) -> None:
        """Begin to listen.

        Args:
            store: where the conversation is kept.
            conversation: the one to keep.
            report: is told, in a sentence, when keeping begins to fail and when it works
                again; in the event loop, where there is one.
            is_stored: the store has it already; else it gets all there is of it now.
        """
        self._store = store
        self._conversation = conversation
        self._report = report
        self.is_behind = not is_stored
        """The store lacks something of the conversation."""
        self._has_failed = False
        self._flushed: tuple[tuple[Message, Sequence[TokenRecord]], ...] = ()
        self._unkept: dict[str, Sequence[TokenRecord]] = {}
        """Records of finished answers that are not on the disk yet."""
        self._uncopied: dict[str, Sequence[tuple[str, str]]] = {}
        """Answers whose records are to be copied and are not yet, by the chat they are in."""
        self._given_up: dict[str, str] = {}
        """Answers that came to nothing and may be on the disk, with what marks each as deleted:
        the tree does not know of them."""
        self._flush: Future[None] | None = None
        self._catch_up: Future[None] | None = None
        conversation.watch(self._note)
        if self.is_behind and len(conversation):
            self._write(_nothing)
        elif not len(conversation):
            self.is_behind = False

    def flush_answer(self, answer: Message, records: Sequence[TokenRecord] = ()) -> None:
        """Keep what there is of an answer that is being written; on the disk it is the leaf.

        When the disk is slower than the answer, only the latest state is written.

        Args:
            answer: as far as it is written.
            records: what its tokens so far were drawn from.
        """
        self.flush_answers(((answer, records),))

    def flush_answers(self, answers: Sequence[tuple[Message, Sequence[TokenRecord]]]) -> None:
        """Keep what there is of siblings that are being written, each with its records; on the
        disk the first is the leaf.
        """
        self._flushed = tuple((answer, tuple(records)) for answer, records in answers)
        if self._flush is None or self._flush.done():
            self._flush = self._write(self._write_flushed)

    def keep_tokens(self, answer_id: str, records: Sequence[TokenRecord]) -> None:
        """Keep what the tokens of a finished answer were drawn from, together with the answer: to
        be called before it comes into the tree.
        """
        self._unkept[answer_id] = tuple(records)

    def copy_tokens(self, from_chat_id: str, pairs: Sequence[tuple[str, str]]) -> None:
        """Keep the records of answers, on the disk already, for their copies in this chat too."""
        self._uncopied[from_chat_id] = tuple(pairs)
        self._write(_nothing)

    async def settled(self) -> None:
        """Wait until everything so far is on the disk, or failed to get there."""
        await self._store.settled()
        if self._catch_up and not self._catch_up.done():
            await self._store.settled()

    def make_good(self) -> None:
        """Have what the store lacks then tried once more after all that was asked for before:
        nothing else will, when the chat is left or the program ends. Nobody is told how it went.
        """
        # Whether it lacks something is only known when it is this write's turn.
        everything = self._conversation.as_stored()
        if everything.messages:
            write = self._writing(_nothing, everything)
            future = self._store.enqueue(lambda db: write(db) if self.is_behind else None)
            future.add_done_callback(partial(self._noted, has_all=True))

    def _write_flushed(self, db: Database) -> None:
        for index, (answer, records) in enumerate(self._flushed):
            writing.put_message(
                db,
                self._conversation.info,
                answer,
                is_being_written=True,
                shows=index == 0,
                records=records,
            )

    def _note(self, change: Change) -> None:
        chat = self._conversation.info
        if isinstance(change, Added | Replaced):  # it is written no longer
            key = change.message.id
            self._flushed = tuple(pair for pair in self._flushed if pair[0].id != key)
        match change:
            case Added(message=message):
                self._write(partial(writing.put_message, chat=chat, message=message))
            case Replaced(message=message):
                self._write(partial(writing.put_message, chat=chat, message=message, shows=False))
            case GivenUp(message_id=key):
                self._flushed = tuple(pair for pair in self._flushed if pair[0].id != key)
                self._given_up[key] = deletion_id = new_id()
                self._write(
                    partial(
                        writing.delete_branch,
                        chat_id=chat.id,
                        message_id=key,
                        deletion_id=deletion_id,
                    )
                )
            case Shown(leaf_id=leaf_id):
                self._write(partial(writing.show_branch, chat_id=chat.id, leaf_id=leaf_id))
            case Described():
                self._write(partial(writing.describe_chat, chat=chat))
            case MessagePinned(message_id=key, is_pinned=is_pinned):
                self._write(
                    partial(
                        writing.pin_message, chat_id=chat.id, message_id=key, is_pinned=is_pinned
                    )
                )
            case MessageRated(message_id=key, rating=rating):
                self._write(
                    partial(
                        writing.rate_message, chat_id=chat.id, message_id=key, rating=rating or 0
                    )
                )
            case Deleted(message_id=key, deletion=deletion):
                self._write(
                    partial(
                        writing.delete_branch,
                        chat_id=chat.id,
                        message_id=key,
                        deletion_id=deletion.id,
                    )
                )
            case Restored(deletion=deletion):
                self._write(partial(writing.restore_branch, deletion_id=deletion.id))

    def _write(self, work: Work[None]) -> "Future[None]":
        # The tree must not be read by the store's thread; a copy is made only when it is needed.
        missed = self._conversation.as_stored() if self.is_behind else None
        loop: asyncio.AbstractEventLoop | None = None
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_running_loop()
        future = self._store.enqueue(self._writing(work, missed))
        future.add_done_callback(partial(self._written, loop, missed is not None))
        return future

    def _writing(self, work: Work[None], missed: StoredChat | None) -> Work[None]:
        """``work``, after all that there is in ``missed``, and with the records that are due."""
        chat_id = self._conversation.id
        unkept, uncopied = tuple(self._unkept.items()), tuple(self._uncopied.items())
        given_up = tuple(self._given_up.items())

        def write(db: Database) -> None:
            with db.writing():
                if missed is not None and missed.messages:
                    writing.save_chat(db, missed)
                    for key, deletion_id in given_up:  # else they would be back
                        writing.delete_branch(db, chat_id, key, deletion_id)
                    self._write_flushed(db)  # else what is being written would have an old state
                work(db)
                for answer_id, records in unkept:
                    token_records.put_tokens(db, chat_id, answer_id, records)
                for from_chat_id, pairs in uncopied:
                    token_records.copy_tokens(db, from_chat_id, chat_id, pairs)
            for answer_id, _ in unkept:
                self._unkept.pop(answer_id, None)
            for from_chat_id, _ in uncopied:
                self._uncopied.pop(from_chat_id, None)

        return write

    def _noted(self, future: "Future[None]", *, has_all: bool) -> BaseException | None:
        """Take note of how a write went; called in the store's thread.

        Args:
            future: the write, which is done.
            has_all: it carried all that there was of the conversation. One that did not leaves
                a gap behind that an earlier one made.

        Returns:
            Why it failed; None where it did not.
        """
        error = future.exception()
        self.is_behind = error is not None or (self.is_behind and not has_all)
        return error

    def _written(
        self, loop: asyncio.AbstractEventLoop | None, has_all: bool, future: "Future[None]"
    ) -> None:
        """Take note of how a write went, and tell; called in the store's thread."""
        error = self._noted(future, has_all=has_all)
        if error is None and self.is_behind and loop is not None:
            # The store works again. This comes to an end: a write that catches up closes the gap
            # or fails, and one that failed has no other follow it.
            with contextlib.suppress(RuntimeError):  # the program is ending
                loop.call_soon_threadsafe(self._begin_to_catch_up)
        if self.is_behind == self._has_failed:
            return
        self._has_failed = self.is_behind
        sentence = "The chat is being saved again."
        if error is not None:
            reason = str(error) if isinstance(error, ChatbotError) else repr(error)
            sentence = f"This chat is not being saved: {reason} It goes on in memory meanwhile."
        if loop is None:
            self._report(sentence)
        else:
            with contextlib.suppress(RuntimeError):  # the program is ending
                loop.call_soon_threadsafe(self._report, sentence)

    def _begin_to_catch_up(self) -> None:
        if self.is_behind and (self._catch_up is None or self._catch_up.done()):
            self._catch_up = self._write(_nothing)


def _nothing(_: Database) -> None:
    """For a write that has nothing of its own to keep."""
