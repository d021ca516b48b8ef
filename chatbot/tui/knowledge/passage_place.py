"""Where a source stands in its document as the document is now.

Pure functions of texts. Knows nothing of how either is shown.
"""

from typing import Final

from chatbot.messages import Source
from chatbot.terminal_text import clean

_ENOUGH: Final = 160
"""Letters and digits that say whether two texts are the same passage."""

_SHORTEST_LINE: Final = 20
"""Characters from which a line is unlikely to stand elsewhere too."""


def find_passage(text: str, source: Source) -> tuple[int, int] | None:
    """Offsets of a source in ``text``; None where it is not there any more.

    Looked for where it was found, then anywhere. The source's own text was cleaned, and the
    model's special tokens in it made harmless, so letters and digits alone are compared.
    """
    wanted = _letters(source.text)
    if not wanted:
        return None
    if 0 <= source.start < source.end <= len(text):
        here = _letters(text[source.start : source.end])
        if here.startswith(wanted) or wanted.startswith(here):
            return source.start, source.end
    length = max(source.end - source.start, len(source.text))
    for line in [source.text, *source.text.split("\n")]:
        place = text.find(line.strip()) if len(line.strip()) >= _SHORTEST_LINE else -1
        if place >= 0:
            before = source.text.find(line.strip())
            start = max(place - before, 0)
            if start and text[start:place].strip() != source.text[:before].strip():
                start = place
            return start, min(start + length, len(text))
    return None


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, clean(text[: 8 * _ENOUGH])))[:_ENOUGH]
