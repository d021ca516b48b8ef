"""A scrolling list of messages of which only those near to what is in sight are mounted.

Whatever is mounted is laid out again with each line that streams. Knows where messages are, and not
how they look.
"""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Final

from textual.containers import VerticalScroll
from textual.message import Message as TextualMessage
from textual.widget import Widget

from chatbot.messages import Message
from chatbot.tui.chat.message_views import MessageView
from chatbot.tui.chat.notes import LeftOutMark, NoteView

PAGE: Final = 20
"""Messages that are shown at first, and added whenever the user comes to an end of them."""

KEPT_SCREENS: Final = 2
"""What is further away from what is in sight is put away when something is added at the other
end."""


class PartialScroll(VerticalScroll, can_focus=False):
    """Messages, and notes between them; what is above and below comes when the user goes there."""

    class FocusLost(TextualMessage):
        """The message that had the focus was taken away; another may have it by now."""

    def __init__(self) -> None:
        super().__init__()
        self._earlier: list[Message | str] = []
        """Messages, and notes as Markdown, above those that are shown; oldest first."""
        self._later: list[Message | str] = []
        """The same below those that are shown; none while an answer is being written."""
        self._is_adding = False

    def _empty(self) -> Widget:
        """What stands where there is no message."""
        raise NotImplementedError

    def _view_of(self, message: Message) -> MessageView:
        """How a message is shown."""
        raise NotImplementedError

    async def _place_mark(self) -> None:
        """Have the mark stand where it belongs among what is shown by now."""
        raise NotImplementedError

    async def _show_part(self, items: Sequence[Message | str], first: int) -> None:
        """Show the page that begins with this one of all there are, in place of what is there."""
        first = max(first, 0)
        self._earlier, self._later = list(items[:first]), list(items[first + PAGE :])
        async with self.batch():
            await self._take_away(self.children)
            if items:
                await self._mount_items(items[first : first + PAGE])
            else:
                await self.mount(self._empty())

    async def _take_away(self, views: Sequence[Widget]) -> None:
        # They learn of it later themselves; at the end of the program there is no screen.
        if self.is_attached and self.screen.focused in views:
            # Or Textual gives it to whatever comes next: a control of the sidebar.
            self.screen.set_focus(None)
            self.post_message(self.FocusLost())
        await self.remove_children(views)

    async def _mount_items(self, items: Sequence[Message | str], before: int | None = None) -> None:
        """Mount views of these, below the others or before the one with this index."""
        views = [NoteView(one) if isinstance(one, str) else self._view_of(one) for one in items]
        await self.mount_all(views, before=before)
        for view in views:
            if isinstance(view, NoteView):
                await view.show()
        await self._place_mark()

    @property
    def _is_following(self) -> bool:
        """Whether it stays at its end, whatever comes."""
        return self.is_anchored and not self._anchor_released

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._add_where_end(new_value)

    def _add_where_end(self, scroll_y: float) -> None:
        """Have more messages come, if ``scroll_y`` is where the user would see them."""
        # The end is near the top as well, when what was above it has been put away: nobody went
        # there then, unless there is nothing to scroll.
        is_at_top = scroll_y <= 1 and (not self._is_following or self.max_scroll_y <= 1)
        is_above = is_at_top and bool(self._earlier)
        is_below = bool(self._later) and scroll_y >= self.max_scroll_y - 1
        if not self._is_adding and (is_above or is_below):
            self._is_adding = True
            self.call_later(self._add_page, is_above=is_above)

    async def _add_page(self, *, is_above: bool) -> None:
        """Add a page, and stay where the user is."""
        views = [
            view
            for view in self.children
            if view.virtual_region.height and not isinstance(view, LeftOutMark)
        ]
        if not views:  # others are about to be shown
            self._is_adding = False
            return
        fixed = views[0 if is_above else -1]
        before, scroll_y = fixed.virtual_region.y, self.scroll_y
        async with self.batch():  # or what comes would be seen, a piece at a time, instead
            await (self._mount_earlier() if is_above else self._mount_later())

        def stay() -> None:
            # By now: scrolling would end it.
            if fixed.is_attached and not (is_above and self._is_following):
                # Where much was put away above, it came to its end of itself.
                now = scroll_y if self._is_following else self.scroll_y
                self.release_anchor()
                moved = fixed.virtual_region.y - before
                self.scroll_to(y=now + moved, animate=False, immediate=True)
            self._is_adding = False
            self._add_where_end(self.scroll_y)

        self.call_after_refresh(stay)

    @property
    def _can_all_go(self) -> bool:
        """Whether no answer is being written, which stays where it is."""
        return all(map(_can_go, self.children))

    async def _mount_earlier(self) -> None:
        page, self._earlier = self._earlier[-PAGE:], self._earlier[:-PAGE]
        await self._mount_items(page, before=0)
        lowest = self.scroll_y + (1 + KEPT_SCREENS) * self.size.height
        below = takewhile(lambda view: view.virtual_region.y >= lowest, reversed(self.children))
        # A note below an answer that is being written would be put away, and that answer lost with
        # the next thing that comes to the end.
        away = _going(below) if self._can_all_go else []
        self._later = [*_items(reversed(away)), *self._later]
        await self._take_away(away)

    async def _mount_later(self) -> None:
        self.release_anchor()  # or what comes would be scrolled past to the end
        page, self._later = self._later[:PAGE], self._later[PAGE:]
        await self._mount_items(page)
        await self._put_away(self.scroll_y)

    async def _put_away(self, scroll_y: float) -> None:
        """Take away what is far above this place; it comes back when the user goes there."""
        highest = scroll_y - KEPT_SCREENS * self.size.height
        # What is not laid out yet is at no place.
        above = takewhile(lambda view: 0 < view.virtual_region.bottom <= highest, self.children)
        away = _going(above)
        self._earlier += _items(away)
        await self._take_away(away)

    async def _come_to_end(self) -> None:
        """Have the end of the chat shown: something is to be added there."""
        if self._later:
            everything = self._everything()
            await self._show_part(everything, len(everything) - PAGE)

    def _everything(self) -> list[Message | str]:
        """What is shown, and what is above and below."""
        return [*self._earlier, *_items(self.children), *self._later]

    @property
    def last_message_id(self) -> str | None:
        """Id of the last message, shown or below; None in an empty chat."""
        for one in reversed(self._later):
            if isinstance(one, Message):
                return one.id
        views = self.query(MessageView)
        return views.last().message_id if views else None

    async def go_to(self, message_id: str) -> None:
        """Show the message with this id, however far up it is, and focus it."""
        self.release_anchor()  # or each page that comes would be scrolled past to the end
        self._is_adding = True  # until it is known where the user is
        if not self._shown(message_id):
            await self._show_around(message_id)
        if view := self._shown(message_id):
            # Of itself the focus scrolls before what came above has a size, and thus nowhere.
            self.screen.set_focus(view, scroll_visible=False)
        self.call_after_refresh(self._scroll_to_top_of, view)

    async def _show_around(self, message_id: str) -> None:
        """Show the page that the message with this id is on, wherever it is."""
        if not self._can_all_go:
            async with self.batch():
                while self._earlier and not self._shown(message_id):
                    await self._mount_earlier()
            return
        everything = self._everything()
        for index, one in enumerate(everything):
            if isinstance(one, Message) and one.id == message_id:
                await self._show_part(everything, index - PAGE // 4)
                return

    def _scroll_to_top_of(self, view: Widget | None) -> None:
        """Have ``view`` begin where what is in sight begins."""
        self._is_adding = False
        if view and view.is_attached:
            self.scroll_to_widget(view, top=True, animate=False)
        self._add_where_end(self.scroll_y)

    def _shown(self, message_id: str) -> MessageView | None:
        """The view of the message with this id; None where it is not shown."""
        views = self.query(MessageView)
        return next((view for view in views if view.message_id == message_id), None)


def _can_go(view: Widget) -> bool:
    """Whether it can come back as it is; the mark comes back with what is above it."""
    return bool(_item(view)) or isinstance(view, LeftOutMark)


def _going(views: Iterable[Widget]) -> list[Widget]:
    """Those of them, from the first on, that can be put away."""
    return list(takewhile(_can_go, views))


def _items(views: Iterable[Widget]) -> list[Message | str]:
    """What they come back from."""
    return [item for view in views if (item := _item(view))]


def _item(view: Widget) -> Message | str | None:
    if isinstance(view, NoteView):
        return view.markdown
    return view.message if isinstance(view, MessageView) else None
