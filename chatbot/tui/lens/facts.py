"""What the lens says about an answer and about one of its tokens, and which keys it names.

Pure functions from values to content.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from textual.content import Content

from chatbot.conversation.token_figures import (
    kept_by_settings,
    log_probability,
    mean_entropy,
    percent,
    perplexity,
    surprise,
)
from chatbot.conversation.token_text import NOTHING, visible
from chatbot.tokens import NO_TOKEN, NUM_ALTERNATIVES, Region, TokenRecord
from chatbot.tui.chat.facts import broken
from chatbot.tui.drawing.cells import BETWEEN, fewer

Place = Literal["text", "alternatives", "input"]
"""What has the keys."""

WIDE_SCREEN: Final = 120
"""Cells from which more is said than what matters most."""

_FRAME: Final = 6
"""Cells of the frame beside the keys in it."""

_MOVES: Final = "{lens_left} {lens_right} {lens_up} {lens_down} · "
_MORE_KEYS: Final = (
    "{lens_uncertain} {lens_less_uncertain} most uncertain · "
    "{lens_surprising} {lens_less_surprising} most surprising · {lens_branch} another token · "
    "{lens_type} type one · {lens_temperatures} temperatures · {lens_marks} heights · "
    "{lens_copy} copy as JSON · Esc close"
)
_TEXT_KEYS: Final = (
    _MOVES + _MORE_KEYS,
    "{lens_uncertain} uncertain · {lens_surprising} surprising · {lens_branch} other · "
    "{lens_type} type · {lens_temperatures} temperatures · Esc close",
)
"""With as much room as they need, and with little."""

_RUNNING_KEYS: Final = (
    "{hold} hold · {step} step · " + _MORE_KEYS,
    "{hold} hold · {step} one token · {lens_uncertain} uncertain · {lens_branch} other · "
    "{lens_type} type · Esc close",
)
_OTHER_KEYS: Final[Mapping[Place, str]] = {
    "alternatives": "{lens_up} {lens_down} choose · {lens_branch} go on with it · "
    "{lens_temperatures} temperatures · Esc back",
    "input": "Enter go on with this text · Esc back",
}
_REGIONS: Final[Mapping[Region, str]] = {"thinking": "thinking", "call": "part of a call"}


def keys_for(place: Place, with_keys: Callable[[str], str], *, is_running: bool, width: int) -> str:
    """The keys that matter most where one is, as many as there is room for.

    Args:
        place: where one is.
        with_keys: puts keys in place of actions in braces.
        is_running: the answer is being written.
        width: cells of the frame.
    """
    room = width - _FRAME
    if place in _OTHER_KEYS:
        return fewer(with_keys(_OTHER_KEYS[place]), room)
    full, brief = map(with_keys, _RUNNING_KEYS if is_running else _TEXT_KEYS)
    return full if len(full) <= room else fewer(brief, room)


def heading_of(records: Sequence[TokenRecord], *, is_running: bool, width: int) -> str:
    """What is said of the whole answer."""
    if not records:
        return "Token lens · nothing is written yet" if is_running else "Token lens"
    parts = [
        "Token lens",
        f"{len(records):,} token{'s' * (len(records) != 1)}{' so far' * is_running}",
        f"perplexity {perplexity(records):.2f}",
        f"mean entropy {mean_entropy(records):.2f} bit",
    ]
    if width >= WIDE_SCREEN and (logarithm := log_probability(records)) is not None:
        parts.append(f"log probability {logarithm:.2f} nat")
    while len(BETWEEN.join(parts)) > width - _FRAME and len(parts) > 1:
        parts.pop()  # not cut off in the middle of a number
    return BETWEEN.join(parts)


def facts_of(
    record: TokenRecord, index: int, num_tokens: int, settings: Mapping[str, str], width: int
) -> Content:
    """What is said of one token, in two lines.

    Args:
        record: the token.
        index: its index in the answer.
        num_tokens: of the answer.
        settings: what it was drawn with, as far as it is told.
        width: cells.
    """
    head = f"{index + 1:,} of {num_tokens:,}  "
    name = (visible(record.text) if record.text else _name_of(record), "bold $text-primary")
    if record.token == NO_TOKEN:
        why = "typed by you" if record.is_users else "not recorded"
        return Content.assemble((head, "dim"), name, f"  {why}")
    about = [_REGIONS[record.region]] if record.region in _REGIONS else []
    told: list[str] = []
    if record.is_users:
        about.append("put here by you")
    else:
        about += _drawn_from(record)
        told = [f"{setting} {value}" for setting, value in settings.items()]
    # The token's id goes first where there is too little room: it is copied with ``c``. Then the
    # settings go.
    rests = [about + told[:number] for number in range(len(told), -1, -1)]
    firsts = [
        Content.assemble((head, "dim"), name, ("  " + " · ".join(rest), "dim"))
        for rest in [[f"token {record.token}", *rests[0]], *rests]
    ]
    first = next((line for line in firsts if line.cell_length <= width), firsts[-1])
    figures = [
        f"p {percent(record.before)} → {percent(record.after)}",
        f"rank {_rank(record.rank_before)} → {_rank(record.rank_after)}",
        f"surprise {surprise(record):.2f} bit",
        f"entropy {record.entropy_before:.2f} → {record.entropy_after:.2f} bit",
    ]
    lines = [first, Content(broken(figures, max(width, 10))[0])]
    return Content("\n").join(line.truncate(max(width, 10), ellipsis=True) for line in lines)


def _drawn_from(record: TokenRecord) -> list[str]:
    """From how many tokens it was drawn, which is what all cut-offs together come to."""
    if not record.alternatives:
        return []
    if kept := kept_by_settings(record):
        number, share = kept
        return [f"{number} token{'s' * (number != 1)} kept ({percent(share)})"]
    num_known = sum(other.after > 0 for other in record.alternatives)
    return [f"{num_known} or more tokens kept"]


def _rank(rank: int) -> str:
    return f"{rank:,}" if rank else f">{NUM_ALTERNATIVES}"


def _name_of(record: TokenRecord) -> str:
    """What a token without text is called."""
    names = (other.text for other in record.alternatives if other.token == record.token)
    return visible(next(names, "")) or NOTHING
