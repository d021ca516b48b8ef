"""Where a setting was changed in mid-answer, drawn into the answer's Markdown.

Pure text in, text out. A mark never stands where it would turn a list item, a heading, a
fence or a table row into something else.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from chatbot.messages import SettingChange

_LINE_START: Final = re.compile(r"[ \t]*(?:(?:[-*+>|]|#{1,6}|\d{1,9}[.)])[ \t]+)*")
_FENCE: Final = re.compile(r"[ \t]*(?:```|~~~)")


def with_marks(text: str, changes: Sequence[SettingChange], *, is_complete: bool) -> str:
    """``text`` with a mark for each change, at its place or as soon after as is safe.

    Args:
        text: the answer's Markdown, or what there is of it.
        changes: in the order in which they happened.
        is_complete: False while more text may follow. What stands behind a mark whose
            place is not certain yet is then left off, so that a longer ``text`` always
            gives a longer result that begins with this one.
    """
    inserted, end = insertions(text, changes, is_complete=is_complete)
    return with_insertions(text[:end], inserted)


class Insertion(NamedTuple):
    """A mark, and where it is put."""

    place: int
    """Characters of the answer before it."""
    text: str


def insertions(
    text: str, changes: Sequence[SettingChange], *, is_complete: bool
) -> tuple[list[Insertion], int]:
    """The marks of ``with_marks``, and how much of ``text`` may be shown with them."""
    inserted: list[Insertion] = []
    position = 0
    for change in changes:
        place = _place_for(text, max(change.offset, position), is_complete)
        if place is None:
            return inserted, max(change.offset, position)
        inserted.append(Insertion(place, mark_of(change)))
        position = place
    return inserted, len(text)


def mark_of(change: SettingChange) -> str:
    """``⟦temperature 0 → 2⟧``, and a space behind it."""
    return f"⟦{change.name} {change.old} → {change.new}⟧ "


def with_insertions(text: str, inserted: Sequence[Insertion]) -> str:
    """``text`` with each mark at its place; they are in order."""
    marked: list[str] = []
    position = 0
    for place, mark in inserted:
        marked += [text[position:place], mark]
        position = place
    return "".join(marked) + text[position:]


def _place_for(text: str, offset: int, is_complete: bool) -> int | None:
    """Where a mark may stand at ``offset`` or after it; None while that is uncertain."""
    if offset > 0 and text[offset - 1] != "\n":
        return offset
    line_end = text.find("\n", offset)
    line = text[offset:] if line_end < 0 else text[offset:line_end]
    start = _LINE_START.match(line)
    begun = line[start.end() :] if start else line
    # A marker can only be told from text once something follows it.
    is_certain = is_complete or line_end >= 0 or (len(begun) > 3 and " " in begun)
    if not is_certain:
        return None
    if _FENCE.match(line):
        return len(text) if line_end < 0 else line_end + 1
    return offset + (start.end() if start else 0)
