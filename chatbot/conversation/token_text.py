"""How a token is written out, so that nothing of it stays unseen. Pure functions.

What comes out is safe for the terminal: every character that a terminal would act upon, or that
has no width of its own, is replaced by one that stands for it.
"""

import unicodedata
from typing import Final

from rich.cells import get_character_cell_size

from chatbot.tokens import Alternative

NOTHING: Final = "∅"
"""Stands for a token without text."""

UNSEEN: Final = "◌"
"""Stands in running text for a character that cannot be seen; before an accent, for its letter."""

_HALF: Final = "\ufffd"
_SIGNS: Final = {" ": "␣", "\n": "⏎", "\t": "⇥"}
_SELECTORS: Final = range(0xFE00, 0xFE10)
_CONTROL_PICTURES: Final = 0x2400
"""The sign of control character n is this plus n; that of delete stands apart."""


def visible(text: str) -> str:
    """A token's text on one line, with each space, line end and control character to be seen."""
    written = ""
    for character in text:
        if sign := _SIGNS.get(character):
            written += sign
        elif is_seen(character):
            written += character
        elif _is_accent(character):
            written += character if written else UNSEEN + character
        elif character < " ":
            written += chr(_CONTROL_PICTURES + ord(character))
        else:
            written += f"⟨{ord(character):04X}⟩"
    return written or NOTHING


def in_a_row(text: str) -> str:
    """A token's text between others: lines, tabs and spaces as they are, all else to be seen."""
    written = ""
    for character in text.replace("\r\n", "\n"):
        if character in _SIGNS or is_seen(character):
            written += character
        elif _is_accent(character):
            written += character if written else UNSEEN + character
        else:
            written += UNSEEN
    return written


def called(alternative: Alternative) -> str:
    """What tells an alternative from the others: its text, and its number where it is half a
    character, as many others are."""
    text = visible(alternative.text)
    return f"{text} {alternative.token}" if _HALF in text else text


def is_seen(character: str) -> bool:
    """Whether a character has a shape and a width of its own."""
    return character.isprintable() and get_character_cell_size(character) > 0


def _is_accent(character: str) -> bool:
    # A selector makes some terminals draw the character before it wider than others do.
    return unicodedata.category(character) == "Mn" and ord(character) not in _SELECTORS
