"""The body of an answer: stretches of Markdown, and between them thoughts and tool calls.

Grows while the answer streams. Knows nothing of how the answer came about.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from textual import widgets
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import AwaitMount, Widget

from chatbot.messages import (
    Message,
    SettingChange,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from chatbot.tui.chat.answer_text import marked_texts
from chatbot.tui.chat.folded import toggle_all
from chatbot.tui.chat.markdown import safe_markdown
from chatbot.tui.chat.setting_marks import with_marks
from chatbot.tui.drawing.cheap_layout import backdrop, content_size

if TYPE_CHECKING:
    from textual.widgets.markdown import MarkdownStream

    from chatbot.tui.chat.thinking_view import ThinkingView
    from chatbot.tui.chat.tool_card import ToolCard


_DEFINITION: Final = re.compile(r"^ {0,3}\[[^\]]+\]:", re.MULTILINE)
"""The target of a link, which text that is drawn already may refer to."""


class TextStretch:
    """A stretch of text between two calls, and the widget that shows it."""

    def __init__(self, start: int, marked: str = "") -> None:
        """Begin a stretch.

        Args:
            start: characters of the answer before it.
            marked: its text with all marks, where it is finished.
        """
        self.start = start
        self.markdown = safe_markdown(marked)
        self._parts: list[str] = []
        self._written = ""
        """What of the marked text is on the screen."""
        self._stream: MarkdownStream | None = None
        self._is_over = False
        self.mounting: AwaitMount | None = None
        """To be awaited before the widget is told anything: its first update and another one
        would wait for each other for ever."""

    @property
    def text(self) -> str:
        """What there is of it, without marks."""
        return "".join(self._parts)

    def append(self, text: str) -> None:
        """Add to it; ``write`` shows it."""
        self._parts.append(text)

    def _marked(self, changes: Sequence[SettingChange], *, is_complete: bool) -> str:
        own = [
            msgspec.structs.replace(change, offset=change.offset - self.start)
            for change in changes
            if 0 <= change.offset - self.start <= len(self.text)
        ]
        return with_marks(self.text, own, is_complete=is_complete)

    async def write(self, changes: Sequence[SettingChange]) -> bool:
        """Show what was added since the last time; returns whether there was anything."""
        marked = self._marked(changes, is_complete=False)
        if len(marked) <= len(self._written) or not self.markdown.is_mounted:
            return False
        if self._stream is None:
            stream = widgets.Markdown.get_stream(self.markdown)
            # Its task must have begun before anybody stops it: a task that is cancelled before
            # its first step cancels whoever waits for it, which is the turn.
            await asyncio.sleep(0)
            if self._is_over:
                await stream.stop()
                return False
            self._stream = stream
        new, self._written = marked[len(self._written) :], marked
        await self._stream.write(new)
        return True

    async def end(self, marked: str) -> None:
        """Show it whole, with all marks."""
        self._is_over = True
        if self.mounting:
            await self.mounting
        if self._stream:
            await self._stream.stop()
            self._stream = None
        if not self.markdown.is_attached:
            return
        written, self._written = self._written, marked
        if written and marked.startswith(written) and not _DEFINITION.search(marked):
            # Making all of it anew would hold up the keys of whoever types already.
            await self.markdown.append(marked[len(written) :])
            self.markdown.settle()
        else:
            await self.markdown.update(marked)

    async def close(self, changes: Sequence[SettingChange]) -> None:
        """Nothing is added any more."""
        await self.end(self._marked(changes, is_complete=True))


class AnswerBody(Vertical):
    """What the model wrote, in its order."""

    virtual_size = content_size()

    def __init__(self, message: Message | None = None) -> None:
        """Show an answer.

        Args:
            message: the finished answer; None for one that is about to stream.
        """
        super().__init__()
        self._pieces: list[TextStretch | ThinkingView | ToolCard] = (
            self._make_pieces(message) if message else [TextStretch(0)]
        )
        self._length = 0
        """Of the text so far, in characters."""

    def render_lines(self, crop: Region) -> list[Strip]:
        return backdrop(self, crop)

    def compose(self) -> ComposeResult:
        yield from map(_widget_of, self._pieces)

    def _make_pieces(self, message: Message) -> "list[TextStretch | ThinkingView | ToolCard]":
        texts = iter(marked_texts(message))
        results = {p.call_id: p for p in message.parts if isinstance(p, ToolResultPart)}
        pieces: list[TextStretch | ThinkingView | ToolCard] = []
        for part in message.parts:
            match part:
                case TextPart():
                    pieces.append(TextStretch(0, next(texts)))
                case ThinkingPart():
                    pieces.append(_make_thought(part))
                case ToolCallPart(id=call_id):
                    pieces.append(_make_card(part, results.get(call_id)))
        return pieces or [TextStretch(0)]

    @property
    def text(self) -> str:
        """What there is of the text, without marks."""
        return "".join(piece.text for piece in self._pieces if isinstance(piece, TextStretch))

    # While it streams

    def append(self, text: str) -> None:
        """Add a piece of text; it is drawn with the next ``draw``."""
        last = self._pieces[-1] if self._pieces else None
        if not isinstance(last, TextStretch):
            last = TextStretch(self._length)
            self._put(last)
        last.append(text)
        self._length += len(text)

    def think(self, text: str, num_tokens: int = 0, seconds: float = 0.0) -> None:
        """Add a piece of a thought, which has so many tokens with it and took so long."""
        from chatbot.tui.chat.thinking_view import ThinkingView

        last = self._pieces[-1] if self._pieces else None
        if not isinstance(last, ThinkingView):
            last = _make_thought()
            self._put(last)
        last.append(text, num_tokens, seconds)

    def cut_thought(self) -> None:
        """The thought ends because the user wants the answer."""
        from chatbot.tui.chat.thinking_view import ThinkingView

        if self._pieces and isinstance(last := self._pieces[-1], ThinkingView):
            last.cut()

    async def add_call(self, call: ToolCallPart, changes: Sequence[SettingChange]) -> None:
        """Add a call, after the text before it is drawn whole."""
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, TextStretch) and last.text:
            await last.close(changes)
        self._put(_make_card(call, None))

    def start_call(self, call_id: str) -> None:
        """Show that a call runs."""
        if card := self._card(call_id):
            card.start()

    def end_call(self, result: ToolResultPart) -> None:
        """Show what became of a call."""
        if card := self._card(result.call_id):
            card.end(result)

    async def draw(self, changes: Sequence[SettingChange]) -> bool:
        """Show what was added; returns whether anything was."""
        from chatbot.tui.chat.thinking_view import ThinkingView

        last = self._pieces[-1]
        if isinstance(last, ThinkingView):
            return last.draw()
        return isinstance(last, TextStretch) and await last.write(changes)

    @property
    def is_thinking(self) -> bool:
        """Whether the model thinks rather than answers."""
        from chatbot.tui.chat.thinking_view import ThinkingView

        return isinstance(self._pieces[-1], ThinkingView)

    async def finish(self, message: Message) -> None:
        """Show the answer as it is kept."""
        from chatbot.tui.chat.thinking_view import ThinkingView

        stretches = [piece for piece in self._pieces if isinstance(piece, TextStretch)]
        for piece in self._pieces:
            if isinstance(piece, ThinkingView):
                piece.end()
        texts = marked_texts(message)
        if len([s for s in stretches if s.text]) == len([t for t in texts if t]):
            # What was never written to may stand first and empty.
            written = [stretch for stretch in stretches if stretch.text]
            for stretch, marked in zip(written, filter(None, texts), strict=True):
                await stretch.end(marked)
            return
        for stretch in stretches:
            await stretch.end("")
        self._pieces = self._make_pieces(message)
        if not self.is_attached:
            return
        async with self.batch():
            await self.remove_children()
            await self.mount_all(map(_widget_of, self._pieces))

    def toggle(self) -> None:
        """Open the thoughts and calls, or close them."""
        toggle_all([piece for piece in self._pieces if not isinstance(piece, TextStretch)])

    def _put(self, piece: "TextStretch | ThinkingView | ToolCard") -> None:
        from chatbot.tui.chat.thinking_view import ThinkingView

        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, ThinkingView):
            last.end()
        self._pieces.append(piece)
        if not self.is_attached:
            return  # the user looks at another chat by now
        mounting = self.mount(_widget_of(piece))
        if isinstance(piece, TextStretch):
            piece.mounting = mounting

    def _card(self, call_id: str) -> "ToolCard | None":
        from chatbot.tui.chat.tool_card import ToolCard

        cards = (piece for piece in self._pieces if isinstance(piece, ToolCard))
        return next((card for card in cards if card.call.id == call_id), None)


def _widget_of(piece: "TextStretch | ThinkingView | ToolCard") -> Widget:
    return piece.markdown if isinstance(piece, TextStretch) else piece


# Only where there are any: the first frame has no use for them.


def _make_thought(part: ThinkingPart | None = None) -> "ThinkingView":
    from chatbot.tui.chat.thinking_view import ThinkingView

    return ThinkingView(part)


def _make_card(call: ToolCallPart, result: ToolResultPart | None) -> "ToolCard":
    from chatbot.tui.chat.tool_card import ToolCard

    return ToolCard(call, result)
