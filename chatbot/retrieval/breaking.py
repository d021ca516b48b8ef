"""Where a stretch of text may be cut, and what each such place costs.

The costs are those of ``dividing``: 0 is a natural end, 1 costs as much as a passage of no length
at all. Knows nothing of tokens but how many there are.
"""

import itertools
import re
from bisect import bisect_left
from typing import Final

import msgspec

from chatbot.retrieval.sentences import find_sentence_starts
from chatbot.retrieval.token_counting import TokenIndex

PARAGRAPH: Final = 0.0
BLANK_LINE_IN_CODE: Final = 0.1
LINE: Final = 0.15
"""Of a list, a table or code."""
SENTENCE: Final = 0.2
WRAPPED_LINE: Final = 0.6
"""Of prose: it says nothing, but is better than a word's end."""
WORD: Final = 2.0

_PARAGRAPH_START: Final = re.compile(r"\n[^\S\n]*\n(?:[^\S\n]*\n)*")
_LINE_START: Final = re.compile(r"\n")
_FENCE: Final = re.compile(r"^[ \t]{0,3}(```+|~~~+)", re.MULTILINE)
_ITEM: Final = re.compile(r"[ \t]*(?:[-*+•|>]\s?|\d{1,3}[.)]\s|[a-zA-Z][.)]\s)|[ \t]{4,}|\t")
"""What a line of a list, a table, a quotation or indented code begins with."""


class Break(msgspec.Struct, frozen=True, order=True):
    """A place where the text may be cut."""

    offset: int
    cost: float


def find_breaks(text: str, start: int, end: int, tokens: TokenIndex, widest: int) -> list[Break]:
    """The places in ``text[start:end]``, its two ends not among them, in order.

    Args:
        text: of the document.
        start: of the stretch.
        end: of the stretch.
        tokens: the words of ``text``.
        widest: where no break comes for so many tokens, words' starts become breaks.
    """
    fences = _find_fences(text, start, end)
    costs: dict[int, float] = {}

    def add(offset: int, cost: float) -> None:
        if start < offset < end:
            costs[offset] = min(cost, costs.get(offset, WORD))

    for found in _PARAGRAPH_START.finditer(text, start, end):
        add(found.end(), BLANK_LINE_IN_CODE if _is_in(found.start(), fences) else PARAGRAPH)
    for found in _LINE_START.finditer(text, start, end):
        offset = found.end()
        is_item = _ITEM.match(text, offset) or _is_in(offset, fences)
        add(offset, LINE if is_item else WRAPPED_LINE)
    for offset in find_sentence_starts(text, start, end):
        if not _is_in(offset, fences):
            add(offset, SENTENCE)
    breaks = sorted(Break(offset, cost) for offset, cost in costs.items())
    return _fill(breaks, start, end, tokens, widest)


def _find_fences(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Where fenced code stands; one that is not closed goes on to the end."""
    fences: list[tuple[int, int]] = []
    opened: tuple[int, str] | None = None
    for found in _FENCE.finditer(text, start, end):
        mark = found.group(1)
        if opened is None:
            opened = found.start(), mark
        elif mark.startswith(opened[1]):
            fences.append((opened[0], found.end()))
            opened = None
    if opened:
        fences.append((opened[0], end))
    return fences


def _is_in(offset: int, fences: list[tuple[int, int]]) -> bool:
    """Whether an offset is behind the start of a fence and before its end; they are in order."""
    index = bisect_left(fences, (offset,)) - 1
    return index >= 0 and offset < fences[index][1]


def _fill(
    breaks: list[Break], start: int, end: int, tokens: TokenIndex, widest: int
) -> list[Break]:
    """``breaks``, and words' starts in between wherever two of them are far apart."""
    ends = [start, *(b.offset for b in breaks), end]
    counts = tokens.before(ends).tolist()
    filled: list[Break] = []
    for index, (first, last) in enumerate(itertools.pairwise(ends)):
        if counts[index + 1] - counts[index] > widest:
            filled += _at_words(first, last, tokens, max(widest // 4, 1))
        if index < len(breaks):
            filled.append(breaks[index])
    return filled


def _at_words(start: int, end: int, tokens: TokenIndex, step: int) -> list[Break]:
    """Breaks at about every ``step`` tokens, and at every word that has more."""
    words = tokens.words_between(start, end)
    counts = tokens.before([start, *words, end]).tolist()
    found: list[Break] = []
    last = counts[0]
    for index, offset in enumerate(words, start=1):
        if counts[index + 1] - last > step:
            found.append(Break(offset, WORD))
            last = counts[index]
    return found
