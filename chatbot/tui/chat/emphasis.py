"""The words of a query, set off where they stand in a text.

Pure functions. Says which words a reader may look for, not which ones a search has matched.
"""

import re
from collections.abc import Collection
from typing import Final

from textual.content import Content

from chatbot.function_words import FUNCTION_WORDS

_WORD: Final = re.compile(r"[^\W_]+")


def emphasised(text: str, words: Collection[str]) -> Content:
    """``text`` with each word that is, or begins with, one of ``words`` (lower case) set off."""
    if not words:
        return Content(text)
    parts: list[str | tuple[str, str]] = []
    end = 0
    for found in _WORD.finditer(text):
        word = found.group().lower()
        if any(word == w or (len(w) > 3 and word.startswith(w)) for w in words):
            parts += [text[end : found.start()], (found.group(), "bold underline $text-accent")]
            end = found.end()
    return Content.assemble(*parts, text[end:])


def words_of(query: str) -> frozenset[str]:
    """The words of a query that are worth emphasising, in lower case.

    Long ones lose their ending, so that ``settings`` finds ``setting`` too.
    """
    words = [word.lower() for word in _WORD.findall(query)]
    return frozenset(_stem(word) for word in words if word not in FUNCTION_WORDS)


def _stem(word: str) -> str:
    for ending in ("ings", "ing", "ies", "es", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) > 3:
            return word[: -len(ending)]
    return word
