"""Where the user types: several lines, earlier messages at hand, paste made safe."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message

from chatbot.conversation.mentions import begun_mention
from chatbot.events import TurnEvent
from chatbot.messages import Message as ChatMessage
from chatbot.terminal_text import clean
from chatbot.tui.key_order import ran_own_binding
from chatbot.tui.keys import bind
from chatbot.tui.text_area import WritingArea


class MessageArea(WritingArea):
    """Several lines of text that Enter sends; other keys of the table begin a new line."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("send"), bind("newline")]

    def action_newline(self) -> None:
        """Begin a new line at the cursor."""
        self.insert("\n")

    async def _on_key(self, event: events.Key) -> None:
        if not await ran_own_binding(self, event):
            await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        """Clean what is pasted: it may come from a hostile page."""
        event.prevent_default()
        event.stop()
        self.insert(clean(event.text))


class Sent(NamedTuple):
    """What the user sent."""

    text: str
    edited: ChatMessage | None = None
    """The question that it is in other words."""
    attached: Sequence[str] = ()
    """Names of the files that were said to go with it."""
    events: AsyncGenerator[TurnEvent] | None = None
    """Asks and answers it, where that is otherwise than it says itself."""
    chat_id: str = ""
    """The chat that it is for, where it has to wait for an answer; else the one that is open."""


