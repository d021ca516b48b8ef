"""What comes from the keyboard, in whatever pieces it comes."""

import pytest

from chatbot.tui.keyboard import InputDecoder

PASTE, END = b"\x1b[200~", b"\x1b[201~"


def decoded(*pieces: bytes) -> str:
    decoder = InputDecoder()
    return "".join(decoder.decode(piece) for piece in pieces)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_escapes_are_left_out_of_pastes_alone(size: int) -> None:
    hostile = b"one \x1b[A\x1b\x1b[20 \x1b[B\x1b two\x1b"
    raw = b"\x1b[A" + PASTE + hostile + END + b"\x1bOP" + PASTE + b"\xc3\xa9" + END + b"\x1b"
    pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
    pasted = "\x1b[200~one [A[20 [B two\x1b[201~"
    assert decoded(*pieces) == "\x1b[A" + pasted + "\x1bOP" + "\x1b[200~é\x1b[201~" + "\x1b"


def test_esc_is_not_held_back() -> None:
    decoder = InputDecoder()
    assert decoder.decode(b"\x1b") == "\x1b"
    assert decoder.decode(b"[20") == "[20"
    assert decoder.decode(b"0~\x1b[A") == "0~[A"


def test_what_is_no_utf_8_does_not_end_it() -> None:
    assert decoded(b"a\xff", b"\xc3", b"\xa9") == "a\ufffdé"


def test_what_was_held_comes_at_the_end() -> None:
    decoder = InputDecoder()
    assert decoder.decode(PASTE + b"a\x1b[2") == "\x1b[200~a"
    assert decoder.decode(b"", final=True) == "[2"


def test_spaces_and_joiners_that_are_typed_are_text() -> None:
    wide, joiner = "\u3000", "\u200c"
    typed = f"\x1b[Aa{wide}b{joiner}\x1b[B".encode()
    pasted = f"\x1b[Aa\x1b[200~{wide}\x1b[201~b\x1b[200~{joiner}\x1b[201~\x1b[B"
    assert decoded(typed) == decoded(*(bytes([byte]) for byte in typed)) == pasted
    in_paste = PASTE + wide.encode() + END
    assert decoded(in_paste) == in_paste.decode()
