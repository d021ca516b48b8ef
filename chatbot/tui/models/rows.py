"""A model in words and bars: a row of the list, and what each precision takes of the memory.

Pure functions from values to what is drawn. Knows no widget.
"""

from typing import Final

import msgspec
from rich.cells import cell_len
from textual.content import Content

from chatbot.models.facts import ModelFacts
from chatbot.models.fitting import Fit, automatic, best_precision, fits_of
from chatbot.models.hardware import Hardware
from chatbot.models.memory import DEFAULT_CONTEXT, GIB
from chatbot.terminal_text import clean_line
from chatbot.tui.drawing.cells import draw_bar, fitted
from chatbot.wording import memory, parameters, size

NARROW: Final = 70
"""Cells below which the precisions have to stand close together."""

WIDE: Final = 130
"""Cells from which one line has room for all."""

PRECISIONS_WIDTH: Final = 74
"""Cells of that for the precisions."""

HERE, ELSEWHERE, LOADED = "●", "○", "▶"

_MARKS: Final = {"fits": ("✓", "$text-success"), "split": ("◐", "$text-warning")}
_WORDS: Final = {"fits": "fits", "split": "fits split over GPU and RAM", "no": "does not fit"}


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the user has chosen so far: models are priced by it."""

    precision: str
    """As the setting has it; may be ``auto``."""
    context_length: int
    """0 for none in particular."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The memory that a model may take."""

    hardware: Hardware
    given_back: int = 0
    """Bytes that the present model gives back first."""

    @property
    def free_bytes(self) -> int:
        """Of the device that models are loaded to."""
        return self.hardware.free_bytes + self.given_back


def fits_in(facts: ModelFacts, room: Room, choice: Choice) -> dict[str, Fit]:
    """What each precision takes; empty where the model's sizes are not known."""
    if facts.shape is None:
        return {}
    return fits_of(facts.shape, room.hardware, choice.context_length, room.given_back)


def precision_of(facts: ModelFacts, room: Room, choice: Choice) -> str:
    """The precision that would be loaded."""
    usable = automatic(room.hardware)
    if choice.precision != "auto":
        return choice.precision
    if facts.shape is None:
        return usable[0]
    return best_precision(
        facts.shape, room.hardware, usable, choice.context_length, room.given_back
    )


def room_line(room: Room, choice: Choice, width: int) -> Content:
    """What is free, and what models are priced by.

    ``RAM ▰▰▱▱▱ 20.1 GiB of 23.0 GiB free · window 8,192 tokens · precision auto``
    """
    main = room.hardware.main
    total = sum(gpu.total_bytes for gpu in room.hardware.gpus) or main.total_bytes
    used = 1 - min(room.free_bytes / max(total, 1), 1)
    count = len(room.hardware.gpus)
    name = f"{count} x {main.name}" if count > 1 else main.name
    window = f"{choice.context_length or DEFAULT_CONTEXT:,}"
    about = (
        f" {memory(room.free_bytes)} of {memory(total)} free · window {window} · {choice.precision}"
    )
    bar = draw_bar(used, 8 if width < 100 else 16)
    name = fitted(clean_line(name), max(width - len(about) - len(bar) - 2, 4))
    return Content.assemble((f"{name} ", "bold"), (bar, "$text-primary"), (about, "$text-muted"))


def model_row(
    facts: ModelFacts, room: Room, choice: Choice, width: int, *, is_loaded: bool
) -> Content:
    """A model in the list: what it is and which precisions fit, in a line each or, where it is
    wide, in one."""
    precisions = _precisions(facts, room, choice, width)
    if width < WIDE or facts.problem:
        return Content("\n").join((_head(facts, width, is_loaded=is_loaded), precisions))
    # All of one width, so that they stand below one another.
    head = _head(facts, width - PRECISIONS_WIDTH, is_loaded=is_loaded)
    return head.pad_right(max(width - PRECISIONS_WIDTH - head.cell_length, 0)) + precisions


