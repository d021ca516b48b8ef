"""Where sentences begin. Works without a model, in any language that ends them with a mark."""

import itertools
import re
from typing import Final

_END: Final = re.compile(r"[.!?…。！？｡][.!?…。！？｡]*[\"'’”»)\]」』】）]*(\s*)")
"""Marks that can end a sentence, the quotes and brackets behind them, and the white space."""

_IDEOGRAPHIC: Final = frozenset("。！？｡")
"""After these no space is needed."""
_NO_END: Final = re.compile(r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs))\Z")
"""After these a full stop ends no sentence: initials, titles."""
_REFERENCE: Final = re.compile(r"\b(?:Nos?|pp?|Figs?|Vol|Eq|Sec|Ch)\Z", re.IGNORECASE)
"""After these it does not where a number follows."""
_LONG_WORD: Final = re.compile(r"[a-z0-9%)]{4}\Z")
"""No abbreviation: after this a full stop ends a sentence, even where a small letter follows."""
_NO_START: Final = frozenset(",;:.!?)]")

_PARAGRAPH_END: Final = re.compile(r"\n[^\S\n]*\n\s*")


def find_sentence_starts(text: str, start: int, end: int) -> list[int]:
    """Offsets within ``text[start:end]`` at which a sentence begins, but for the first one."""
    found = _END.finditer(text, start, end)
    return [
        f.end() for f in found if f.end() < end and _is_end(text, f.start(), f.start(1), f.end())
    ]


def _is_end(text: str, mark: int, gap: int, following: int) -> bool:
    """Whether the mark at ``mark`` ends a sentence; ``gap`` and ``following`` are behind it."""
    if text[mark] in _IDEOGRAPHIC:
        return True
    if gap == following or text[following] in _NO_START:
        return False
    if mark and text[mark - 1].isspace():
        return True  # it stands alone, as in tokenised text
    before = text[max(mark - 6, 0) : mark]
    if text[following].islower():
        return _LONG_WORD.search(before) is not None
    if text[following].isdigit() and _REFERENCE.search(before):
        return False
    return text[mark] != "." or _NO_END.search(before) is None


def split_sentences(text: str) -> list[str]:
    """The sentences of ``text``, white space folded; a paragraph's end is a sentence's end too."""
    sentences = []
    for paragraph in _PARAGRAPH_END.split(text):
        bounds = [0, *find_sentence_starts(paragraph, 0, len(paragraph)), len(paragraph)]
        pieces = (" ".join(paragraph[a:b].split()) for a, b in itertools.pairwise(bounds))
        sentences += [piece for piece in pieces if piece]
    return sentences
