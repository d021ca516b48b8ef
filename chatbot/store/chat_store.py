"""The store as the rest of the program sees it: nothing here holds up the event loop.

One thread owns the file and carries everything out in the order in which it was asked for;
it opens the file when something is first asked of it. Writes that nobody waits for go
through ``enqueue``; whoever made them hears how they went.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from chatbot.errors import StoreError
from chatbot.store import reading, token_records, writing
from chatbot.store.database import Database
from chatbot.store.importing import import_chats
from chatbot.store.searching import search
from chatbot.store.values import BrokenChat, ChatInfo, ImportReport, SearchHit, StoredChat
from chatbot.terminal_text import clean_line
from chatbot.tokens import TokenRecord

ResultT = TypeVar("ResultT")

Work = Callable[[Database], ResultT]


class ChatStore:
    """The chats in a folder. Each verb raises StoreError when it cannot be carried out."""

    def __init__(self, folder: Path) -> None:
        """Prepare; the file is opened with the first use.

        Args:
            folder: where ``chats.db`` is, or will be.
        """
        self.folder = folder
        self._database: Database | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="chat-store")
        self._lock = threading.Lock()
        self._is_closed = False
        self._notices: list[str] = []
        self._watcher: Callable[[str], None] | None = None

    def on_notice(self, watcher: Callable[[str], None]) -> None:
        """Have ``watcher`` told what opening had to repair, in the loop that runs now."""
        loop = asyncio.get_running_loop()

        def tell(notice: str) -> None:
            with contextlib.suppress(RuntimeError):  # the program is ending
                loop.call_soon_threadsafe(watcher, notice)

        with self._lock:
            self._watcher = tell
            waiting, self._notices = self._notices, []
        for notice in waiting:
            tell(notice)

    # How it is done

    def enqueue(self, work: Work[ResultT]) -> "Future[ResultT]":
        """Have ``work`` done after everything that was asked for before."""
        if self._is_closed:
            failed: Future[ResultT] = Future()
            failed.set_exception(StoreError("The chats are closed; start the program again."))
            return failed
        return self._thread.submit(self._do, work)

    async def do(self, work: Work[ResultT]) -> ResultT:
        """Do ``work`` and wait for it; it is done even when nobody waits any more."""
        return await asyncio.shield(asyncio.wrap_future(self.enqueue(work)))

    async def settled(self) -> None:
        """Wait until everything that was asked for so far is done, well or badly."""
        if not self._is_closed:
            await asyncio.shield(asyncio.wrap_future(self._thread.submit(lambda: None)))

    def close(self) -> None:
        """Do what is still to be done, and let go of the file. Nothing can be asked after."""
        if self._is_closed:
            return
        self._is_closed = True
        self._thread.submit(self._close)
        self._thread.shutdown(wait=True)

    def _do(self, work: Work[ResultT]) -> ResultT:
        if self._database is None:
            self._database = Database(self.folder)
            self._tell(self._database.notices)
        return work(self._database)

    def _tell(self, notices: Iterable[str]) -> None:
        with self._lock:
            watcher = self._watcher
            if watcher is None:
                self._notices += notices
        if watcher is not None:
            for notice in notices:
                watcher(notice)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    # What can be asked

    async def list_chats(self, limit: int = 50, offset: int = 0) -> list[ChatInfo]:
        """The chats, pinned ones on top, then by their last message."""
        return await self.do(partial(reading.list_chats, limit=limit, offset=offset))

    async def list_deleted(self, limit: int = 50) -> list[ChatInfo]:
        """The chats that can be brought back, the last deleted first."""
        return await self.do(partial(reading.list_deleted, limit=limit))

    async def search(self, query: str, limit: int = 50, offset: int = 0) -> list[SearchHit]:
        """Titles and messages that match; any text is a valid query."""
        return await self.do(partial(search, query=query, limit=limit, offset=offset))

    async def latest_chat(self) -> str | None:
        """Id of the chat with the last message; None when there is none."""
        return await self.do(reading.latest_chat)

    async def find_chat(self, prefix: str, *, is_deleted: bool = False) -> str:
        """The one id that begins with ``prefix``."""
        return await self.do(partial(reading.find_chat, prefix=prefix, is_deleted=is_deleted))

    async def load_chat(self, chat_id: str) -> StoredChat:
        """A whole chat."""
        return await self.do(partial(reading.load_chat, chat_id=chat_id))

    async def load_tokens(self, chat_id: str, message_id: str) -> tuple[TokenRecord, ...]:
        """What the tokens of an answer were drawn from; empty where it was not recorded."""
        work = partial(token_records.load_tokens, chat_id=chat_id, message_id=message_id)
        return await self.do(work)

    # What can be changed

    async def rename_chat(self, chat_id: str, title: str) -> None:
        """Give a chat a title of the user's."""
        await self.do(partial(writing.rename_chat, chat_id=chat_id, title=clean_line(title)))

    async def pin_chat(self, chat_id: str, is_pinned: bool) -> None:
        """Keep a chat on top of the list, or no longer."""
        await self.do(partial(writing.pin_chat, chat_id=chat_id, is_pinned=is_pinned))

    async def delete_chat(self, chat_id: str) -> None:
        """Take a chat away; ``restore_chat`` brings it back within 30 days."""
        await self.do(partial(writing.delete_chat, chat_id=chat_id))

    async def restore_chat(self, chat_id: str) -> None:
        """Bring back a deleted chat."""
        await self.do(partial(writing.restore_chat, chat_id=chat_id))

    async def import_chats(
        self, chats: Iterable[StoredChat | BrokenChat], *, skip_broken: bool = False
    ) -> ImportReport:
        """Take in all the chats or none of them; see ``importing.import_chats``.

        Goes through a connection and a thread of its own: what is being said in the meantime
        must not wait for it.
        """
        await self.settled()
        return await asyncio.to_thread(self._import, chats, skip_broken)

    def _import(self, chats: Iterable[StoredChat | BrokenChat], skip_broken: bool) -> ImportReport:
        database = Database(self.folder)
        self._tell(database.notices)
        try:
            return import_chats(database, chats, skip_broken=skip_broken)
        finally:
            database.close()
