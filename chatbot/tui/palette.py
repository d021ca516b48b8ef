"""What the palette offers: the app's own screens, and each slash command by its name."""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from textual.app import SystemCommand

from chatbot.conversation.commands import COMMANDS

_OWN: Final = (
    ("Theme", "Change the colours", "change_theme"),
    ("Prompts", "Use a prompt of the library", "prompts"),
    ("Knowledge", "Folders, documents, a search, a map", "knowledge"),
    ("Models", "All models, and whether each fits", "models"),
    ("Settings sidebar", "Show it, or hide it", "toggle_sidebar"),
    ("Quit", "End the program", "quit"),
)
"""Title, help, and the action of the app."""

_IN_OTHER_WORDS: Final = frozenset(("prompt", "theme", "quit"))
"""Commands that are among ``_OWN``."""


class PaletteApp(Protocol):
    """What the palette needs of the app."""

    def take(self, text: str) -> object:
        """Carry out a command."""
        ...

    def propose(self, text: str) -> None:
        """Put a text into the prompt."""
        ...


def palette_commands(app: PaletteApp) -> Iterator[SystemCommand]:
    """All entries, in their order; a command that can be given arguments is put into the prompt."""
    for title, about, action in _OWN:
        yield SystemCommand(title, about, getattr(app, f"action_{action}"))
    for command in COMMANDS.values():
        if command.name in _IN_OTHER_WORDS:
            continue
        words = command.help.replace("`", "")  # it is no Markdown here
        about = words[0].upper() + words[1:]
        run = _proposer(app, f"/{command.name}", takes_arguments=bool(command.arguments))
        yield SystemCommand(f"/{command.name}", about, run)


def _proposer(app: PaletteApp, text: str, *, takes_arguments: bool) -> Callable[[], object]:
    if takes_arguments:
        return lambda: app.propose(f"{text} ")
    return lambda: app.take(text)