def _head(facts: ModelFacts, width: int, *, is_loaded: bool) -> Content:
    mark = LOADED if is_loaded else HERE if facts.is_here else ELSEWHERE
    colour = "$text-success" if is_loaded else "$text-accent" if facts.is_here else "$text-muted"
    on_disk = size(facts.num_bytes) if facts.num_bytes else ""
    if facts.problem:
        on_disk = ""
    facts_shown = [parameters(facts.shape.num_parameters)] if facts.shape else []
    if facts.shape and facts.shape.context_length:
        facts_shown.append(f"{facts.shape.context_length:,} tokens")
    facts_shown += [
        name
        for name, has in (
            ("tools", facts.calls_tools),
            ("vision", facts.sees_images),
            ("thinks", facts.thinks),
        )
        if has
    ]
    licence = facts.licence + (" gated" if facts.is_gated and not facts.is_here else "")
    about = " · ".join(filter(None, (*facts_shown, licence)))
    name = clean_line(facts.reference, 200)
    name = fitted(name, max(width - 2 - len(on_disk) - 20, 12), keep_end="/" in name)
    about = fitted(about, max(width - 6 - cell_len(name) - len(on_disk), 0))
    gap = " " * max(width - 4 - cell_len(name) - len(about) - len(on_disk), 1)
    style = "bold" if facts.is_here else ""
    return Content.assemble(
        (f"{mark} ", colour), (name, style), "  ", (about, "dim"), gap, (on_disk, "dim")
    )


def _precisions(facts: ModelFacts, room: Room, choice: Choice, width: int) -> Content:
    """``  fp32 ✗ 29.6   bf16 ✓ 15.0   8-bit ✓ 9.0    4-bit ✓ 6.1``, in GiB."""
    if facts.problem:
        return Content.styled(fitted(f"  ✗ {clean_line(facts.problem, 300)}", width), "$text-error")
    chosen = precision_of(facts, room, choice)
    pieces: list[tuple[str, str]] = [("  ", "")]
    for precision, found in fits_in(facts, room, choice).items():
        mark, colour = _MARKS.get(found.verdict, ("✗", "$text-error"))
        emphasis = " bold underline" if precision == chosen else ""
        pieces.append((precision, f"$foreground{emphasis}"))
        need = f"{found.need.total / GIB:.1f}"
        form = f" {mark} {need:<5}  " if width >= NARROW else f" {mark}{need} "
        pieces.append((form, colour))
    if len(pieces) == 1:
        pieces.append(("its sizes are known once it is here", "dim"))
    return Content.assemble(*pieces)


def detail_lines(facts: ModelFacts, room: Room, choice: Choice, width: int) -> Content:
    """What each precision of one model takes of the free memory, as bars."""
    lines = [Content.styled(fitted(clean_line(_about(facts), 300), width), "$text-muted")]
    chosen = precision_of(facts, room, choice)
    length = max(min(width - 66, 40), 10)
    for precision, found in fits_in(facts, room, choice).items():
        _, colour = _MARKS.get(found.verdict, ("✗", "$text-error"))
        share = found.need.total / max(found.free_bytes, 1)
        need = found.need
        parts = (
            f"{need.weights / GIB:.1f} weights + {need.cache / GIB:.1f} cache + "
            f"{need.overhead / GIB:.1f} program"
        )
        pointer = "▸" if precision == chosen else " "
        lines.append(
            Content.assemble(
                (f"{pointer} {precision:<6}", "bold" if precision == chosen else ""),
                (draw_bar(min(share, 1), length), colour),
                (f" {need.total / GIB:6.1f} GiB ", "bold" if precision == chosen else ""),
                (fitted(f"{_WORDS[found.verdict]} · {parts}", width - length - 20), colour),
            )
        )
    return Content("\n").join(lines)


def _about(facts: ModelFacts) -> str:
    if facts.problem:
        return facts.problem
    pieces = [facts.description, facts.format]
    if facts.has_code:
        pieces.append("names program code of its own, which is not run")
    if facts.is_gated and not facts.is_here:
        pieces.append("its licence has to be accepted on its page first")
    if facts.shape and not facts.shape.is_exact:
        pieces.append("sizes are estimated")
    return " · ".join(filter(None, pieces)) or facts.reference
