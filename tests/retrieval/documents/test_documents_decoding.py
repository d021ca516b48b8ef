import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.retrieval.documents.decoding import decode
from chatbot.retrieval.documents.document import DocumentError

GERMAN = "Ein Müßiggänger aß früh am Morgen drei Äpfel und ging über die Brücke."
FRENCH = "« Le garçon a mangé des pâtes à la crème », dit-elle ; déjà vu, cœur, naïf – voilà."
RUSSIAN = "Привет, мир. Это обычный текст на русском языке, и в нём нет ничего особенного."
JAPANESE = "これは日本語の文章です。とても短いですが、十分だと思います。"
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy. Dnes je hezký den a půjdeme ven."
POLISH = "Zażółć gęślą jaźń. Dzisiaj jest ładny dzień i pójdziemy na długi spacer."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *[(text, "utf-8") for text in (GERMAN, RUSSIAN, JAPANESE)],
        *[(JAPANESE, encoding) for encoding in ("utf-8-sig", "utf-16", "utf-32", "shift_jis")],
        *[(GERMAN, encoding) for encoding in ("latin-1", "cp1252")],
        *[("café", "latin-1"), (FRENCH, "cp1252"), (RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r")],
        *[(CZECH, "cp1250"), (POLISH, "cp1250")],
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_finds_the_encoding(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_byte_order_marks_of_the_other_end() -> None:
    assert decode(b"\xfe\xff" + GERMAN.encode("utf-16-be")) == GERMAN
    assert decode(b"\x00\x00\xfe\xff" + GERMAN.encode("utf-32-be")) == GERMAN


def test_a_declared_encoding_counts_where_it_is_not_utf_8() -> None:
    assert decode("ą".encode("iso-8859-2"), "iso-8859-2") == "ą"
    assert decode("“x”".encode("cp1252"), "ISO-8859-1") == "“x”"
    assert decode("ą".encode(), "iso-8859-2") == "ą"
    assert decode(b"x \\u0041 caf\xe9", "unicode_escape") == "x \\u0041 café"


@pytest.mark.parametrize(
    "content",
    [
        *(b"text\0text", b"\x7fELF\x02\x01\x01\0\0", bytes(100)),
        *("text".encode("utf-16-le"), bytes(range(1, 32)) * 10, b"\xff\xfet\0e\0\0\0"),
    ],
)
def test_binary_data_are_told_from_text(content: bytes) -> None:
    with pytest.raises(DocumentError, match="binary data"):
        decode(content)


def test_random_bytes_are_no_text() -> None:
    content = random.Random(1).randbytes(5000).translate(None, bytes(range(32)))
    with pytest.raises(DocumentError, match=r"any known encoding|binary"):
        decode(content)


def test_what_is_not_what_it_begins_as_is_refused() -> None:
    with pytest.raises(DocumentError, match="begins as UTF-16"):
        decode(b"\xff\xfea")
    with pytest.raises(DocumentError, match="begins as UTF-8"):
        decode(b"\xef\xbb\xbfcaf\xe9")


def test_white_space_alone_is_nothing() -> None:
    for content in (b" \n\t\r\n", b"\xef\xbb\xbf", b"\xff\xfe\n\0"):
        with pytest.raises(DocumentError, match="white space"):
            decode(content)


def test_coloured_logs_are_text() -> None:
    assert decode(b"\x1b[32mok\x1b[0m\n" * 9).startswith("\x1b[32mok")


def test_offsets_agree_with_reading_as_text(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("one\r\ntwö\rthree\n\n\x0cfour\u2028five\x85".encode())
    assert decode(file.read_bytes()) == file.read_text(encoding="utf-8")


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t")).filter(
        lambda text: text.strip().strip("\ufeff")
    )
)
def test_any_utf_8_text_comes_back(text: str) -> None:
    assert decode(text.encode()) == text.removeprefix("\ufeff")
    assert decode(text.encode("utf-16")) == text
    assert decode(text.encode("utf-32")) == text


@given(st.binary(max_size=400))
def test_any_bytes_are_text_or_refused(content: bytes) -> None:
    try:
        text = decode(content)
    except DocumentError:
        return
    assert text.encode("utf-8")
    assert "\0" not in text
    assert "\r" not in text
