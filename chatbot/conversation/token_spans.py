"""Where in an answer each of its tokens stands.

The answer is what is shown: cleaned, without what was thought or called, sometimes without the
space it began with. So the tokens' pieces are laid along it, and what is in no text has no
place. Pure functions.
"""

from collections.abc import Sequence
from typing import Final

from chatbot.messages import SettingChange
from chatbot.terminal_text import clean
from chatbot.tokens import TokenRecord

Span = tuple[int, int]
"""Characters of the answer before the token, and before what follows it."""

_SLACK: Final = 4
"""Characters that may stand between two tokens and are of neither: the program's own, such as
the empty line after the result of a tool."""


def spans_of(text: str, records: Sequence[TokenRecord]) -> list[Span]:
    """The place of each token in the text of its answer.

    Args:
        text: the answer, as it is kept.
        records: its tokens from the first one on; the text may go on behind the last.

    Returns:
        One span for each token. A token that is in no text has an empty one where it would
        be; those of one character share its span.
    """
    spans: list[Span] = []
    at = 0
    open_from: int | None = None
    """The first of the tokens before this one that are parts of one character."""
    for index, record in enumerate(records):
        piece = clean(record.text) if record.region == "text" else ""
        if not piece:
            if record.region == "text" and not record.text and open_from is None:
                open_from = index
            spans.append((at, at))
            continue
        found = _find(text, piece, at)
        spans.append(found or (at, at))
        if found:
            at = found[1]
            if open_from is not None:
                spans[open_from:index] = [(found[0], found[0] + 1)] * (index - open_from)
        open_from = None
    return spans


def first_after(change: SettingChange, spans: Sequence[Span]) -> int:
    """Index of the first token that was drawn after a change of the settings.

    Args:
        change: one of the answer.
        spans: of its tokens.

    Returns:
        At least the number of the tokens where none was.
    """
    if change.num_tokens is not None:
        return change.num_tokens
    # An answer from before that was counted: its text alone says where.
    ends = (index for index, (_, end) in enumerate(spans) if end > change.offset)
    return next(ends, len(spans))


def _find(text: str, piece: str, at: int) -> Span | None:
    """The place of a piece that is due at ``at``."""
    if text.startswith(piece, at):
        return at, at + len(piece)
    bare = piece.lstrip()
    if not bare:
        return None
    if at == 0 and text.startswith(bare):  # the space before the answer is none of it
        return 0, len(bare)
    if text[at : at + _SLACK].isspace() or text[at : at + 2].isspace():
        start = text.find(piece, at, at + _SLACK + len(piece))
        if start >= 0 and text[at:start].isspace():
            return start, start + len(piece)
    # The end of an answer may hold only the beginning of its last token.
    rest = text[at:]
    if rest and piece.startswith(rest):
        return at, len(text)
    return None
