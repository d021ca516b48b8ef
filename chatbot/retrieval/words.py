"""From text to the terms that lexical search knows: the same way for passages and for queries.

Words are lower case, without accents, and cut back to their English stem, which does other
languages little harm, as both sides lose the same. ``top_p``, ``top-p``, ``topP`` and ``top p``
share terms. Scripts that put no space between words are taken two characters at a time.
"""

import functools
import itertools
import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import tantivy

MAX_TERM_LENGTH: Final = 64
"""Bytes; what is longer is no word that anybody looks for."""

UNSPACED: Final = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003134f"
)
"""Scripts without spaces between words, as a part of a pattern: Han, kana, Thai, Lao, Myanmar,
Khmer."""
_HAS_UNSPACED: Final = re.compile(f"[{UNSPACED}]")
_WORD: Final = re.compile(r"[^\W_]+")
# From the beginning of a word and without going back: else each letter of a text is tried anew.
_COMPOUND: Final = re.compile(r"(?<![^\W_])[^\W_]++(?:[_-][^\W_]++){1,3}(?![_-]?\w)")
_HUMP: Final = re.compile("[a-z][A-Z]")
_CAMEL_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W_A-Z]+")


def prepare(text: str) -> str:
    """``text`` as words with a space between them, which is all that the analyser splits at."""
    is_ascii = text.isascii()
    if not is_ascii:
        text = unicodedata.normalize("NFKC", text)
    has_marks = not is_ascii and any(_is_mark(character) for character in set(text))
    plain = _WORD.findall(text)
    words = _marked_word().findall(text) if has_marks else list(plain)
    if "-" in text or "_" in text:
        words += [re.sub("[_-]", "", compound) for compound in _COMPOUND.findall(text)]
    if _HUMP.search(text):
        for name in filter(_HUMP.search, plain):
            words += _CAMEL_PART.findall(name)
    if not is_ascii and _HAS_UNSPACED.search(text):
        words = [piece for word in words for piece in _split_unspaced(word)]
    return " ".join(words)


def find_terms(text: str) -> list[str]:
    """The terms of ``text``, in order, as the index has them."""
    return list(itertools.chain.from_iterable(map(_terms_of, prepare(text).split())))


@functools.lru_cache(maxsize=65_536)
def _terms_of(word: str) -> tuple[str, ...]:
    """The term of a word, or none if it is too long. A text has few words that are new."""
    return tuple(analyser().analyze(word))


@functools.cache
def analyser() -> "tantivy.TextAnalyzer":
    """What the index does to prepared text."""
    import tantivy

    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
    for step in (
        tantivy.Filter.remove_long(MAX_TERM_LENGTH),
        tantivy.Filter.lowercase(),
        tantivy.Filter.ascii_fold(),
        tantivy.Filter.stemmer("english"),
    ):
        builder = builder.filter(step)
    return builder.build()


def _is_mark(character: str) -> bool:
    """Whether it belongs to the letter before it, as in Hindi or Thai."""
    return "\u0300" <= character < "\U00020000" and unicodedata.category(character)[0] == "M"


@functools.cache
def _marked_word() -> "re.Pattern[str]":
    marks = "".join(filter(_is_mark, map(chr, range(0x300, 0x20000))))
    return re.compile(rf"(?:[^\W_]+[{marks}]*)+")


def _split_unspaced(word: str) -> list[str]:
    """``word`` itself, or the pairs of characters of a script that needs that."""
    pieces: list[str] = []
    for run in re.findall(f"[{UNSPACED}]+|[^{UNSPACED}]+", word):
        if len(run) > 1 and _HAS_UNSPACED.match(run):
            pieces += [run[i : i + 2] for i in range(len(run) - 1)]
        else:
            pieces.append(run)
    return pieces
