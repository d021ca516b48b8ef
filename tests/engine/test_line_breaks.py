"""A model that writes a mark for a line break shows line breaks, wherever the mark is cut."""

from pathlib import Path

import msgspec
import pytest
import torch

from chatbot.engine.answer_reader import AnswerReader
from chatbot.engine.chat_formats import ChatFormat
from chatbot.engine.detokenizer import Detokenizer
from chatbot.engine.dialects.parser import Text
from chatbot.engine.finding import find_model
from chatbot.engine.loading import _with_line_breaks, load
from chatbot.engine.protocol.answer import Generate
from chatbot.settings import Sampling

TEXT = "one<NL>two <b> three<NL><NL>four"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 40])
def test_the_mark_is_never_shown(size: int) -> None:
    pieces = [TEXT[start : start + size] for start in range(0, len(TEXT), size)]

    def decode(tokens: list[int]) -> str:
        return _with_line_breaks("".join(pieces[token] for token in tokens), "<NL>")

    detokenizer = Detokenizer(decode)  # type: ignore[arg-type]
    shown = [detokenizer.push(token) for token in range(len(pieces))]
    assert "".join(shown) == "one\ntwo <b> three\n\nfour"


@pytest.mark.parametrize("end", ["", "<", "<N", "<NL", "<NL>", "<NL><", "a <"])
def test_half_a_mark_at_the_end_is_text(end: str, tiny_folder: Path) -> None:
    """An answer may end with it: "3 <" is no line break that never came."""
    found = find_model(str(tiny_folder), lambda *_: None)
    form = ChatFormat(name="marks", template="", newline="<NL>")
    found = msgspec.structs.replace(found, chat_format=form)
    loaded = load(found, "fp32", torch.device("cpu"), lambda *_: None)
    request = Generate(messages=(), sampling=Sampling(), is_completion=True)
    reader = AnswerReader(loaded, request, is_thinking=False)
    tokens = found.tokenizer.encode(f"Costs: 3 {end}", add_special_tokens=False)
    pieces = [piece for token in tokens for piece in reader.push(token)]
    pieces += [*reader.finish(), *reader.finish()]
    shown = "".join(piece.text for piece in pieces if isinstance(piece, Text))
    assert shown == f"Costs: 3 {end}".replace("<NL>", "\n")
