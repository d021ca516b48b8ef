"""A block of code that may be long and may grow: only what is in sight is drawn.

Knows code and its language; nothing of Markdown and messages.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.content import Content, Span
from textual.geometry import Region, Size
from textual.highlight import ANSIDarkHighlightTheme, ANSILightHighlightTheme, HighlightTheme
from textual.highlight import highlight as highlight_all
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions
from textual.widget import Widget

from chatbot.tui.drawing.cheap_layout import content_size
from chatbot.tui.drawing.folding import Folding, Row
from chatbot.tui.drawing.reserve import Pace, Reserve

MAX_TAIL: Final = 24
"""Lines at the end of growing code whose colours may still change with what follows."""

TAB_SIZE: Final = 8

CONTINUED: Final = "↪"
"""Stands before a row that goes on with the line above."""

NUM_AT_ONCE: Final = 12
"""Rows that are made ready before whatever else is to be done has its turn."""


class CodeLines(Widget):
    """Lines of code in colours; what is longer than a row goes on in the next one."""

    virtual_size = content_size()

    def __init__(self, code: str, language: str, pace: Pace, fence: str) -> None:
        """Show code.

        Args:
            code: what it is, clean; its colours are found when it is first in sight.
            language: what it is written in.
            pace: how fast lines come.
            fence: stands there while there is no code, which may never come.
        """
        super().__init__(classes="" if code else "-empty")
        self._fence = fence
        self.auto_links = False
        self._language = language
        self._code = code
        self._split: list[Content] | None = None
        """The lines of the code, once somebody asks."""
        self._folding = Folding()
        self._coloured: list[Content] = []
        """As many of the lines as have their colours."""
        self._is_coloured = False
        """Whether all of them are as the code is now."""
        self._strips: dict[int, Strip] = {}
        """Rows of the widget as they are drawn."""
        self._strips_width = 0
        self._drawn_styles: dict[Style, RichStyle] = {}
        """Styles of the code as they are drawn."""
        self._is_growing = False
        self._reserve = Reserve(pace)
        self._num_settled = 0
        """Leading lines whose colours are not looked at again while the code grows."""

    def grow(self, code: str, language: str, fence: str) -> None:
        """Show ``code``, which begins with what was shown before but for its last line."""
        self._fence = fence
        whole = self._code.rfind("\n") + 1
        if self._code and self._split is not None and code.startswith(self._code[:whole]):
            num_kept = len(self._split) - len(self._code[whole:].splitlines())
            del self._split[num_kept:]
            self._split += _lines_of(code[whole:])
            self._folding.forget(num_kept)
        else:
            self._split = None
            self._num_settled = 0
            self._folding.forget(0)
            self._strips.clear()
        self._code = code
        self.set_class(not code, "-empty")
        if language != self._language:
            self._language, self._num_settled = language, 0
        self._is_growing, self._is_coloured = True, False
        first = self._num_settled
        if self._strips_width:  # it is in sight, and its end will be
            first = self._colour_all()
        num_rows = len(self._rows)
        first_row = self._folding.first_row(first)
        if not self._reserve.fits(num_rows, self.app.size.height):
            self.refresh(layout=True)
        elif first_row < num_rows:
            self.refresh(Region(0, first_row, self.size.width, num_rows - first_row))
        if self._strips_width:
            self._prepare(max(first_row, num_rows - self.app.size.height))

    def _prepare(self, first: int) -> None:
        """Make some rows from ``first`` on ready to be drawn, later the others: a key may come in
        between.
        """
        top = self.styles.padding.top
        num_rows = len(self._rows)
        end = min(first + NUM_AT_ONCE, num_rows)
        for y in range(first + top, end + top):
            if y not in self._strips:
                self._strips[y] = self._padded(y)
        if end < num_rows:
            self.call_later(self._prepare, end)

    @property
    def _lines(self) -> list[Content]:
        if self._split is None:
            code = _lines_of(self._code)
            self._split = code or [Content.styled(self._fence, "dim")]
        return self._split

    @property
    def _rows(self) -> Sequence[Row]:
        return self._folding.rows(self._lines, self.size.width)

    def expect_more(self) -> None:
        """It stands last and will grow."""
        self._reserve.expect(self.app.size.height)

    def settle(self) -> None:
        """Take no more room than there are rows: it does not grow any more."""
        if self._reserve.num_lines > len(self._rows):
            self._reserve.num_lines = 0
            self.refresh(layout=True)

    def forget_colours(self) -> None:
        """Find all colours anew, as another theme asks for."""
        self._coloured, self._num_settled, self._is_coloured = [], 0, False
        self._forget_strips()
        self.refresh()

    def notify_style_update(self) -> None:
        self._forget_strips()
        super().notify_style_update()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        num_rows = len(self._folding.rows(self._lines, width))
        return max(num_rows, self._reserve.num_lines) if self._code else 1

    def render(self) -> Content:
        return Content("\n").join(self._lines)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows in ``crop``, kept from one time to the next: Textual's own cache forgets all
        of them whenever there is another one."""
        width = self.outer_size.width
        self._colour_all()
        selection = self.text_selection
        if selection is not None or self._strips_width != width:
            self._strips.clear()
            self._strips_width = width
        lines = []
        for y in crop.line_range:
            if (line := self._strips.get(y)) is None:
                line = self._padded(y)
                if selection is None:
                    self._strips[y] = line
            lines.append(line)
        if crop.column_span != (0, width):
            lines = [line.crop(*crop.column_span) for line in lines]
        return lines

    def _padded(self, y: int) -> Strip:
        """A row of the widget as it is drawn, with what stands around the code.

        Of the same colours as ``render_line``, whose pieces each say where they stand, so that
        each has a style of its own; these share a few, which is many times as fast.
        """
        top, _, _, left = self.styles.padding
        width, style = self.outer_size.width, self.visual_style
        blank = self._drawn_style(style)
        row = self._row(y - top)
        if row is None:
            return Strip.blank(width, blank)
        code = self._coloured_part(row)
        pieces = code.render(style, end="", parse_style=self._get_style)
        segments = [Segment(text, self._drawn_style(own)) for text, own in pieces]
        if row.start and left:
            dimmed = self._drawn_style(Style(dim=True))
            segments.insert(0, Segment(CONTINUED.ljust(left), dimmed))
        else:
            segments.insert(0, Segment(" " * left, blank))
        return Strip(segments, left + code.cell_length).adjust_cell_length(width, blank)

    def _drawn_style(self, style: Style) -> RichStyle:
        drawn = self._drawn_styles.get(style)
        if drawn is None:
            whole = self.visual_style + style
            segments = [Segment(" ", whole.rich_style)]
            _, background = self.background_colors
            for line_filter in self.get_line_filters():
                segments = line_filter.apply(segments, background)
            drawn = self._drawn_styles[style] = segments[0].style or RichStyle.null()
        return drawn

    def render_line(self, y: int) -> Strip:
        """A row of the code, each piece of which says where it stands: asked for what the mouse
        points at."""
        width, style = self.size.width, self.visual_style
        self._colour_all()
        row = self._row(y)
        if row is None:
            return Strip.blank(width, style.rich_style)
        options = RenderOptions(self._get_style, {"text_wrap": "nowrap"}, None, None)
        strips = self._coloured_part(row).render_strips(max(width, 1), 1, style, options)
        strip = strips[0].adjust_cell_length(width, style.rich_style)
        return strip.apply_offsets(row.start, row.line)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return selection.extract("\n".join(line.plain for line in self._lines)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self._strips.clear()
        self.refresh()

    def _forget_strips(self) -> None:
        self._strips.clear()
        self._drawn_styles.clear()

    def _row(self, y: int) -> Row | None:
        """What stands in a row, once all lines have their colours; None: nothing."""
        rows = self._rows
        if not 0 <= y < len(rows) or rows[y].line >= len(self._coloured):
            return None
        return rows[y]

    def _coloured_part(self, row: Row) -> Content:
        line = self._coloured[row.line]
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(row.line)) is not None:
            start, end = span
            chosen = Style.from_styles(self.screen.get_component_styles("screen--selection"))
            line = line.stylize(chosen, start, len(line) if end == -1 else end)
        is_whole = row.start == 0 and row.end >= len(line)
        return line if is_whole else line[row.start : row.end]

    def _colour_all(self) -> int:
        """Have all lines in their colours; returns the first that looks otherwise than before.

        Looking at all of code that grows would take longer each time: only its end is.
        """
        first, num_lines = self._num_settled, len(self._lines)
        if self._is_coloured:
            return num_lines
        before, now = self._coloured[first:], self._colour(self._lines[first:])
        self._coloured[first:] = now
        self._is_coloured = True
        changed = [
            line
            for line, (old, new) in enumerate(zip_longest(before, now), first)
            if old is None or new is None or not new.is_same(old)
        ]
        if self._strips:
            self._forget_rows(first, {*changed})
        if self._is_growing and num_lines - first > MAX_TAIL:
            blank = [y for y in range(first + 1, num_lines - 1) if not self._lines[y].plain]
            self._num_settled = blank[-1] if blank else num_lines - 1
        return changed[0] if changed else num_lines

    def _forget_rows(self, first: int, changed: set[int]) -> None:
        """Draw the ``changed`` lines anew, none of which is before ``first``."""
        rows, top = self._rows, self.styles.padding.top
        start = top + self._folding.first_row(first)
        for y in [y for y in self._strips if y >= start]:
            if y - top >= len(rows) or rows[y - top].line in changed:
                del self._strips[y]

    def _colour(self, lines: list[Content]) -> list[Content]:
        # A guess takes long and is mostly wrong.
        if not self._language or not self._code:
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
