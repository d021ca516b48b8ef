"""F1: all keys and commands, as they are bound right now.

One widget draws the whole page: one for each cell took seconds to make. Knows the table of keys
and the commands; does nothing of what they do.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input

from chatbot.conversation.commands import COMMANDS, MENTION_HELP
from chatbot.tui.keys import KEYS, PLACES, bind, shown_keys

REBINDING: Final = "In config.toml, under [keys], by the name that ends each row"
EXAMPLE: Final = 'toggle_sidebar = "f2"'

KEYS_WIDTH: Final = 19
NAME_WIDTH: Final = 20
"""Cells of the columns; what a key does has the rest."""

LEAST_WIDTH: Final = 44
"""Cells of that rest below which the name stands behind it, and not in a column of its own."""

Row = tuple[str, str, str]
"""What to type, what it does, its name."""


class HelpScreen(ModalScreen[None]):
    """A line to search with, over a page to read; Esc closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close", priority=True, show=False),
        bind("help", "dismiss", priority=True),
        Binding("up", "scroll(-1)", show=False),
        Binding("down", "scroll(1)", show=False),
        Binding("pageup", "scroll_page(-1)", show=False),
        Binding("pagedown", "scroll_page(1)", show=False),
    ]

    def __init__(self, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._page = HelpPage(list(sections(keymap)))
        self._scroll = VerticalScroll(self._page, id="help-scroll", can_focus=False)

    def compose(self) -> ComposeResult:
        with Vertical(id="help") as box:
            box.border_title = "Help"
            box.border_subtitle = "type to search · Esc close"
            yield Input(placeholder="Search all keys and commands", compact=True, id="help-search")
            yield self._scroll

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._page.words = tuple(event.value.lower().split())
        self._scroll.scroll_home(animate=False)

    def action_scroll(self, step: int) -> None:
        """Scroll by a line."""
        self._scroll.scroll_relative(y=step, animate=False)

    def action_scroll_page(self, direction: int) -> None:
        """Scroll by most of a page."""
        step = max(self._scroll.size.height - 2, 1)
        self._scroll.scroll_relative(y=direction * step, animate=False)


class HelpPage(Widget):
    """The rows in three columns, or in two where it is narrow."""

    words: reactive[tuple[str, ...]] = reactive((), layout=True)
    """Only rows that have all of these are shown; in small letters."""

    def __init__(self, sections: "Sequence[Section]") -> None:
        super().__init__()
        self._sections = sections
        self._drawn: tuple[tuple[str, ...], int, list[Content]] = ((), 0, [])
        """The lines, and what for."""

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(width))

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.size.width))

    def _lines(self, width: int) -> list[Content]:
        words, drawn_width, lines = self._drawn
        if (words, drawn_width) != (self.words, width) or not lines:
            lines = page_lines(self._sections, self.words, max(width, KEYS_WIDTH + 2))
            self._drawn = self.words, width, lines
        return lines


Section = tuple[str, list[Row]]
"""A title, and what stands under it."""


def sections(keymap: Mapping[str, str]) -> Iterator[Section]:
    """The page.

    Args:
        keymap: keys that the user rebound, by action.
    """
    for place, title in PLACES.items():
        yield (
            title,
            [
                (shown_keys(name, keymap), key.help, name)
                for name, key in KEYS.items()
                if key.place == place and (key.is_listed or name in keymap)
            ],
        )
    rows = [MENTION_HELP, *((c.usage, c.help) for c in COMMANDS.values())]
    yield "Commands", [(usage, help.rstrip("."), "") for usage, help in rows]
    yield "Rebinding", [(EXAMPLE, REBINDING, "")]


def page_lines(sections: Sequence[Section], words: Sequence[str], width: int) -> list[Content]:
    """The rows that have all ``words``, each under its title, in lines of ``width`` cells."""
    lines: list[Content] = []
    for title, rows in sections:
        found = [row for row in rows if all(w in " ".join((title, *row)).lower() for w in words)]
        if found:
            lines += [Content("")] if lines else []
            lines.append(Content.styled(title, "bold $text-primary"))
            lines += (line for row in found for line in _row_lines(row, width))
    return lines or [Content.styled("Nothing here has all of these words.", "$foreground-muted")]


def _row_lines(row: Row, width: int) -> Iterator[Content]:
    keys, does, name = row
    room = width - KEYS_WIDTH - NAME_WIDTH - 2
    cells: list[tuple[int, list[tuple[str, str]]]] = [(KEYS_WIDTH, [(keys, "$text-accent")])]
    if room >= LEAST_WIDTH:
        cells += [(room, [(does, "")]), (NAME_WIDTH, [(name, "$foreground-muted")])]
    else:
        both = [(does, ""), (f"  {name}", "$foreground-muted")]
        cells.append((width - KEYS_WIDTH - 1, both))
    columns = [Content.assemble(*cell).wrap(wide) for wide, cell in cells]
    for pieces in zip_longest(*columns, fillvalue=Content("")):
        padded = [
            piece.pad_right(wide - piece.cell_length)
            for piece, (wide, _) in zip(pieces, cells, strict=True)
        ]
        yield Content(" ").join(padded)
