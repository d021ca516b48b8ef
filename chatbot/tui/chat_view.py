"""The chat pane: the messages of the branch that is shown, in order.

Follows the stream only while the user is at its end. Offers verbs; decides nothing.
"""

from collections.abc import Callable, Collection, Sequence

from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from chatbot.messages import Message
from chatbot.tui.message_views import (
    AnswerView,
    LeftOutMark,
    MessageView,
    NoteView,
    QuestionView,
)

WELCOME = """\
[b $primary]▣ glass box[/]

A chat with a model that runs on this machine.
Nothing leaves it, and nothing is hidden.

[dim]Type a question and press[/] [b]Enter[/][dim]; no need to wait for the model.[/]

[b]Ctrl+B[/]  [dim]settings, live[/]
[b]/[/]       [dim]commands[/]
[b]F1[/]      [dim]help[/]
[b]Ctrl+Q[/]  [dim]quit[/]
"""


class ChatView(VerticalScroll, can_focus=False):
    """The scrolling list of messages."""

    def on_mount(self) -> None:
        self.anchor()
        self.mount(Static(WELCOME, id="welcome"))

    async def show_path(self, path: Sequence[Message], variant_of: Callable[[str], str]) -> None:
        """Show these messages in place of what is there.

        Args:
            path: the messages from first to last.
            variant_of: gives, for a message's id, which variant it is (``2/3``), or nothing.
        """
        views: list[Widget] = []
        for message in path:
            variant = variant_of(message.id)
            if message.role == "user":
                views.append(QuestionView(message, variant))
            else:
                views.append(AnswerView(message.id, message, variant))
        async with self.batch():
            await self.remove_children()
            await self.mount_all(views or [Static(WELCOME, id="welcome")])
        self.anchor()

    async def add_question(self, message: Message, variant: str) -> None:
        """Add a question below, and follow it."""
        await self.query("#welcome").remove()
        await self.mount(QuestionView(message, variant))
        self.anchor()

    async def add_answer(self, message_id: str) -> AnswerView:
        """Add an answer that is about to stream."""
        view = AnswerView(message_id)
        await self.mount(view)
        self.anchor()
        return view

    async def add_note(self, markdown: str) -> None:
        """Add a note below."""
        await self.query("#welcome").remove()
        await self.mount(NoteView(markdown))
        self.anchor()

    async def mark_left_out(self, ids: Collection[str]) -> None:
        """Dim the messages that the model was not given, and say so where they end."""
        await self.query(LeftOutMark).remove()
        last: MessageView | None = None
        for view in self.query(MessageView):
            is_left_out = view.message_id in ids
            view.set_class(is_left_out, "-left-out")
            last = view if is_left_out else last
        if last is not None:
            mark = LeftOutMark()
            await self.mount(mark, after=last)
            mark.say(len(ids))

    @property
    def last_message_id(self) -> str | None:
        """Id of the last message shown; None in an empty chat."""
        views = self.query(MessageView)
        return views.last().message_id if views else None

    def focus_id(self, message_id: str) -> None:
        """Focus the message with this id, if it is shown."""
        for view in self.query(MessageView):
            if view.message_id == message_id:
                view.focus()

    def focus_message(self, view: MessageView | None, step: int) -> bool:
        """Focus the message ``step`` further down (up when negative) than ``view``.

        With no ``view``, the last one. Returns False when there is none there.
        """
        views = list(self.query(MessageView))
        index = views.index(view) + step if view in views else len(views) - 1
        if not 0 <= index < len(views):
            return False
        views[index].focus()
        return True
