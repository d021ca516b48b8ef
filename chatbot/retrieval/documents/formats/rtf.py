"""RTF, which most word processors write: its text, without pictures and without what is hidden."""

import re
from typing import Final

from striprtf.striprtf import rtf_to_text

from chatbot.retrieval.documents.document import Document, DocumentError, check_length, fold
from chatbot.retrieval.documents.limits import MAX_TEXT_CHARACTERS

_MARK: Final = b"{\\rtf"
_PICTURE: Final = re.compile(r"[0-9a-fA-F\r\n]{200,}")
"""Bytes of a picture in hexadecimal digits, which are most of a file that has one."""
_HIDDEN: Final = re.compile(r"(?<!\\)\\v(?![a-z0-9-])")
_GAPS: Final = re.compile(r"[^\S\n]*\n\s*\n")


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    if not content.startswith(_MARK):
        raise DocumentError("It is no RTF, whatever its name says.")
    source = _PICTURE.sub("", content.decode("cp1252", "replace"))
    try:
        # A hidden group is made one that readers who do not know it pass over.
        text = rtf_to_text(_HIDDEN.sub(r"\\*", source), errors="replace")
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise DocumentError("It is damaged: its text cannot be read.") from error
    # Characters beyond 16 bits stand there as two halves.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = _GAPS.sub("\n\n", text.replace("\r", "\n").replace("\0", "")).strip()
    if not text:
        raise DocumentError("There is no text in it.")
    check_length(len(text), MAX_TEXT_CHARACTERS)
    return Document(kind=kind, title=fold(name), text=text)
