"""What an answer rests on, below it: its sources, and sentence by sentence which one supports it.

Draws what the answer was kept with, and posts which source was chosen. Opens nothing.
"""

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.conversation.citations import NO_SOURCE, is_without_source
from chatbot.messages import SourcesPart
from chatbot.terminal_text import clean_line
from chatbot.tui.chat.source_lines import source_line, support_cells, support_strip, support_words


class SourcesView(Widget):
    """One line a source, and the support strip; both can be clicked."""

    found: reactive[SourcesPart] = reactive(SourcesPart(()), layout=True)
    _hovered: reactive[int | None] = reactive(None)
    """Index of the source that the mouse is on."""

    class Chosen(Message):
        """The user wants to see a source in its document."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, found: SourcesPart) -> None:
        super().__init__()
        self.set_reactive(SourcesView.found, found)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(max(width, 1)))

    def render(self) -> Content:
        return Content("\n").join(self._lines(max(self.size.width, 1)))

    def _lines(self, width: int) -> list[Content]:
        lines = self._notices(width)
        for index, source in enumerate(self.found.sources):
            line = source_line(index, source, width)
            lines.append(line.stylize("underline") if index == self._hovered else line)
        if self.found.support:
            words = support_words(self.found)
            strip = support_strip(self.found, self._strip_width(width))
            lines.append(Content.assemble(strip, (words, "dim")).truncate(width, ellipsis=True))
        return lines

    def _notices(self, width: int) -> list[Content]:
        found, lines = self.found, []
        if found.is_declined:
            text = (
                f"○ nothing relevant enough in your folders (threshold {found.threshold:.2f}): "
                "the model was not asked"
            )
            lines += Content.styled(text, "$text-warning").wrap(width)
        elif is_without_source(found):
            lines += Content.styled(f"○ {NO_SOURCE}", "dim").wrap(width)
        if found.notice:
            lines += Content.styled(f"▲ {clean_line(found.notice)}", "$text-warning").wrap(width)
        return lines

    def _strip_width(self, width: int) -> int:
        return max(width - len(support_words(self.found)), 8)

    def _source_at(self, x: int, y: int) -> int | None:
        """Index of the source at a place of the widget; None where there is none."""
        y -= len(self._notices(max(self.size.width, 1)))
        if 0 <= y < len(self.found.sources):
            return y
        if y != len(self.found.sources):
            return None
        at = 0
        cells = support_cells(self.found.support, self._strip_width(self.size.width))
        for sentence, width in zip(self.found.support, cells, strict=True):
            if at <= x < at + width:
                return sentence.source
            at += width + 1
        return None

    def on_click(self, event: events.Click) -> None:
        index = self._source_at(event.x, event.y)
        if index is not None:
            event.stop()
            self.post_message(self.Chosen(index))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._hovered = self._source_at(event.x, event.y)

    def on_leave(self) -> None:
        self._hovered = None
