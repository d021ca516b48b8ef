"""What a sentence claims that its source does not: a denial, a number, a name.

Embeddings are near to one another when texts speak of the same thing, whether or not they say the
same of it. These rules see what that misses. They are about words alone, and meant to be right
when they object: whatever is written in a way that they do not know, they let pass. Pure; knows no
model and no source.
"""

import re
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")
_MARK: Final = re.compile(r"\[\d{1,3}\]")
"""Of a source: no number that is claimed."""
_UNIT: Final = r"(?:[nµμmcdk]m|[mk]?g|m?l|[nµμm]s|min|h|[kKMGT](?:i?B|Hz|Wh?)|[mk]?V|px|pt|fps)"
"""What may be written together with a number, as in ``16GB``: no ordinal's end, and nothing that
may stand for a decade, a thousand or a million, which would make another number of it."""
_SCALE: Final = "(?i:hundred|thousand|million|billion)"
_NUMBER: Final = re.compile(
    # At once, or a part of 3.5 would be taken for a number where what follows is no unit.
    rf"(?<![\w.,])[-−]?(?>(\d[\d,]*(?:\.\d+)?))(?:\s?(%|percent\b)|{_UNIT})?(?!\w)"
    rf"(?:[\s-]({_SCALE})\b)?"
)
_ARTICLE: Final = re.compile(rf"\b[Aa]n?(?=\s{_SCALE}\b)")
"""Where it is a number."""
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")

_SMALL_NUMBERS: Final = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty
"""
_NUMBER_WORDS: Final = {
    **{word: str(number) for number, word in enumerate(_SMALL_NUMBERS.split())},
    **{"thirty": "30", "forty": "40", "fifty": "50"},
}
_SCALES: Final = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9}

_DENYING: Final = "not no never none nothing nobody nowhere neither nor cannot without"
_DENIALS: Final = frozenset(_DENYING.split())
_TOTALS: Final = frozenset(("anything", "nothing", "anybody", "anyone", "anywhere", "everything"))
"""A denial of all is supported by nothing but a denial."""
_NEARLY_DENYING: Final = """
absent avoid avoided avoids ban banned closed deny denied denies drop dropped drops except exclude
excluded excludes fail failed fails few fewer forbid forbidden forbids hardly ignore ignored ignores
impossible instead lack lacked lacking lacks less little lose loses lost missing off only otherwise
prevent prevented prevents prohibit prohibited prohibits rather refuse refused refuses reject
rejected rejects remove removed removes scarcely seldom skip skipped skips stop stopped stops too
unable unless until unlike
"""
_NEAR_DENIALS: Final = _DENIALS | frozenset(_NEARLY_DENYING.split())
"""With one of these a source may well say what an answer puts as a denial."""
_NEGATIVE_PREFIX: Final = re.compile(r"(?:un|in|im|ir|il|dis|non)[a-z]{4,}")
_DENIED_WORDS: Final = 3
"""After a denial, the words that it may be about."""

_FEW_CAPITALS: Final = 0.2
"""Where a larger share of the words is capitalised, as in German, that marks no name."""
_NO_NAMES: Final = frozenset(("i", "ok"))


def claims_more(sentence: str, nearest: str, passage: str) -> bool:
    """Whether a sentence says something that a passage does not say.

    Args:
        sentence: of an answer.
        nearest: the sentence of the passage that it is nearest to.
        passage: all of it.
    """
    sentence = _MARK.sub("", sentence)
    return (
        not find_numbers(sentence) <= find_numbers(passage)
        or not _find_names(sentence, passage) <= _words(passage)
        or denies_otherwise(sentence, nearest)
    )


def find_numbers(text: str) -> set[str]:
    """The numbers in a text, each in one form: ``1,000`` is ``1000``, ``90 %`` is ``0.9``,
    ``two million`` is ``2000000``.
    """
    found: set[str] = set()
    text = _ARTICLE.sub("1", text)
    text = _WORD.sub(lambda word: _NUMBER_WORDS.get(word[0].lower(), word[0]), text)
    for match in _NUMBER.finditer(text):
        digits = match[1].rstrip(",")
        digits = digits.replace(",", "") if _THOUSANDS.fullmatch(digits) else digits
        scale = _SCALES[match[3].lower()] if match[3] else 1.0
        for part in digits.split(","):
            value = float(part) / (100 if match[2] else 1) * scale
            found.add(f"{value:.10g}")
    # One is as often a pronoun or an article as a number.
    return found - {"1"}


def denies_otherwise(sentence: str, nearest: str) -> bool:
    """Whether one of the two denies what the other does not."""
    said, known = _spoken(sentence), _spoken(nearest)
    if any(_is_denial(word) for word in said):
        is_enough = _is_denial if _TOTALS.intersection(said) else _comes_near_denial
        return not any(map(is_enough, known))
    # The other way round only for what is denied word by word.
    denied = _denied(known)
    return bool(denied) and denied <= set(map(_stem, said))


def _denied(words: list[str]) -> set[str]:
    """The stems of the words right after the one denial of a sentence; none where it has more."""
    places = [place for place, word in enumerate(words) if _is_denial(word)]
    if len(places) != 1 or places[0] + 1 >= len(words):
        return set()
    after = words[places[0] + 1 : places[0] + 1 + _DENIED_WORDS]
    return {_stem(word) for word in after if len(word) > 2}


def _is_denial(word: str) -> bool:
    return word in _DENIALS or word.endswith(("n't", "n’t"))


def _comes_near_denial(word: str) -> bool:
    return _is_denial(word) or word in _NEAR_DENIALS or _NEGATIVE_PREFIX.fullmatch(word) is not None


def _find_names(sentence: str, passage: str) -> set[str]:
    """The words within a sentence that are written like names; none where most words are."""
    inner = _inner_words(sentence)
    sample = inner + _inner_words(passage)
    if not sample or sum(map(_is_capital, sample)) / len(sample) > _FEW_CAPITALS:
        return set()
    return {_plain(word) for word in inner if _is_capital(word)} - _NO_NAMES


def _inner_words(text: str) -> list[str]:
    """The words that do not begin a sentence or a line."""
    return [
        found[0]
        for found in _WORD.finditer(text)
        if re.search(r"[\w,;][ \t]*[\"“‘'`(*]*\Z", text[max(0, found.start() - 6) : found.start()])
    ]


def _is_capital(word: str) -> bool:
    return word[0].isupper() and len(word) > 1


def _words(text: str) -> set[str]:
    return {_plain(found[0]) for found in _WORD.finditer(text)}


def _spoken(text: str) -> list[str]:
    return [found[0].lower() for found in _WORD.finditer(text)]


def _plain(word: str) -> str:
    """Without case and the genitive's end."""
    return re.sub(r"['’]s?\Z", "", word.lower())


def _stem(word: str) -> str:
    """Enough to take ``runs`` and ``run`` for the same."""
    return re.sub(r"(?:ies|es|s|ed|ing)\Z", "", word) or word
