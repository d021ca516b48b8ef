"""The marks in a finished answer: which source a sentence rests on, or that none does.

The text that is kept stays what the model wrote; the marks are put in whenever it is shown.
Pure: the same answer always gets the same marks. Knows no screen.
"""

import re
from collections.abc import Iterator
from typing import Final

from chatbot.conversation.sentences import code_spans
from chatbot.messages import SourcesPart

UNSUPPORTED: Final = "[?]"
"""Stands after a sentence that no source supports."""

NO_SOURCE: Final = "nothing in your folders fits: no source was used"
"""Stands below an answer that was searched for, and that the model gave by itself."""

_MARK: Final = re.compile(r"(?P<space>[ \t]?)\[(?P<number>\d{1,3})\](?![(\[:])")
"""What a model writes for a source; not the text of a link or the name of one."""


def with_citations(text: str, part: SourcesPart | None, *, is_markdown: bool = True) -> str:
    """An answer with ``[1]`` after each sentence that source 1 supports, ``[?]`` after others.

    Marks of the model's own stay where they name a source, and are left out where they name
    none. Nothing is put into code, and no mark can become a link.

    Args:
        text: as the model wrote it.
        part: the sources of the answer, with what its sentences rest on; None for none.
        is_markdown: the result is rendered as Markdown; else it is read as it is.
    """
    if part is None or part.is_declined or not part.sources:
        return text
    edits = [*_own_marks(text, part, is_markdown=is_markdown)]
    for sentence in part.support:
        if not 0 < sentence.end <= len(text):
            continue
        mark = UNSUPPORTED if sentence.source is None else f"[{sentence.source + 1}]"
        if mark in text[sentence.start : sentence.end]:
            continue  # the model said so itself
        edits.append((sentence.end, sentence.end, f" {_escaped(mark, is_markdown)}"))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _own_marks(
    text: str, part: SourcesPart, *, is_markdown: bool
) -> Iterator[tuple[int, int, str]]:
    """Where marks that the model wrote are, and what stands there instead."""
    code = code_spans(text)
    for found in _MARK.finditer(text):
        if any(span.start <= found.start() < span.end for span in code):
            continue
        number = int(found["number"])
        if 1 <= number <= len(part.sources):
            yield found.start(), found.end(), found["space"] + _escaped(f"[{number}]", is_markdown)
        else:
            yield found.start(), found.end(), ""


def _escaped(mark: str, is_markdown: bool) -> str:
    # Or a line "[1]: address" in the answer would make a link of every mark.
    return f"\\{mark}" if is_markdown else mark


def is_without_source(part: SourcesPart) -> bool:
    """Whether the model answered by itself, after a search that found nothing for it."""
    return not part.sources and not part.is_declined


def source_lines(part: SourcesPart) -> list[str]:
    """The list under an answer, a line a source: ``[1] settings.md:12-30 · Sampling › Top-p``."""
    return [
        f"[{number}] {source.location} · {source.title}"
        for number, source in enumerate(part.sources, 1)
    ]


def unsupported_sentences(text: str, part: SourcesPart) -> list[str]:
    """The sentences of an answer that no source supports, each on one line."""
    return [
        " ".join(text[sentence.start : sentence.end].split())
        for sentence in part.support
        if sentence.source is None
    ]
