"""A block of code that may be long and may grow: only what is in sight is drawn.

Knows code and its language; nothing of Markdown and messages.
"""

from time import monotonic
from typing import Final

from textual.content import Content, Span
from textual.geometry import Region, Size
from textual.highlight import ANSIDarkHighlightTheme, ANSILightHighlightTheme, HighlightTheme
from textual.highlight import highlight as highlight_all
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions
from textual.widget import Widget

from chatbot.tui.chat.cheap_layout import content_size

MAX_TAIL: Final = 24
"""Lines at the end of growing code whose colours may still change with what follows."""

TAB_SIZE: Final = 8

NUM_RESERVED: Final = 3
"""Lines that are kept free below what grows fast, since laying out the whole screen for each line
takes longer than all else."""

FAST_SECONDS: Final = 0.25
"""Lines that come in less than this one after the other come fast."""


class Pace:
    """How fast lines come, one after the other, in whatever blocks."""

    def __init__(self) -> None:
        self._grown_at = 0.0
        self.is_fast = False

    def grow(self) -> None:
        """Say that there is another line."""
        now = monotonic()
        self.is_fast = now - self._grown_at < FAST_SECONDS
        self._grown_at = now


class Reserve:
    """How many lines something takes that grows."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._num_used = 0
        self.num_lines = 0

    def fits(self, num_lines: int) -> bool:
        """Whether there is room for so many lines; makes room where there is not."""
        if num_lines > self._num_used:
            self._num_used = num_lines
            self._pace.grow()
        if num_lines <= self.num_lines:
            return True
        self.num_lines = num_lines + NUM_RESERVED * self._pace.is_fast
        return False

    def expect(self) -> int:
        """Lines that something new takes whose first line is there; 0 where more come slowly."""
        self._pace.grow()
        self._num_used = 1
        self.num_lines = 1 + NUM_RESERVED if self._pace.is_fast else 0
        return self.num_lines


class CodeLines(Widget):
    """Lines of code in colours; a line is as long as it is."""

    virtual_size = content_size()

    def __init__(self, code: str, language: str, pace: Pace) -> None:
        """Show ``code``, clean; its colours are found when it is first in sight."""
        super().__init__()
        self.auto_links = False
        self._language = language
        self._lines = _lines_of(code)
        self._coloured: list[Content] = []
        """As many of the lines as have their colours."""
        self._strips: dict[int, Strip] = {}
        self._is_growing = False
        self._reserve = Reserve(pace)
        self._num_settled = 0
        """Leading lines whose colours are not looked at again while the code grows."""

    def grow(self, code: str, language: str) -> None:
        """Show ``code``, which begins with what was shown before but for its last line."""
        self._lines = _lines_of(code)
        if language != self._language:
            self._language, self._num_settled = language, 0
        self._is_growing = True
        first = min(self._num_settled, len(self._lines))
        del self._coloured[first:]
        for y in [y for y in self._strips if y >= first]:
            del self._strips[y]
        if not self._reserve.fits(len(self._lines)) or self._widest() > self.size.width:
            self.refresh(layout=True)
        else:
            self.refresh(Region(0, first, self.size.width, len(self._lines) - first))

    def expect_more(self) -> None:
        """It stands last and will grow."""
        self._reserve.expect()

    def settle(self) -> None:
        """Take no more room than there are lines: it does not grow any more."""
        if self._reserve.num_lines > len(self._lines):
            self._reserve.num_lines = 0
            self.refresh(layout=True)

    def forget_colours(self) -> None:
        """Find all colours anew, as another theme asks for."""
        self._coloured, self._num_settled = [], 0
        self._strips.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        self._strips.clear()
        super().notify_style_update()

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return max(self._widest(), container.width)

    def _widest(self) -> int:
        return max((line.cell_length for line in self._lines), default=0)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(len(self._lines), self._reserve.num_lines, 1)

    def render(self) -> Content:
        return Content("\n").join(self._lines)

    def render_line(self, y: int) -> Strip:
        selection = self.text_selection
        if selection is None and y in self._strips:
            return self._strips[y]
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.visual_style.rich_style)
        line = self._line(y)
        if selection is not None and (span := selection.get_span(y)) is not None:
            start, end = span
            style = Style.from_styles(self.screen.get_component_styles("screen--selection"))
            line = line.stylize(style, start, len(line) if end == -1 else end)
        width = self.size.width
        options = RenderOptions(self._get_style, {"text_wrap": "nowrap"}, None, None)
        strips = line.render_strips(max(width, 1), 1, self.visual_style, options)
        strip = strips[0].adjust_cell_length(width, self.visual_style.rich_style)
        strip = strip.apply_offsets(0, y)
        if selection is None:
            self._strips[y] = strip
        return strip

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return selection.extract("\n".join(line.plain for line in self._lines)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self._strips.clear()
        self.refresh()

    def _line(self, y: int) -> Content:
        if not self._is_growing and not self._coloured:
            self._coloured = self._colour(self._lines)
        elif len(self._coloured) < len(self._lines):
            self._colour_tail()
        return self._coloured[y] if y < len(self._coloured) else self._lines[y]

    def _colour_tail(self) -> None:
        """Colour what came since; looking at all of it again would take longer each time."""
        first = self._num_settled
        del self._coloured[first:]
        self._coloured += self._colour(self._lines[first:])
        if len(self._lines) - first > MAX_TAIL:
            blank = [y for y in range(first + 1, len(self._lines) - 1) if not self._lines[y].plain]
            self._num_settled = blank[-1] if blank else len(self._lines) - 1

    def _colour(self, lines: list[Content]) -> list[Content]:
        if not self._language:  # a guess takes long and is mostly wrong
            return list(lines)
        theme = HighlightTheme
        if self.app.native_ansi_color:
            is_dark = self.app.current_theme.dark
            theme = ANSIDarkHighlightTheme if is_dark else ANSILightHighlightTheme
        code = "\n".join(line.plain for line in lines)
        whole = highlight_all(code, language=self._language, theme=theme)
        return _split(whole, len(lines))


def _lines_of(code: str) -> list[Content]:
    return [Content(line.expandtabs(TAB_SIZE)) for line in code.splitlines()]


def _split(whole: Content, num_lines: int) -> list[Content]:
    """The lines of ``whole``; ``Content.split`` takes many times as long."""
    texts = whole.plain.split("\n")
    spans: list[list[Span]] = [[] for _ in texts]
    starts = [0]
    for text in texts:
        starts.append(starts[-1] + len(text) + 1)
    # What covers everything comes first, so that the others are drawn over it.
    line = 0
    for start, end, style in whole.spans:
        if start < starts[line]:
            line = 0
        while start >= starts[line + 1]:
            line += 1
        at = line
        while at < len(texts) and starts[at] < end:
            begin = max(start - starts[at], 0)
            if begin < (stop := min(end - starts[at], len(texts[at]))):
                spans[at].append(Span(begin, stop, style))
            at += 1
    lines = [Content(text, spans=own) for text, own in zip(texts, spans, strict=True)]
    return lines[:num_lines] + [Content("")] * (num_lines - len(lines))
