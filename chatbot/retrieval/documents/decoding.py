"""From a file's bytes to its text, or to the reason why it has none.

UTF-8 first, and UTF-16 and UTF-32 where a byte order mark says so. What is neither is either
binary or in one of the encodings from before Unicode, which can only be guessed.
"""

import codecs
import re
from typing import Final

from chatbot.retrieval.documents.document import DocumentError

_MARKS: Final = (
    # UTF-32 before UTF-16, whose mark is the beginning of its own.
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS: Final = bytes((*range(1, 9), *range(14, 27), *range(28, 32), 127))
"""Controls other than white space and escape, which coloured logs are full of."""
_MAX_CONTROL_SHARE: Final = 0.1

_SAMPLE_BYTES: Final = 2**20
_HIGH_BYTES: Final = re.compile(rb"[\x80-\xff]+")
_MAX_LATIN_SHARE: Final = 0.2
"""Accented letters among all; Greek, Cyrillic and East Asian texts are far above."""
_MAX_LATIN_RUN: Final = 1.5
"""Accented letters in succession, on average."""
_NOT_WESTERN: Final = re.compile(
    "[^\x00-\x7f\xa0-\xbf×÷€‚ƒ„…†‡ˆ‰‹‘’“”•–—˜™›ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜŒŸàáâãäåæçèéêëìíîïñòóôõöøùúûüÿßœ]"
    "|(?<=[a-z])[\xa1-\xbf](?=[a-z])"
)
"""What Western European texts do not hold, but Polish, Czech and Turkish ones do as soon as
they are taken for Western ones: letters of neither, and signs in the middle of a word."""

_NEVER_GUESSED: Final = [
    *("utf_7", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be"),
    *("cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1140"),
    *("shift_jis_2004", "shift_jisx0213", "euc_jis_2004", "euc_jisx0213"),
]
"""What short texts are mistaken for, and what hardly any file is in: UTF-16 without a mark,
EBCDIC, and the rarer of the Japanese encodings."""

_DECLARABLE: Final = re.compile(
    r"iso-?8859-?\d+|windows-?\d+|cp\d+|latin\d|us-ascii|koi8-?[ru]|shift[_-]?jis|sjis|"
    r"euc-?\w\w|gb\w+|big5|macintosh|mac-?roman",
    re.IGNORECASE | re.ASCII,
)
"""Encodings that a file may declare: Python has others, which are none of text."""

_BINARY: Final = "It is not text but binary data of an unknown kind."
_GARBLED: Final = "Its bytes are no text in any known encoding; save it as UTF-8 to have it read."


def decode(content: bytes, declared: str = "") -> str:
    """The text of a file, its lines ended by newlines, without a byte order mark.

    Args:
        declared: the encoding that the file itself claims; believed where it is not UTF-8.

    Raises:
        DocumentError: it is binary, in no known encoding, or holds nothing but white space.
    """
    text = _decode(content, declared)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text or text.isspace():
        raise DocumentError("There is nothing but white space in it.")
    return text


def _decode(content: bytes, declared: str) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            try:
                return _checked(content.decode(encoding))
            except UnicodeDecodeError as error:
                raise DocumentError(
                    f"It begins as {encoding[:6].upper()} text but does not go on as such; "
                    "save it as UTF-8 to have it read."
                ) from error
    # A null character never stands in text; whatever holds one is something else.
    if b"\0" in content:
        raise DocumentError(_BINARY)
    num_controls = len(content) - len(content.translate(None, _CONTROLS))
    if num_controls > _MAX_CONTROL_SHARE * len(content):
        raise DocumentError(_BINARY)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if _DECLARABLE.fullmatch(declared):
        # What calls itself Latin-1 is Windows-1252 nearly always, and on the web by definition.
        is_latin = declared.lower() in ("iso-8859-1", "latin1", "us-ascii")
        try:
            return content.decode("cp1252" if is_latin else declared)
        except (LookupError, UnicodeDecodeError):
            pass  # files are often not in what they claim
    return _guess(content)


def _checked(text: str) -> str:
    if "\0" in text:
        raise DocumentError(_BINARY)
    return text


def _guess(content: bytes) -> str:
    """The text in the encoding that it is most likely in.

    Windows-1252, by far the most frequent, is tried before charset-normalizer, to which it and
    its neighbours look alike as long as a text has few accents.
    """
    if _is_western(content[:_SAMPLE_BYTES]):
        try:
            return content.decode("cp1252")
        except UnicodeDecodeError:
            pass
    import charset_normalizer

    best = charset_normalizer.from_bytes(content, cp_exclusion=_NEVER_GUESSED).best()
    if best is None:
        raise DocumentError(_GARBLED)
    try:
        return _checked(content.decode(best.encoding))
    except UnicodeDecodeError as error:
        raise DocumentError(_GARBLED) from error


def _is_western(sample: bytes) -> bool:
    runs = _HIGH_BYTES.findall(sample)
    num_high = sum(map(len, runs))
    if num_high > _MAX_LATIN_SHARE * len(sample) and num_high > 1:
        return False
    if num_high > _MAX_LATIN_RUN * len(runs):
        return False
    return _NOT_WESTERN.search(sample.decode("cp1252", "replace")) is None
