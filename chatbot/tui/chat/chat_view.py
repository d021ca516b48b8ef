"""The chat pane: the messages of the branch that is shown, in order.

Follows the stream only while the user is at its end. Offers verbs; decides nothing.
"""

from collections.abc import Callable, Collection, Sequence

from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from chatbot.messages import Message
from chatbot.tui.chat.message_views import AnswerView, MessageView
from chatbot.tui.chat.notes import LeftOutMark, NoteView
from chatbot.tui.chat.partial_scroll import PAGE, PartialScroll
from chatbot.tui.chat.question_view import QuestionView
from chatbot.tui.drawing.cheap_layout import backdrop, content_size


def welcome(key_of: Callable[[str], str]) -> Content:
    """What stands where nothing was asked yet.

    Args:
        key_of: gives the keys of an action, as a person reads them.
    """
    rows = (
        (key_of("toggle_sidebar"), "settings, live"),
        # What no other line on the screen names; the prompt itself names / and @.
        (key_of("models"), "models"),
        (key_of("knowledge"), "your folders"),
        (key_of("chats"), "all chats"),
        (key_of("help"), "help"),
        (key_of("quit"), "quit"),
    )
    width = max(len(keys) for keys, _ in rows) + 2
    return Content.assemble(
        ("▣ glass box", "b $primary"),
        "\n\nA chat with a model that runs on this machine.\n"
        "Nothing leaves it, and nothing is hidden.\n\n",
        ("Type and press ", "dim"),
        (key_of("send"), "b"),
        (", even while the model loads.\n", "dim"),
        *(
            part
            for keys, about in rows
            for part in ("\n", (keys.ljust(width), "b"), (about, "dim"))
        ),
        "\n",
    )


