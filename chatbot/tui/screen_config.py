"""What the settings file says of the screen alone, colours and keys, as far as it can be used."""

import msgspec
from textual.theme import Theme

from chatbot.config import Config
from chatbot.paths import config_dir, shipped_dir
from chatbot.settings import Settings
from chatbot.tui.keys import check_keymap
from chatbot.tui.themes import load_themes


class ScreenConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Colours and keys."""

    themes: dict[str, Theme]
    """By their names, in the order of these."""
    theme: str
    """The one to begin with; empty where there is none at all."""
    keymap: dict[str, str]
    """Keys that the user rebound, by action."""
    problems: tuple[str, ...]
    """One sentence for each entry that is not used."""


def load_screen_config(config: Config) -> ScreenConfig:
    """Read the themes, and check what is wanted of them and of the keys."""
    themes, problems = load_themes((shipped_dir("themes"), config_dir() / "themes"))
    wanted = config.settings.theme
    if wanted not in themes:
        default = Settings().theme
        used = default if default in themes else next(iter(themes), "")
        problems += (f"There is no theme {wanted!r}; {used} is used. /theme lists them.",)
        wanted = used
    keymap, key_problems = check_keymap(config.keys)
    return ScreenConfig(
        themes=themes, theme=wanted, keymap=dict(keymap), problems=(*problems, *key_problems)
    )