class Prompt(MessageArea):
    """The message box."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("complete"),
        bind("complete_back"),
        bind("earlier"),
        bind("later"),
        bind("editor"),
    ]

    class CompletionWanted(Message):
        """The user asked for the rest of a slash command, or of a file's name."""

        def __init__(self, step: int = 1, *, is_extended: bool = False) -> None:
            super().__init__()
            self.step = step
            """Which of those there are: the next one (1) or the one before (-1)."""
            self.is_extended = is_extended
            """Whether first to add what all of them have in common."""

    class EditorWanted(Message):
        """The user wants to write in an editor of their own."""

    def __init__(
        self, send: Callable[[Sent], object], take_back: Callable[[], bool], help_keys: str
    ) -> None:
        """Make the box.

        Both are called while the key is handled: the next one may be there already.

        Args:
            send: is given what the user sends.
            take_back: puts what was sent last and waits still into the box; False: nothing does.
            help_keys: what opens the help.
        """
        super().__init__(
            id="prompt",
            compact=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
        )
        self._ways = ("Ask anything", "/ for commands", "@ for files", f"{help_keys} for help")
        """What can be done in the empty box."""
        self._send = send
        self._take_back = take_back
        self._sent: list[str] = []
        self._recalled = 0
        """How many messages back the box shows; 0 is the one being written."""
        self._changed: dict[int, str] = {}
        """What was made of earlier messages in this box and not sent, by how many back."""
        self._choice = ""
        """The completion that was chosen last."""
        self._draft = ""
        self.edited: ChatMessage | None = None
        """The question that is being put in other words."""
        self._before_edit = ""
        """What stood here before."""
        self._attached: Sequence[str] = ()
        """Names of the files that go with the text."""
        self._elsewhere: Callable[[int], str] | None = None
        """Gives, for as many cells, what the keys do while something else has the focus."""

    def begin_edit(self, question: ChatMessage) -> None:
        """Have a question put in other words; what was being written comes back afterwards."""
        if self.edited is None:
            self._before_edit = self._draft if self._recalled else self.text
        self.edited = question
        self._recalled, self._draft = 0, ""
        self._show_subtitle()
        self.propose(question.text)

    def end_edit(self) -> bool:
        """Leave the question as it was; its other words, if any, come back like an earlier
        message. False: none was edited."""
        if self.edited is None:
            return False
        if self.text.strip() not in ("", self.edited.text.strip()):
            self._remember(self.text.strip())
        self._after_edit()
        return True

    def _after_edit(self) -> None:
        self.edited = None
        self._recalled, self._draft = 0, ""
        self.text, self._before_edit = self._before_edit, ""
        self.move_cursor(self.document.end)
        self._show_subtitle()

    def show_attached(self, names: Sequence[str]) -> None:
        """Say which files go with the text."""
        if names != self._attached:
            self._attached = names
            self._show_subtitle()

    def show_keys(self, hint: Callable[[int], str] | None) -> None:
        """Say in the frame what the keys do where they go now; None: they go in here.

        Args:
            hint: gives what fits into so many cells.
        """
        self._elsewhere = hint
        self._show_subtitle()

    def on_resize(self) -> None:
        width = self.content_size.width
        ways = [" · ".join(self._ways[:count]) for count in range(len(self._ways) + 1)]
        self.placeholder = [line for line in ways if cell_len(line) <= width][-1]
        self._show_subtitle()

    def _show_subtitle(self) -> None:
        facts = ["editing · Esc leaves it as it was"] if self.edited else []
        if self._elsewhere and not self.edited:
            facts.append(self._elsewhere(self.size.width - 2))  # within corners and blanks
        elif self._attached:
            facts.append(f"attached: {', '.join(self._attached)}")
        self.border_subtitle = Content(" · ".join(facts))  # never as markup

    def propose(self, text: str) -> None:
        """Put a text in the box, to be changed and sent."""
        self.text = text
        self.move_cursor(self.document.end)
        self.screen.set_focus(self)  # now: the next key may be there already

    def show_choice(self, typed: str) -> None:
        """Put one of several completions in the box; the arrow keys go on to the others."""
        self._choice = typed
        self.go_on_with(typed)

    def give_back(self, text: str) -> None:
        """Put a text that could not be dealt with before what was typed since; while a question is
        edited, it comes afterwards."""
        if self.edited:
            self._before_edit = f"{text}\n{self._before_edit}".rstrip("\n")
        else:
            self.propose(f"{text}\n{self.text}" if self.text else text)

    def put_away(self) -> bool:
        """Empty the box; the text comes back like an earlier message. False: there was none."""
        if not self.text.strip():
            return False
        for text in (self._draft if self._recalled else "", self.text):
            if text.strip():
                self._remember(text.strip())
        return True

    @property
    def unsent(self) -> str:
        """What was written here and never sent, the words for an edited question included."""
        known = self.edited.text if self.edited else ""
        if self._recalled:
            known = self._sent[-self._recalled]
        texts = (self._before_edit, self._draft if self._recalled else "", self.text)
        return "\n".join(text for text in texts if text.strip() not in ("", known.strip()))

    def _remember(self, text: str) -> None:
        if not self._sent or self._sent[-1] != text:
            self._sent.append(text)
        self._recalled, self._draft, self._choice = 0, "", ""
        self._changed.clear()
        self.text = ""

    def action_send(self) -> None:
        """Hand the text on and empty the box, unless there is none."""
        text = self.text.strip()
        if not text:
            return
        edited, attached = self.edited, self._attached
        self._remember(text)
        if edited:  # here and now: what is typed next belongs to the next text
            self._after_edit()
        self._send(Sent(text, edited, attached))

    @property
    def typed(self) -> str:
        """The text up to the cursor, which a completion goes on with."""
        return self.get_text_range((0, 0), self.cursor_location)

    def go_on_with(self, typed: str) -> None:
        """Put another text before the cursor; what is behind it stays."""
        self.replace(typed, (0, 0), self.cursor_location)
        self.focus()

    @property
    def _is_completed(self) -> bool:
        """Whether a key is for a completion."""
        is_command = self.text.startswith("/") and "\n" not in self.text
        return is_command or self._is_choice or begun_mention(self.typed) is not None

    @property
    def _is_choice(self) -> bool:
        """Whether the completion that was chosen last stands there as it is."""
        return bool(self._choice) and self.typed == self._choice

    def action_complete(self) -> None:
        """Complete a command or a file's name; in any other text the key moves on as usual."""
        if self._is_completed:
            self.post_message(self.CompletionWanted(is_extended=True))
        else:
            self.screen.focus_next()

    def action_complete_back(self) -> None:
        """Go back to the completion before; as with ``action_complete``."""
        if self._is_completed:
            self.post_message(self.CompletionWanted(-1))
        else:
            self.screen.focus_previous()

    def action_editor(self) -> None:
        """Open the user's own editor on the text."""
        self.post_message(self.EditorWanted())

    def action_earlier(self) -> None:
        """Move up; on the first line, show the message before, or the completion before. In an
        empty box, a message that waits comes back."""
        if self._is_choice and self._recalled == 0:
            self.post_message(self.CompletionWanted(-1))
            return
        if not self.text and self._recalled == 0 and self._take_back():
            return
        if self.cursor_location[0] > 0 or self._recalled >= len(self._sent):
            self.action_cursor_up()
            return
        self._recall(self._recalled + 1)

    def action_later(self) -> None:
        """Move down; on the last line, show the message after, or the next completion."""
        is_last_line = self.cursor_location[0] == self.document.line_count - 1
        if self._recalled == 0 and self._is_completed and is_last_line:
            self.post_message(self.CompletionWanted())
            return
        if not is_last_line or self._recalled == 0:
            self.action_cursor_down()
            return
        self._recall(self._recalled - 1)

    def _recall(self, number: int) -> None:
        """Show what was sent so many messages back, 0 the one being written; what was made of the
        present one stays."""
        if self._recalled == 0:
            self._draft = self.text
        else:
            self._changed[self._recalled] = self.text
        self._recalled = number
        if number == 0:
            self.propose(self._draft)
        else:
            self.propose(self._changed.get(number, self._sent[-number]))
