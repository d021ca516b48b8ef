"""Sources in one line each: where they stand, and how near they are.

Pure functions from values to what is drawn. Knows no widget.
"""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from textual.content import Content

from chatbot.messages import SentenceSupport, Source, SourcesPart
from chatbot.retrieval.values import place_in
from chatbot.terminal_text import clean_line
from chatbot.tui.drawing.cells import draw_bar, fitted
from chatbot.wording import counted, duration

COLOURS: Final = ("$text-primary", "$text-accent", "$text-success", "$text-secondary")
"""Of the sources, in turn; the numbers beside them say the same."""

HEIGHTS: Final = (("▇", 0.85), ("▆", 0.75), ("▅", 0.65), ("▃", 0.55), ("▂", 0.0))
"""How well a sentence is supported, and the score from which each is drawn."""

UNSUPPORTED: Final = "┄"


def colour_of(index: int) -> str:
    """The colour of the source with this index."""
    return COLOURS[index % len(COLOURS)]


def place_of(source: Source) -> str:
    """Where a source stands: ``settings.md:12-30``."""
    return clean_line(source.location or source.file)


def place_in_words(source: Source) -> str:
    """Where a source stands: ``settings.md · lines 12 to 30``, with its folder where the location
    has it."""
    file = clean_line(source.file)
    if not file:
        return place_of(source)
    where = place_in(source.file, source.start_line, source.end_line, source.page)
    is_line = source.page is None
    place = source.location.rpartition(":" if is_line else f", {where}")[0]
    if place.endswith(f"/{file}"):
        file = clean_line(place)
    return file if is_line and not source.end_line else f"{file} · {where}"


def source_line(index: int, source: Source, width: int) -> Content:
    """One source under an answer, in ``width`` cells.

    ``[1] settings.md:12-30  Sampling › Top-p   ▰▰▰▱ 0.62``
    """
    relevance = source.scores.relevance
    number = f"[{index + 1}] "
    bar = f" {draw_bar(relevance, 4 if width < 60 else 8)} {relevance:.2f}"
    room = max(width - cell_len(number) - cell_len(bar), 4)
    place = fitted(place_of(source), room if room < 30 else room * 2 // 3, keep_end=True)
    title = clean_line(source.title)
    left = max(room - cell_len(place) - 2, 0)
    about = f"  {fitted(title, left)}" if left > 8 and title != source.file else ""
    gap = " " * max(room - cell_len(place) - cell_len(about), 0)
    return Content.assemble(
        (number, f"bold {colour_of(index)}"), place, (about, "dim"), gap, (bar, colour_of(index))
    )


def height_of(score: float) -> str:
    """The height that says how well a sentence is supported."""
    return next((height for height, least in HEIGHTS if score >= least), HEIGHTS[-1][0])


def support_cells(support: Sequence[SentenceSupport], width: int) -> list[int]:
    """How many cells of ``width`` each sentence gets, by its length: at least two."""
    lengths = [max(s.end - s.start, 1) for s in support]
    total = sum(lengths)
    room = width - len(support)  # a gap behind each
    return [max(length * room // total, 2) for length in lengths]


def support_strip(found: SourcesPart, width: int) -> Content:
    """Sentence by sentence, what supports an answer: ``1▇▇▇ 2▅▅▅▅ ?┄┄┄ 1▇▇``."""
    support = found.support
    parts: list[Content | str | tuple[str, str]] = []
    used = 0
    for sentence, cells in zip(support, support_cells(support, width), strict=True):
        if used + cells + 1 > width and used:
            break  # more sentences than there are cells; the count behind tells of them all
        parts += [support_group(sentence, cells), " "]
        used += cells + 1
    return Content.assemble(*parts)


def support_group(sentence: SentenceSupport, cells: int) -> Content:
    """One sentence of the strip."""
    if sentence.source is None:
        return Content.styled(("?" + UNSUPPORTED * cells)[:cells], "$text-warning")
    number = str(sentence.source + 1)
    drawn = (number + height_of(sentence.score) * cells)[: max(cells, len(number) + 1)]
    return Content.styled(drawn, colour_of(sentence.source))


def support_words(found: SourcesPart) -> str:
    """The strip in words: ``3 of 4 sentences supported``."""
    count = sum(s.source is not None for s in found.support)
    total = len(found.support)
    return f"{count} of {total} sentence{'s' if total != 1 else ''} supported"


def found_words(found: SourcesPart) -> str:
    """What a search came to: ``4 sources, best 0.71``, and what it took where that was long."""
    took = f" after {duration(found.seconds)}" if found.seconds >= 1 else ""
    if found.is_declined:
        return f"nothing relevant in your folders{took}"
    if not found.sources:
        return f"no sources found{took}"
    best = max(source.scores.relevance for source in found.sources)
    return f"{counted(len(found.sources), 'source')}, best {best:.2f}{took}"
