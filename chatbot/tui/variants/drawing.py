"""How several answers to one question are drawn: where they part, how each stands, beams as bars.

Pure functions from values to content. Whatever a colour says, a shape or a weight says too.
"""

import math
import re
from collections import deque
from collections.abc import Sequence
from typing import Final

from textual.content import Content

from chatbot.conversation.variants.parting import num_same
from chatbot.messages import FinishReason, Message, SettingChange
from chatbot.tokens import Beam
from chatbot.tui.chat.setting_marks import mark_of
from chatbot.tui.lens.drawing import bar

PARTING: Final = "◆"
"""Stands in the text where an answer leaves the words of the first one."""

_PARTING_STYLE: Final = "bold $accent"

BAR_WIDTH: Final = 48
"""Most cells of a bar: a longer one says no more."""

NARROW: Final = 64
"""Cells of the head of a beam below which there is too little room for all of its figures."""

_WORD: Final = re.compile(r"\s*(\S+)")

_ENDS: Final[dict[FinishReason, str]] = {
    "stop": "✓",
    "length": "✂ cut",
    "cancelled": "■ stopped",
    "interrupted": "■ interrupted",
}
_BEFORE_FACTS: Final[dict[FinishReason, str]] = {"stop": " ", "length": " at "}
"""Between how it ended and what it took; a dot elsewhere."""


def partings(texts: Sequence[str], are_over: Sequence[bool]) -> list[tuple[int, ...]]:
    """Characters after which each text leaves the words of the first one, as far as it is known.

    Args:
        texts: the answers so far.
        are_over: which of them are complete: nothing can come that would be the same.

    Returns:
        For the first text all places at which others leave it, in their order; for each other one
        its own, or nothing where it is the same so far.
    """
    places: list[tuple[int, ...]] = []
    for index, text in enumerate(texts[1:], 1):
        same = num_same(texts[0], text)
        is_apart = same < min(len(texts[0]), len(text))
        is_longer = (are_over[0] and len(text) > same) or (are_over[index] and len(texts[0]) > same)
        # One that never said a word was stopped before it began, and parts from nothing.
        are_both = bool(text and texts[0])
        places.append((same,) if are_both and (is_apart or is_longer) else ())
    return [tuple(sorted({place for found in places for place in found})), *places]


def parted(text: str, places: Sequence[int], changes: Sequence[SettingChange] = ()) -> Content:
    """An answer, with each place set off at which ways part; what is before the first is dim.

    Args:
        text: the answer.
        places: where ways part, in their order.
        changes: settings that were changed on the way; each has a mark of its own.
    """
    first = places[0] if places else 0
    pieces: list[tuple[int, int, str]] = [(0, first, "dim")] if places else [(0, len(text), "")]
    for place, following in zip(places, [*places, len(text)][1:], strict=True):
        word = _WORD.match(text, place)
        start = min(word.start(1) if word else place, following)
        end = min(word.end() if word else place, following)
        pieces += [
            (place, start, ""),
            (start, start, _PARTING_STYLE),
            (start, end, "bold underline $text-accent"),
            (end, following, ""),
        ]
    waiting = deque(changes)
    drawn: list[tuple[str, str]] = []
    for start, end, style in pieces:
        while waiting and waiting[0].offset < end:
            change = waiting.popleft()
            drawn += [(text[start : change.offset], style), (mark_of(change), "$text-warning")]
            start = max(start, change.offset)
        drawn.append((PARTING if style == _PARTING_STYLE else text[start:end], style))
    return Content.assemble(*drawn, *((mark_of(change), "$text-warning") for change in waiting))


def ending(answer: Message) -> str:
    """How an answer ended, and what it took: ``✓ 120 tokens · 11.2 tok/s``, ``✂ cut at 64 …``."""
    making = answer.making
    if making is None:
        return ""
    end = _ENDS.get(making.finish_reason, f"✗ {making.error or making.finish_reason}")
    if making.statistics is None:
        return end
    facts = f"{making.statistics.num_new_tokens:,} tokens"
    if making.statistics.tokens_per_second:
        facts += f" · {making.statistics.tokens_per_second:.1f} tok/s"
    return f"{end}{_BEFORE_FACTS.get(making.finish_reason, ' · ')}{facts}"


def shared_start(texts: Sequence[str]) -> str:
    """What all of some texts begin with, to the last whole word."""
    if not texts:
        return ""
    same = texts[0][: min(num_same(texts[0], text) for text in texts)]
    if all(text == same for text in texts):
        return same
    return same[: max(same.rfind(" "), same.rfind("\n")) + 1]


def beam_line(number: int, beam: Beam, best: Beam, *, is_finished: bool, width: int) -> Content:
    """The head of a beam: its place, a bar for its score, and the figures.

    Args:
        number: its place, from 1.
        beam: the beam.
        best: that of the highest score; its bar is full, and half a bar is half as likely,
            were it as long as that one.
        is_finished: it came to its end.
        width: cells.
    """
    # Logarithms of long texts hardly differ in length; probabilities do. Those of beams of
    # different lengths are compared at one length, as the scores that rank them are.
    length = best.log_probability / best.score if best.score else 1.0
    share = math.exp(min((beam.score - best.score) * length, 0.0))
    origin = "■ ended" if is_finished else f"↳ {beam.parent + 1}"
    figures = f" score {beam.score:6.3f}{beam.num_tokens:>6,} tok"
    if width >= NARROW:  # what the bar shows as well
        figures = f" log p {beam.log_probability:8.2f} {figures}"
    size = min(max(width - len(figures) - 13, 6), BAR_WIDTH)
    return Content.assemble(
        (f"{number:>2} ", "bold"),
        (f"{origin:<8} ", "dim"),
        (bar(share, size), "$success" if is_finished else "$primary"),
        (figures, "dim"),
    )
