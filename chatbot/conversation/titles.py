"""Titles of chats, out of what was asked first. Needs no model."""

import re
from typing import Final

from chatbot.terminal_text import clean

MAX_TITLE_LENGTH: Final = 60
_LOOKED_AT: Final = 400
"""Characters of a line: more are not shown, and a pattern takes longer than linearly."""

_FENCE: Final = re.compile(r"```.*?(```|\Z)", re.DOTALL)
_MARKS: Final = re.compile(r"^[\s#>*\-`]+")
_EMPHASIS: Final = re.compile(r"(?<![\w*`])(\*{1,3}|`+)(?=\S)(.+?)(?<=\S)\1(?![\w*`])")
"""Not the signs of a sum: ``17 * 23``, ``2*3*4``."""
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")

_FORK: Final = re.compile(r" \(fork(?: (\d{1,3}))?\)$")


def title_of(question: str) -> str:
    """The first line that says something, without Markdown's marks, cut between two words."""
    text = clean(question)
    for candidate in (_FENCE.sub("\n", text), text):
        for line in candidate.splitlines():
            line = line[:_LOOKED_AT]
            plain = _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", line))
            title = " ".join(_MARKS.sub("", plain).split())
            if any(character.isalnum() for character in title):
                return _shortened(title)
    return _shortened(" ".join(text.split()))


def title_of_fork(title: str) -> str:
    """Of a chat that begins like the one with ``title``, so that the two can be told apart."""
    match = _FORK.search(title)
    if match is None:
        return f"{title} (fork)" if title else ""
    return f"{title[: match.start()]} (fork {int(match[1] or 1) + 1})"


def _shortened(title: str) -> str:
    if len(title) <= MAX_TITLE_LENGTH:
        return title
    cut = title[: MAX_TITLE_LENGTH - 1]
    # A text without spaces is cut where the room ends.
    if " " in cut[MAX_TITLE_LENGTH // 2 :]:
        cut = cut[: cut.rindex(" ")]
    return cut.rstrip(" ,;:.-–—") + "…"
