"""F1: all keys and commands, as they are bound right now."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Label

from chatbot.conversation.commands import COMMANDS, MENTION_HELP
from chatbot.tui.keys import KEYS, PLACES, shown_keys

REBINDING: Final = """\
In config.toml, under [keys], by the names on the right: toggle_sidebar = "f2".
"""


class HelpScreen(ModalScreen[None]):
    """A page to read; Esc closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q", "dismiss", "Close", priority=True),
        Binding("j", "scroll_page(1)", show=False),
        Binding("k", "scroll_page(-1)", show=False),
    ]

    def __init__(self, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as page:
            page.border_title = "Help"
            page.border_subtitle = "Esc closes"
            for title, rows in sections(self._keymap):
                yield Label(title, classes="group-title")
                with Grid(classes="help-rows"):
                    for keys, does, name in rows:
                        yield Label(keys, classes="help-keys", markup=False)
                        yield Label(does, classes="help-does", markup=False)
                        yield Label(name, classes="help-name", markup=False)
            yield Label("Rebinding", classes="group-title")
            yield Label(REBINDING, markup=False, classes="help-does")

    def action_scroll_page(self, direction: int) -> None:
        """Scroll half a page, by the keys that move between messages."""
        page = self.query_one("#help", VerticalScroll)
        page.scroll_relative(y=direction * page.size.height // 2)


def sections(keymap: Mapping[str, str]) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """The page: titles, and under each rows of what to type, what it does, its name.

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
