"""What stands between the messages and is none: notes, and a mark of how far the model sees."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from chatbot.tui.chat.markdown import safe_markdown
from chatbot.wording import counted


class NoteView(Vertical):
    """Something to read that is no part of the conversation; nothing of it until ``show``."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.markdown = markdown
        self._body = safe_markdown("")

    def compose(self) -> ComposeResult:
        yield self._body

    async def show(self) -> None:
        """Show it, and wait until all of it is there to be laid out."""
        await self._body.update(self.markdown)


class LeftOutMark(Static):
    """Stands where earlier messages end that the model was not given."""

    def say(self, count: int) -> None:
        """Show how many there are."""
        were, them = ("was", "it") if count == 1 else ("were", "them")
        messages = counted(count, "message")
        self.update(f"↑ {messages} above {were} left out: the model was not given {them} ↑")
