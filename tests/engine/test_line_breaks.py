"""A model that writes a mark for a line break shows line breaks, wherever the mark is cut."""

import pytest

from chatbot.engine.detokenizer import Detokenizer
from chatbot.engine.loading import _with_line_breaks

TEXT = "one<NL>two <b> three<NL><NL>four"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 40])
def test_the_mark_is_never_shown(size: int) -> None:
    pieces = [TEXT[start : start + size] for start in range(0, len(TEXT), size)]

    def decode(tokens: list[int]) -> str:
        return _with_line_breaks("".join(pieces[token] for token in tokens), "<NL>")

    detokenizer = Detokenizer(decode)  # type: ignore[arg-type]
    shown = [detokenizer.push(token) for token in range(len(pieces))]
    assert "".join(shown) == "one\ntwo <b> three\n\nfour"
