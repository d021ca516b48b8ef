"""How a question looks, and the files that go with it."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from chatbot.conversation.file_block import files_of
from chatbot.messages import FilePart, Message
from chatbot.tui.chat.folded import toggle_all
from chatbot.tui.chat.message_views import MessageView
from chatbot.tui.keys import bind

if TYPE_CHECKING:
    from chatbot.tui.chat.file_view import FileView


class QuestionView(MessageView):
    """What the user asked, exactly as it was typed, and the files that go with it."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("fold")]

    def __init__(self, message: Message, variant: str = "") -> None:
        super().__init__(message.id)
        self._message = message
        self._variant = variant
        self._files = [_make_file(file) for file in files_of(message)]

    @property
    def message(self) -> Message | None:
        return self._message

    @property
    def text(self) -> str:
        return self._message.text

    def compose(self) -> ComposeResult:
        yield Static(self._message.text, markup=False, classes="question-text")
        yield from self._files
        if self._variant:
            yield Static(f"‹ {self._variant} ›", classes="message-foot")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a file the key that opens files is a letter for the prompt."""
        return bool(self._files) if action == "fold" else super().check_action(action, parameters)

    def action_fold(self) -> None:
        """Open the files of the question, or close them."""
        toggle_all(self._files)


def _make_file(file: FilePart) -> "FileView":
    # Only where there are any: the first frame has no use for them.
    from chatbot.tui.chat.file_view import FileView

    return FileView(file)
