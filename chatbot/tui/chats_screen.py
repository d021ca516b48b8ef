"""Ctrl+K: all chats, and a search through every message of them.

Lists and changes what the store holds; opening one is left to the app.
"""

import time
from collections.abc import Awaitable
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from chatbot.conversation.tree import Conversation
from chatbot.errors import ChatbotError
from chatbot.store.chat_store import ChatStore
from chatbot.store.values import ChatInfo, SearchHit
from chatbot.terminal_text import clean_line
from chatbot.tui.drawing.cells import fewer, fitted
from chatbot.tui.keys import bind, with_keys
from chatbot.wording import counted

OPTION_PADDING: Final = 2
"""Cells beside what a row says."""

EXCERPT_ROWS: Final = 2
"""Rows of the words around what was found; all of them are seen in the chat."""

MOST_SHOWN: Final = 200
"""Rows in the list; whoever wants more searches."""

NARROW: Final = 64
"""Cells of a row below which a chat's messages are not counted: its title is worth more."""

HINTS: Final = (
    "Enter open · {rename_chat} rename · {pin_chat} pin · {delete_chat} delete · "
    "{undo_delete} undo · Esc close"
)


class ChatsScreen(ModalScreen[tuple[str, str | None] | None]):
    """A search line over a list. Its result is the chat and message to open, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", priority=True, show=False),
        bind("chats", "close", priority=True),
        Binding("up", "move(-1)", "Up", priority=True, show=False),
        Binding("down", "move(1)", "Down", priority=True, show=False),
        Binding("pageup", "move(-10)", "Page up", priority=True, show=False),
        Binding("pagedown", "move(10)", "Page down", priority=True, show=False),
        bind("rename_chat", priority=True),
        bind("pin_chat", priority=True),
        bind("delete_chat", priority=True),
        bind("undo_delete", priority=True),
    ]

    def __init__(
        self, store: ChatStore, current: Conversation, left: Conversation | None = None
    ) -> None:
        """Make the screen.

        Args:
            store: what is listed.
            current: the chat that is open.
            left: the one in which an answer is being written meanwhile, if there is one.
        """
        super().__init__()
        self._store = store
        self._current, self._left = current, left
        self._in_memory = {chat.id: chat for chat in (current, left) if chat}
        """What has a title and a pin of its own, and writes both whenever one changes."""
        self._rows: list[ChatInfo | SearchHit] = []
        self._deleted: list[str] = []
        self._renaming: ChatInfo | None = None
        self._search = Input(placeholder="Search all messages", compact=True, id="chat-search")
        self._list = OptionList(id="chat-list", markup=False)
        self._list.can_focus = False  # what is typed goes to the search line
        self._foot = Static("", id="chat-foot", markup=False)

    def compose(self) -> ComposeResult:
        with Vertical(id="chats") as box:
            box.border_title = "Chats"
            yield self._search
            yield self._list
            yield self._foot

    def on_mount(self) -> None:
        self._search.focus()
        self.show_rows("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if self._renaming is None:
            self.show_rows(event.value)

    @work(exclusive=True, group="rows")
    async def show_rows(self, query: str, select: str | None = None) -> None:
        """List what matches ``query``, or the chats, the last ones first.

        Args:
            query: what to search for; empty lists all chats.
            select: id of the chat to go to; by default the first.
        """
        try:
            if query.strip():
                self._rows = list(await self._store.search(query, MOST_SHOWN))
            else:
                self._rows = list(await self._store.list_chats(MOST_SHOWN))
        except ChatbotError as error:
            self._say(str(error))
            return
        ids = [_chat_of(row).id for row in self._rows]
        self._draw(ids.index(select) if select in ids else 0)
        if not self._rows:
            self._say("Nothing found." if query.strip() else "There are no chats yet.")

    def on_resize(self) -> None:
        box = self.query_one("#chats")
        box.border_subtitle = fewer(with_keys(self.app, HINTS), box.outer_size.width - 6)
        self._draw(self._list.highlighted or 0)

    def _draw(self, highlighted: int) -> None:
        width = self._list.scrollable_content_region.width - OPTION_PADDING
        width = max(width, 20)
        rows = (
            _hit_row(row, width) if isinstance(row, SearchHit) else self._row(row, width)
            for row in self._rows
        )
        self._list.set_options(map(Option, rows))
        self._list.highlighted = highlighted if self._rows else None

    def action_close(self) -> None:
        """Leave the renaming, or the screen."""
        if self._renaming is not None:
            self._end_renaming()
        else:
            self.dismiss(None)

    def action_move(self, step: int) -> None:
        """Go up or down the list."""
        if self._rows:
            index = (self._list.highlighted or 0) + step
            self._list.highlighted = min(max(index, 0), len(self._rows) - 1)

    @on(Input.Submitted)
    async def _enter(self, event: Input.Submitted) -> None:
        event.stop()
        if self._renaming is not None:
            chat = self._renaming
            title = event.value.strip()
            self._end_renaming()
            if title:
                await self._change(self._rename(chat.id, title), chat.id)
            return
        self._open_highlighted()

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._open_highlighted()

    def _open_highlighted(self) -> None:
        row = self._highlighted()
        if isinstance(row, SearchHit):
            self.dismiss((row.chat.id, row.message_id))
        elif row is not None:
            self.dismiss((row.id, None))

    def action_rename_chat(self) -> None:
        """Have the title typed in the search line."""
        row = self._highlighted()
        if row is None:
            return
        self._renaming = _chat_of(row)
        with self.prevent(Input.Changed):
            self._search.value = self._renaming.title
        self._say("A new title, and Enter. Esc leaves it as it is.")

    def _end_renaming(self) -> None:
        self._renaming = None
        with self.prevent(Input.Changed):
            self._search.value = ""
        self._say("")
        self.show_rows("")

    async def action_pin_chat(self) -> None:
        """Keep the chat at the top, or no longer."""
        row = self._highlighted()
        if row is not None:
            chat = _chat_of(row)
            await self._change(self._pin(chat.id, not chat.is_pinned), chat.id)

    async def _rename(self, chat_id: str, title: str) -> None:
        if chat := self._in_memory.get(chat_id):
            chat.rename(clean_line(title))
        else:
            await self._store.rename_chat(chat_id, title)

    async def _pin(self, chat_id: str, is_pinned: bool) -> None:
        if chat := self._in_memory.get(chat_id):
            chat.pin(is_pinned)
        else:
            await self._store.pin_chat(chat_id, is_pinned)

    async def action_delete_chat(self) -> None:
        """Delete the chat; it can be brought back."""
        row = self._highlighted()
        if row is None:
            return
        chat = _chat_of(row)
        if chat.id == self._current.id:
            words = "This chat is open; begin another one first ({new_chat})."
            self._say(with_keys(self.app, words))
            return
        if self._left and chat.id == self._left.id:
            self._say("An answer is being written in this chat; open it to stop that first.")
            return
        if await self._change(self._store.delete_chat(chat.id), None):
            self._deleted.append(chat.id)
            back = with_keys(self.app, "{undo_delete} brings it back.")
            self._say(f"Deleted: {chat.title or 'a chat'}. {back}")

    async def action_undo_delete(self) -> None:
        """Bring back the chat that was deleted last."""
        if not self._deleted:
            self._say("Nothing was deleted here.")
            return
        chat_id = self._deleted.pop()
        await self._change(self._store.restore_chat(chat_id), chat_id)

    async def _change(self, change: Awaitable[None], select: str | None) -> bool:
        """Carry out a change of the store, and list anew; returns whether it worked."""
        try:
            await change
        except ChatbotError as error:
            self._say(str(error))
            return False
        self.show_rows(self._search.value, select)
        return True

    def forget_left(self) -> None:
        """The answer that was being written in another chat is there."""
        self._left = None
        if self._renaming is None:
            self._say("")
        self._draw(self._list.highlighted or 0)

    def _highlighted(self) -> ChatInfo | SearchHit | None:
        index = self._list.highlighted
        return self._rows[index] if index is not None and index < len(self._rows) else None

    def _row(self, chat: ChatInfo, width: int) -> Content:
        is_left = self._left is not None and chat.id == self._left.id
        is_open = chat.id == self._current.id
        mark = "✎" if is_left else "★" if chat.is_pinned else "●" if is_open else " "
        about = f"{when(chat.updated_at):>10}"
        if width >= NARROW:
            about += f"  {counted(chat.num_messages, 'message'):>12}"
        return _head(mark, (chat.title, ""), about, width)

    def _say(self, text: str) -> None:
        self._foot.update(text)


def _chat_of(row: ChatInfo | SearchHit) -> ChatInfo:
    return row.chat if isinstance(row, SearchHit) else row


def _head(mark: str, title: tuple[str, str], about: str, width: int) -> Content:
    """A chat in one line: what it is called on the left, and the rest on the right."""
    words, style = title
    words = fitted(words or "(no title)", max(width - len(mark) - len(about) - 3, 8))
    left = Content.assemble((f"{mark} ", "$accent"), (words, style))
    gap = " " * max(width - left.cell_length - len(about), 2)
    return Content.assemble(left, gap, (about, "dim"))


def _hit_row(hit: SearchHit, width: int) -> Content:
    """A hit: its chat, and the words around with what was searched for marked."""
    who = {"user": "you", "assistant": "answer"}.get(hit.role or "", "title")
    head = _head(" ", (hit.chat.title, "bold"), f"{when(hit.created_at):>10}  {who:<6}", width)
    runs = [(run.text, "bold $accent") if run.is_hit else run.text for run in hit.excerpt]
    excerpt = Content.assemble(*runs).wrap(width - 4)
    return Content("\n    ").join([head, *excerpt[:EXCERPT_ROWS]])


def when(seconds: float, now: float | None = None) -> str:
    """A moment, as people say it: a time today, a weekday this week, else a date."""
    now = time.time() if now is None else now
    moment, today = time.localtime(seconds), time.localtime(now)
    if (moment.tm_year, moment.tm_yday) == (today.tm_year, today.tm_yday):
        return time.strftime("%H:%M", moment)
    if 0 <= now - seconds < 6 * 86400:
        return time.strftime("%a %H:%M", moment)
    return time.strftime("%Y-%m-%d", moment)
