"""Where a setting was changed in mid-answer, drawn into the answer's Markdown.

Pure text in, text out. A mark never stands where it would turn a list item, a heading, a
fence or a table row into something else.
"""

import re
from collections.abc import Sequence
from typing import Final

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
    marked: list[str] = []
    position = 0
    for change in changes:
        place = _place_for(text, max(change.offset, position), is_complete)
        if place is None:
            marked.append(text[position : max(change.offset, position)])
            return "".join(marked)
        marked += [text[position:place], f"⟦{change.name} {change.old} → {change.new}⟧ "]
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
