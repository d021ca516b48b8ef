"""From a document to its passages. Knows nothing of files, of embeddings or of the index.

A document is cut at its headings first. A section that is longer than a passage may be is divided
where that costs least: between paragraphs, lines of lists and code, sentences, at last words.
Sections too short to stand alone join a neighbour.
"""

import bisect
import itertools
import re
from typing import TYPE_CHECKING, Final

import msgspec

from chatbot.retrieval.breaking import find_breaks
from chatbot.retrieval.dividing import divide, thin
from chatbot.retrieval.documents.document import Document
from chatbot.retrieval.token_counting import TokenCounter, TokenIndex

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CUTTING_VERSION: Final = 3
"""Goes up whenever the same document would be cut otherwise: an index then has to be made anew."""

TARGET_TOKENS: Final = 220
"""Of a passage, where the embedding model sees that many."""
MAX_TOKENS: Final = 250
_MIN_TOKENS: Final = 40
"""A section shorter than this joins a neighbour."""
_MIN_BREAK_TOKENS: Final = 12
"""Breaks nearer to each other than this are not all tried."""
_MAX_CONTEXT_BYTES: Final = 120
"""Of the headings in front of an embedded passage: in bytes, because no tokenizer makes more
tokens than that of them."""
_SEPARATOR: Final = " › "
_NEWLINES: Final = re.compile(r"[^\S\n]*\n")


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Where one passage stands in its document: ``document.text[start:end]``."""

    start: int
    end: int
    headings: tuple[str, ...] = ()
    """The headings above it, the outermost first; as the document has them, not cleaned."""
    start_line: int
    """First line, from 1; of a spreadsheet the number of the row in its sheet."""
    end_line: int
    """Last line, included."""
    page: int | None = None
    """From 1: the page that it begins on."""


class _Section(msgspec.Struct, frozen=True):
    """A stretch of the document below one heading."""

    start: int
    end: int
    headings: tuple[str, ...]
    num_tokens: int
    num_body_tokens: int
    """Without the heading."""


def cut(document: Document, tokenizer: "Tokenizer | TokenCounter", *, max_tokens: int) -> list[Cut]:
    """The passages of ``document``, in order; none for one without visible text.

    They do not overlap, and together they hold every visible character.

    Args:
        document: read from a file.
        tokenizer: of the embedding model; see ``embedding.load_tokenizer``. Who cuts many
            documents makes one ``TokenCounter`` of it and passes that: it learns words.
        max_tokens: what the embedding model sees of a text, special tokens included;
            see ``embedding.read_max_tokens``.
    """
    counter = tokenizer if isinstance(tokenizer, TokenCounter) else TokenCounter(tokenizer)
    tokens = counter.index(document.text)
    limit = max(1, min(max_tokens - counter.num_special, MAX_TOKENS))
    cuts: list[tuple[int, int, tuple[str, ...]]] = []
    sections = _merge_short(document, _find_sections(document, tokens), min(TARGET_TOKENS, limit))
    for section in sections:
        context = text_to_embed(section.headings, document.title, "")
        room = max(1, min(limit, max_tokens - counter.num_special - counter.count(context)))
        for start, end in _divide_section(document.text, section, tokens, room):
            if bounds := _trim(document.text, start, end):
                cuts.append((*bounds, section.headings))
    return _locate(document, cuts)


def text_to_embed(headings: tuple[str, ...], title: str, text: str) -> str:
    """What of a passage is embedded: the headings above it, and its text.

    Without the document's title, which all of its passages share: with it they come out nearer to
    each other, and the right one is found less often. Nor is a heading said twice that the passage
    itself begins with. The outermost give way where they are too long.
    """
    beginning = text[:400].lstrip("#=*- \n").casefold()
    names: list[str] = []
    num_bytes = 0
    for name in reversed(headings):
        if not name or name == title or beginning.startswith(name.casefold()):
            continue
        num_bytes += len(name.encode()) + len(_SEPARATOR.encode())
        if num_bytes > _MAX_CONTEXT_BYTES:
            break
        names.append(name)
    context = _SEPARATOR.join(reversed(names))
    return f"{context}\n{text}" if context else text


def _find_sections(document: Document, tokens: TokenIndex) -> list[_Section]:
    """One for what comes before the first heading, and one for each heading."""
    text = document.text
    starts = [0, *(heading.start for heading in document.headings), len(text)]
    counts = tokens.before(starts).tolist()
    sections: list[_Section] = []
    path: list[tuple[int, str]] = []
    for index, heading in enumerate((None, *document.headings)):
        start, end = starts[index], starts[index + 1]
        num_tokens = counts[index + 1] - counts[index]
        num_body_tokens = num_tokens
        if heading is not None:
            path = [(level, name) for level, name in path if level < heading.level]
            path.append((heading.level, heading.text))
            line_end = text.find("\n", start, end)
            body = end if line_end < 0 else line_end
            num_body_tokens = tokens.between(body, end) if body > start else num_tokens
        if end > start:
            names = tuple(name for _, name in path)
            sections.append(_Section(start, end, names, num_tokens, num_body_tokens))
    return sections


def _merge_short(document: Document, sections: list[_Section], target: int) -> list[_Section]:
    """Join each section that is short to the one before it, where the two belong together. What
    begins a page stays apart: as a slide or a sheet, it would go by the number of the one before.
    """
    merged: list[_Section] = []
    pages = set(document.page_starts)
    for section in sections:
        previous = merged[-1] if merged and section.start not in pages else None
        if previous and (headings := _common_headings(previous, section, target)) is not None:
            merged[-1] = _Section(
                previous.start,
                section.end,
                headings,
                previous.num_tokens + section.num_tokens,
                previous.num_body_tokens + section.num_body_tokens,
            )
        else:
            merged.append(section)
    return merged


def _common_headings(first: _Section, second: _Section, target: int) -> tuple[str, ...] | None:
    """The headings above both as one passage, or None where they stay apart."""
    is_below = second.headings[: len(first.headings)] == first.headings
    if is_below and first.num_body_tokens == 0:
        # A heading with nothing under it but the next heading.
        return second.headings
    if first.num_tokens + second.num_tokens > target:
        return None
    if min(first.num_tokens, second.num_tokens) >= _MIN_TOKENS:
        return None
    if is_below:
        return first.headings
    if first.headings[:-1] == second.headings[:-1]:
        return first.headings[:-1]
    return None


def _divide_section(
    text: str, section: _Section, tokens: TokenIndex, limit: int
) -> list[tuple[int, int]]:
    start, end = section.start, section.end
    if section.num_tokens <= limit:
        return [(start, end)]
    target = min(TARGET_TOKENS, max(limit * 9 // 10, 1))
    breaks = find_breaks(text, start, end, tokens, widest=max(target // 4, 1))
    offsets = [start, *(b.offset for b in breaks), end]
    costs = [0.0, *(b.cost for b in breaks), 0.0]
    counts = tokens.before(offsets).tolist()
    kept = thin(counts, costs, min(_MIN_BREAK_TOKENS, limit // 8))
    ends = divide([counts[i] for i in kept], [costs[i] for i in kept], limit, target)
    places = [offsets[0], *(offsets[kept[i]] for i in ends)]
    return list(itertools.pairwise(places))


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Without white space around it, but with the indentation of its first line."""
    while found := _NEWLINES.match(text, start, end):
        start = found.end()
    end = start + len(text[start:end].rstrip())
    return (start, end) if end > start else None


def _locate(document: Document, cuts: list[tuple[int, int, tuple[str, ...]]]) -> list[Cut]:
    line_ends = [found.start() for found in re.finditer("\n", document.text)]
    pages = document.page_starts
    located: list[Cut] = []
    for start, end, headings in cuts:
        page = max(bisect.bisect_right(pages, start), 1) if pages else None
        # The line with a sheet's name is none of its rows.
        above = 0
        if page and document.has_rows:
            above = bisect.bisect_left(line_ends, pages[page - 1]) + 1
        first, last = (bisect.bisect_left(line_ends, place) + 1 for place in (start, end - 1))
        located.append(
            Cut(
                start=start,
                end=end,
                headings=headings,
                start_line=max(first - above, 1),
                end_line=max(last - above, 1),
                page=page,
            )
        )
    return located
