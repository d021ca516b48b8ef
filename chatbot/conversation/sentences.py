"""Finds the sentences of a Markdown answer: what can rest on a source, and where it stands.

Code, headings and tables make no claims of their own and are passed over; so is a line that
only announces what follows. Rules, not a parser: an answer is read while it is fresh, and a
sentence cut in the wrong place costs one mark. Knows no sources.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec


class Span(msgspec.Struct, frozen=True):
    """A stretch of a text."""

    start: int
    end: int


# A model may write thousands of one character, and this is gone through on the loop of the screen:
# what repeats gives nothing back (*+, ++) where that could not help.
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING: Final = re.compile(r" {0,3}#{1,6}(\s|$)")
_RULE: Final = re.compile(r" {0,3}([-*_=])[ \t]*(\1[ \t]*)*$")
_TABLE: Final = re.compile(r"\s*\|")
_TABLE_DELIMITER: Final = re.compile(
    r"\s*+(?:\|\s*+)?:?-{2,}+:?\s*+(\|\s*+:?-{2,}+:?\s*+)+(\|\s*)?$"
)
_CODE_INDENT: Final = re.compile(r"(?: {4}|\t)")
_ITEM: Final = re.compile(r"\s*+(?:>\s?)*\s*+(?:[-*+]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s+)?")
_QUOTE: Final = re.compile(r"\s*(?:>\s?)+")
_DEFINITION: Final = re.compile(r"\s*\[[^\]]+\]:\s*\S+\s*$")

_CODE: Final = re.compile(r"(?<!`)(`++).+?(?<!`)\1(?!`)")

_OPAQUE: Final = re.compile(
    r"(?<!`)(`++).+?(?<!`)\1(?!`)"  # code
    r"|!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\([^()\s]*(?:\s+\"[^\"]*\")?\)"  # a link
    r"|<?https?://[^\s>]*[^\s>.,;:!?)\]]>?",
    re.DOTALL,
)

_CLOSERS: Final = r"[\"'”’»)\]*_~]*+(?:[ \t]?\[\d{1,3}\])*[*_]*+"
_MARKS: Final = "[.!?…‽⁇⁈⁉؟۔।॥։።]"
# Not from the middle of a row of marks: a row of thousands would be gone through from each of them.
_END: Final = re.compile(
    rf"(?<!{_MARKS}){_MARKS}++{_CLOSERS}(?=\s|$)|[。！？｡．]+[」』）”’*_]*(?:\[\d{{1,3}}\])*"
)

_BEFORE_NAMES: Final = frozenset(
    ("dr", "mr", "mrs", "ms", "mt", "st", "prof", "rev", "hon", "gen", "gov", "sen", "lt", "mme")
)
"""After these a name follows, and the sentence goes on."""

_BEFORE_MORE: Final = frozenset(
    ("e.g", "i.e", "eg", "ie", "cf", "vs", "viz", "al", "z.b", "d.h", "u.a", "bzw", "bspw", "vgl")
)
"""After these the sentence goes on, whatever follows."""

_BEFORE_NUMBERS: Final = frozenset(
    (
        "no",
        "nos",
        "nr",
        "p",
        "pp",
        "s",
        "fig",
        "figs",
        "sec",
        "ch",
        "vol",
        "op",
        "eq",
        "tab",
        "abb",
        "max",
        "min",
        "ca",
        "approx",
        "art",
        "jan",
        "feb",
        "aug",
        "sept",
        "oct",
        "nov",
        "dec",
    )
)
"""After these the sentence goes on with a number."""

_NOT_SPACE: Final = re.compile(r"\S")

_WORD_LENGTH: Final = 20

_LAST_WORD: Final = re.compile(r"[^\s(\[\"'“„«*_]+\Z")


def find_sentences(markdown: str, *, is_whole: bool = True) -> tuple[Span, ...]:
    """The sentences, in order, without white space around them.

    Args:
        markdown: the text.
        is_whole: the text came to its end; else a last sentence without one is left out.
    """
    spans = [span for block in _blocks(markdown) for span in _in_block(markdown, block)]
    if spans and not is_whole and not _END.search(markdown, spans[-1].start, spans[-1].end):
        spans.pop()
    return tuple(spans)


def _blocks(text: str) -> Iterator[Span]:
    """Paragraphs and items of lists, without their marks."""
    begun: Span | None = None
    fence = ""
    was_blank, is_table, is_quote = True, False, False
    for start, line in _lines(text):
        end = start + len(line)
        opening = _FENCE.match(line)
        if fence:
            closes = opening and opening[1].startswith(fence)
            fence = "" if closes and not line[opening.end() :].strip() else fence  # type: ignore[union-attr]
            continue
        is_table = bool(line.strip()) and (
            is_table or bool(_TABLE.match(line) or _TABLE_DELIMITER.match(line))
        )
        is_code = was_blank and _CODE_INDENT.match(line) and not _ITEM.match(line)
        was_blank = not line.strip()
        skipped = (
            opening
            or is_table
            or is_code
            or was_blank
            or _HEADING.match(line)
            or _RULE.match(line)
            or _DEFINITION.match(line)
        )
        if skipped:
            if begun:
                yield begun
            begun = None
            fence = opening[1] if opening else ""
            was_blank = was_blank or bool(is_code)  # the next line of code is code as well
            continue
        quote = _QUOTE.match(line)
        # A quotation breaks into a paragraph; a line without its mark may still belong to it.
        opens_quote = quote if begun is None or not is_quote else None
        if mark := _ITEM.match(line) or opens_quote:
            if begun:
                yield begun
            is_quote = quote is not None
            begun = Span(start + mark.end(), end)
        else:
            is_quote = is_quote and begun is not None
            begun = Span(begun.start if begun else start, end)
    if begun:
        yield begun


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _in_block(text: str, block: Span) -> Iterator[Span]:
    """The sentences of one paragraph."""
    # What may hold a full stop without ending a sentence is hidden behind letters.
    shown = _OPAQUE.sub(lambda m: "X" * len(m[0]), text[block.start : block.end])
    start = 0
    for end in _ends(shown):
        if span := _trimmed(shown, start, end):
            yield Span(block.start + span.start, block.start + span.end)
        start = end
    rest = _trimmed(shown, start, len(shown))
    if rest and not shown[: rest.end].endswith((":", "：")):
        yield Span(block.start + rest.start, block.start + rest.end)


def _ends(text: str) -> Iterator[int]:
    """Where sentences end."""
    for found in _END.finditer(text):
        if not _goes_on(text, found):
            yield found.end()


def _goes_on(text: str, found: "re.Match[str]") -> bool:
    """Whether what looks like the end of a sentence is in the middle of one."""
    following = _NOT_SPACE.search(text, found.end())
    if following is None:
        return False
    after = following[0]
    if after.islower():
        return True
    if not found[0].startswith(".") or found[0].startswith(".."):
        return False
    # A word is short: looked for over the whole text, many full stops would take long.
    before = _LAST_WORD.search(text, max(0, found.start() - _WORD_LENGTH), found.start())
    word = before[0] if before else ""
    if len(word) == 1 and word.isupper():  # an initial
        return True
    word = word.lower()
    if word in _BEFORE_NUMBERS:
        return after.isdigit()
    return word in _BEFORE_NAMES or word in _BEFORE_MORE


def _trimmed(text: str, start: int, end: int) -> Span | None:
    """Without white space around it; None where there is nothing to read."""
    piece = text[start:end]
    if not any(character.isalnum() for character in piece):
        return None
    return Span(start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip()))


def code_spans(markdown: str) -> tuple[Span, ...]:
    """Where code stands, in blocks and in lines."""
    found, fence, begun = [], "", 0
    for start, line in _lines(markdown):
        opening = _FENCE.match(line)
        if fence:
            if opening and opening[1].startswith(fence) and not line[opening.end() :].strip():
                found.append(Span(begun, start + len(line)))
                fence = ""
        elif opening:
            fence, begun = opening[1], start
        else:
            found += [Span(start + m.start(), start + m.end()) for m in _CODE.finditer(line)]
            if _CODE_INDENT.match(line) and not _ITEM.match(line):
                found.append(Span(start, start + len(line)))
    if fence:
        found.append(Span(begun, len(markdown)))
    return tuple(found)