class ChatView(PartialScroll):
    """The scrolling list of messages: the end at once, what is before it on the way up."""

    virtual_size = content_size()

    def __init__(self, key_of: Callable[[str], str]) -> None:
        super().__init__()
        self._key_of = key_of
        self._variant_of: Callable[[str], str] = lambda _: ""
        self._left_out: frozenset[str] = frozenset()
        self._dimmed: frozenset[str] = frozenset()
        self._pinned: frozenset[str] = frozenset()
        self._rating_of: Callable[[str], int | None] = lambda _: None
        self.written_elsewhere: frozenset[str] = frozenset()
        """Ids of answers that another running chatbot writes."""
        self._newest: AnswerView | None = None
        self.focuses_next = False
        """Whether the next answer gets the focus."""

    def render_lines(self, crop: Region) -> list[Strip]:
        return backdrop(self, crop)

    def on_mount(self) -> None:
        self.anchor()
        self.mount(self._empty())

    async def show_path(
        self,
        path: Sequence[Message],
        variant_of: Callable[[str], str],
        pinned: Collection[str] = (),
        rating_of: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        """Show these messages in place of what is there.

        Args:
            path: the messages from first to last.
            variant_of: gives, for a message's id, which variant it is (``2/3``), or nothing.
            pinned: ids of the messages that stay in the window.
            rating_of: gives, for an answer's id, what the user thinks of it: 1 or -1.
        """
        self._left_out = frozenset()
        self.describe(variant_of, pinned, rating_of)
        await self._show_part(path, len(path) - PAGE)
        self.anchor()
        self.call_after_refresh(lambda: self._add_where_end(self.scroll_y))

    def _empty(self) -> Widget:
        return Static(welcome(self._key_of), id="welcome")

    def _view_of(self, message: Message) -> MessageView:
        variant = self._variant_of(message.id)
        if message.role == "user":
            view: MessageView = QuestionView(message, variant)
        else:
            view = AnswerView(
                message.id,
                message,
                variant,
                self._rating_of(message.id),
                is_elsewhere=message.id in self.written_elsewhere,
            )
        view.set_class(message.id in self._left_out, "-left-out")
        view.set_class(message.id in self._dimmed, "-edited")
        view.set_class(message.id in self._pinned, "-pinned")
        return view

    async def add_question(self, message: Message, variant: str) -> None:
        """Add a question below, and follow it."""
        await self.query("#welcome").remove()
        await self._come_to_end()
        await self._put_away(self.max_scroll_y)
        await self.mount(QuestionView(message, variant))
        self.anchor()

    async def show_anew(self, messages: Sequence[Message]) -> None:
        """Show messages as they are now, at once or when they are shown again."""
        by_id = {message.id: message for message in messages}
        for items in (self._earlier, self._later):
            items[:] = [one if isinstance(one, str) else by_id.get(one.id, one) for one in items]
        async with self.batch():
            for view in self.query(MessageView):
                if message := by_id.get(view.message_id):
                    anew = self._view_of(message)
                    await self.mount(anew, after=view)
                    if view.has_focus:
                        anew.focus(scroll_visible=False)
                    await view.remove()

    def describe(
        self,
        variant_of: Callable[[str], str],
        pinned: Collection[str],
        rating_of: Callable[[str], int | None],
    ) -> None:
        """Know about the messages that come back; the arguments are those of ``show_path``."""
        self._variant_of, self._rating_of = variant_of, rating_of
        self._pinned = frozenset(pinned)

    async def add_answer(self, message_id: str) -> AnswerView:
        """Add an answer that is about to stream."""
        await self._come_to_end()
        view = self._newest = AnswerView(message_id)
        await self.mount(view)
        self.anchor()
        if self.focuses_next:
            self.focuses_next = False
            view.focus(scroll_visible=False)
        return view

    def focus_next_answer(self, *, is_wanted: bool = True) -> None:
        """Have the next answer that is added get the focus, as long as the user is among the
        messages."""
        self.focuses_next = is_wanted

    def dim_from(self, message_id: str | None) -> None:
        """Dim the message with this id and all below it; None: none of them."""
        views = self.query(MessageView)
        ids = [one.id for one in self._everything() if isinstance(one, Message)]
        ids += [view.message_id for view in views if view.message is None]  # being written
        self._dimmed = frozenset(ids[ids.index(message_id) :] if message_id in ids else ())
        for view in views:
            view.set_class(view.message_id in self._dimmed, "-edited")

    def give_way(self) -> None:
        """A key is to be seen before more of an answer is."""
        if self._newest:
            self._newest.give_way()

    async def add_note(self, markdown: str) -> None:
        """Add a note below."""
        await self.query("#welcome").remove()
        await self._come_to_end()
        note = NoteView(markdown)
        await self.mount(note)
        await note.show()
        self.anchor()
        self.call_after_refresh(self._begin_with, note)

    def _begin_with(self, note: NoteView) -> None:
        """Show a note from its beginning, where it is longer than what is in sight."""
        if note.is_attached and note.outer_size.height > self.size.height:
            self.release_anchor()
            self.scroll_to_widget(note, top=True, animate=False)

    async def mark_left_out(self, ids: Collection[str]) -> None:
        """Dim the messages that the model was not given, and say so where they end."""
        self._left_out = frozenset(ids)
        for view in self.query(MessageView):
            view.set_class(view.message_id in ids, "-left-out")
        await self._place_mark()

    async def _place_mark(self) -> None:
        """Have the mark stand below the last message that was left out, if that is shown."""
        await self.query(LeftOutMark).remove()
        left_out = [view for view in self.query(MessageView) if view.has_class("-left-out")]
        if left_out:
            mark = LeftOutMark()
            await self.mount(mark, after=left_out[-1])
            mark.say(len(self._left_out))

    def focus_id(self, message_id: str) -> None:
        """Focus the message with this id, if it is shown."""
        if view := self._shown(message_id):
            self.screen.set_focus(view)

    def focus_message(self, view: MessageView | None, step: int) -> bool:
        """Focus the message ``step`` further down (up when negative) than ``view``.

        At once: the next key, which may be there already, is for it. With no ``view``, the last
        one that is shown. Returns False when there is none there.
        """
        views = list(self.query(MessageView))
        index = views.index(view) + step if view in views else len(views) - 1
        if self._later and index == len(views):
            self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)  # to have it come
            return True
        if not 0 <= index < len(views):
            return False
        self.screen.set_focus(views[index])
        return True

    def view_below(self, view: MessageView) -> MessageView | None:
        """The message right below ``view``; None below the last one."""
        views = list(self.query(MessageView))
        return next(iter(views[views.index(view) + 1 :]), None)
