"""Themes: palettes out of TOML files, shipped ones and the user's own.

A file is named after its theme, and reads like this::

    description = "Ink on paper"
    dark = false
    primary = "#84401a"
    ...                         # and each other of COLOURS

    [variables]                 # optional: any theme variable of Textual
    border = "#c9b79a"

Knows nothing of which theme is in use, or of widgets.
"""

import re
import stat
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from textual.theme import Theme

from chatbot.errors import ThemeError
from chatbot.terminal_text import clean_line, is_safe
from chatbot.wording import memory

COLOURS: Final = (
    "primary",
    "secondary",
    "accent",
    "foreground",
    "background",
    "surface",
    "panel",
    "success",
    "warning",
    "error",
)
"""Every theme gives each of these."""

MAX_FILE_BYTES: Final = 64 * 1024

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
# Variables are pasted into style sheets: only these forms get in, and each only where it is
# valid, because a style sheet that does not parse would end the program.
_VARIABLE_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}( [0-9]{1,2}%)?|transparent")
_WORD: Final = "(not )?(bold|italic|underline|reverse|dim)"
_VARIABLE_STYLE: Final = re.compile(f"none|{_WORD}( {_WORD})*")


def load_themes(folders: Sequence[Path]) -> tuple[dict[str, Theme], tuple[str, ...]]:
    """Read every theme in ``folders``; a later folder's replaces one of the same name.

    Returns:
        The themes by name, in the order of their names, and one sentence for each file that
        was not used.
    """
    themes: dict[str, Theme] = {}
    problems: list[str] = []
    for folder in folders:
        try:
            files = sorted(folder.glob("*.toml"))
        except OSError as error:
            problems.append(clean_line(f"Themes in {folder} cannot be read: {error.strerror}."))
            continue
        for file in files:
            try:
                theme = load_theme(file)
            except ThemeError as error:
                problems.append(str(error))
            else:
                themes[theme.name] = theme
    return dict(sorted(themes.items())), tuple(problems)


def load_theme(file: Path) -> Theme:
    """Read one theme; its name is the file's, without the ending.

    Raises:
        ThemeError: the file cannot be read or an entry is wrong; the text names both.
    """
    try:
        return _make_theme(file.stem, _read(file))
    except ThemeError as error:
        place = clean_line(str(file), 300)
        raise ThemeError(f"The theme {place} is not used: {clean_line(str(error), 300)}") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        # Asked first, because opening a pipe would wait for its other end.
        if not stat.S_ISREG(file.stat().st_mode):
            raise ThemeError("it is not a regular file.")
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ThemeError(f"it is larger than {memory(MAX_FILE_BYTES)}.")
        return tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise ThemeError(f"it cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise ThemeError(f"it is not TOML ({error}).") from error


def _make_theme(name: str, entries: dict[str, Any]) -> Theme:
    if not _NAME.fullmatch(name):
        raise ThemeError("its name may hold a to z, 0 to 9 and hyphens only.")
    description, dark = entries.pop("description", ""), entries.pop("dark", True)
    variables = _check_variables(entries.pop("variables", {}))
    if not isinstance(description, str) or not is_safe(description):
        raise ThemeError("description must be text without control characters.")
    if not isinstance(dark, bool):
        raise ThemeError("dark must be true or false.")
    _check_colours(entries)
    return Theme(name=name, dark=dark, variables=variables, **entries)


def _check_colours(entries: dict[str, Any]) -> None:
    for key, value in entries.items():
        if key not in COLOURS:
            raise ThemeError(f"{key!r} is no entry of a theme.")
        if not isinstance(value, str) or not _COLOUR.fullmatch(value):
            raise ThemeError(f"{key} must be a colour such as '#1a2b3c'.")
    if missing := [key for key in COLOURS if key not in entries]:
        raise ThemeError(f"{missing[0]} is missing.")


def _check_variables(table: Any) -> dict[str, str]:
    if not isinstance(table, dict):
        raise ThemeError("variables must be a table: write [variables].")
    for key, value in table.items():
        if not _NAME.fullmatch(key):
            raise ThemeError(f"[variables] {key!r} is no name of a variable.")
        is_style = key.endswith("-style")
        form = _VARIABLE_STYLE if is_style else _VARIABLE_COLOUR
        if not isinstance(value, str) or not form.fullmatch(value):
            example = "a style such as 'bold'" if is_style else "a colour such as '#1a2b3c 40%'"
            raise ThemeError(f"[variables] {key} must be {example}.")
    return table
