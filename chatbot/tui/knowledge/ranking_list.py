"""Passages in the order of a search, with the scores that put them there.

Serves the sources of an answer and the queries of the knowledge screen alike. Knows neither
what the passages were searched for nor what choosing one does.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from chatbot.messages import Source, SourcesPart, Verdict
from chatbot.terminal_text import clean_line
from chatbot.tui.chat.source_lines import colour_of, place_of
from chatbot.tui.drawing.cells import draw_bar, fitted

WIDE: Final = 118
"""Cells from which a passage and its scores share one line."""

VERDICTS: Final[dict[Verdict, tuple[str, str, str]]] = {
    "used": ("●", "used", "$text-success"),
    "duplicate": ("≡", "duplicate", "$text-secondary"),
    "irrelevant": ("✕", "irrelevant", "$text-warning"),
    "beyond": ("↓", "beyond", "$foreground-muted"),
}
"""Shape, word and colour of what became of a passage."""


class Scale(msgspec.Struct, frozen=True):
    """The largest score of each kind among the passages that are shown together."""

    lexical: float
    fused: float
    reranked: tuple[float, float] | None
    """Smallest and largest; a cross-encoder's scores have no fixed range. None without one."""


class RankingList(OptionList):
    """The passages; ``OptionSelected`` tells which one was chosen, by its index."""

    def __init__(self) -> None:
        super().__init__(id="ranking", markup=False, compact=True)
        self.sources: tuple[Source, ...] = ()
        """What is shown, the best first."""
        self._threshold = 0.0

    def show(self, found: SourcesPart) -> None:
        """Show what was found: what is used, then the rest in its order."""
        self.sources = in_order(found)
        self._threshold = found.threshold
        self._draw()
        self.highlighted = 0 if self.sources else None

    @property
    def chosen(self) -> Source | None:
        """The passage that the cursor is on."""
        index = self.highlighted
        return self.sources[index] if index is not None and index < len(self.sources) else None

    def on_resize(self) -> None:
        highlighted = self.highlighted or 0
        self._draw()
        self.highlighted = highlighted if self.sources else None

    def _draw(self) -> None:
        width = self.scrollable_content_region.width
        if not width:
            return
        scale = scale_of(self.sources)
        rows = enumerate(self.sources)
        self.set_options(
            [Option(ranking_row(i, s, scale, self._threshold, width)) for i, s in rows]
        )


def in_order(found: SourcesPart) -> tuple[Source, ...]:
    """Sources and candidates, each of them once, those that were used first."""
    return (*found.sources, *(c for c in found.candidates if c not in found.sources))


def scale_of(sources: Sequence[Source]) -> Scale:
    """What the bars of these passages are drawn against."""
    reranked = [s.scores.reranked for s in sources if s.scores.reranked is not None]
    return Scale(
        lexical=max((s.scores.lexical or 0.0 for s in sources), default=0.0),
        fused=max((s.scores.fused for s in sources), default=0.0),
        reranked=(min(reranked), max(reranked)) if reranked else None,
    )


def ranking_row(index: int, source: Source, scale: Scale, threshold: float, width: int) -> Content:
    """A passage with its scores, in one line where there is room, else in two."""
    shape, word, colour = VERDICTS[source.verdict]
    number = f"{index + 1:>2} "
    verdict = f"{shape} {word:<11}"
    scores = _scores(source, scale, threshold, is_labelled=width < WIDE)
    head = Content.assemble((number, f"bold {colour_of(index)}"), (verdict, colour))
    if width >= WIDE:
        place = _place(source, width - head.cell_length - scores.cell_length - 1)
        return Content.assemble(head, place, " ", scores)
    place = _place(source, width - head.cell_length)
    lines = [scores]
    if scores.cell_length > width - 3:  # more than a narrow line holds
        last = "relevant" if scale.reranked is None else "rerank"
        lines = scores.divide([scores.plain.index(last)])
    lines = [line.truncate(width - 3) for line in lines]
    return Content("\n   ").join([Content.assemble(head, place), *lines])


def _place(source: Source, width: int) -> Content:
    """File and headings, in exactly ``width`` cells."""
    width = max(width, 4)
    place = fitted(place_of(source), max(width * 3 // 5, 4), keep_end=True)
    title = clean_line(source.title)
    about = fitted(f"  {title}", width - len(place)) if title != source.file else ""
    line = Content.assemble(place, (about, "dim"))
    return line.pad_right(max(width - line.cell_length, 0))


def _scores(source: Source, scale: Scale, threshold: float, *, is_labelled: bool) -> Content:
    """All scores, each as a little bar and a number, relevance last."""
    scores = source.scores
    cells = [
        _score("words", scores.lexical, scores.lexical, scale.lexical, "4.1f", is_labelled),
        _score("meaning", scores.dense, scores.dense, 1.0, "4.2f", is_labelled),
        _score("fused", scores.fused, scores.fused, scale.fused, "5.3f", is_labelled),
    ]
    if scale.reranked is not None:
        low, high = scale.reranked
        value = scores.reranked
        above = None if value is None else value - low
        cells.append(_score("rerank", value, above, high - low, "4.1f", is_labelled))
    return Content.assemble(*cells, *_relevance(scores.relevance, threshold, is_labelled))


def _score(
    name: str, value: float | None, share: float | None, of: float, form: str, is_labelled: bool
) -> Content:
    label = (f"{name} " if is_labelled else "", "dim")
    width = 3 if is_labelled else 4
    if value is None:
        blank = len(format(0.0, form))
        return Content.assemble(label, (f"{'·' * width} {'–':>{blank}}  ", "dim"))
    filled = min(max((share or 0.0) / of if of else 0.0, 0.0), 1.0)
    return Content.assemble(label, (draw_bar(filled, width), "$primary"), f" {value:{form}}  ")


def _relevance(
    value: float, threshold: float, is_labelled: bool
) -> list[Content | tuple[str, str]]:
    """Relevance with the threshold as a line across its bar."""
    width = 6 if is_labelled else 8
    bar = draw_bar(value, width)
    at = min(max(round(threshold * width), 0), width)
    colour = "$text-success" if value >= threshold else "$text-warning"
    label = "relevant " if is_labelled else ""
    return [
        (label, "dim"),
        (bar[:at], colour),
        ("│", "bold $foreground"),
        (bar[at:], colour),
        (f" {value:.2f}", colour),
    ]


def heading_row(width: int, *, is_reranked: bool) -> Content:
    """The names of the columns, above rows of one line; empty above rows of two."""
    if width < WIDE:
        return Content("")
    rerank = f"{'rerank':<11}" if is_reranked else ""
    scores = f"{'words':<11}{'meaning':<11}{'fused':<12}{rerank}{'relevance':<14}"
    left = f" # {'verdict':<13}passage"
    return Content.styled(f"{left:<{width - len(scores)}}{scores}", "dim bold")
