"""EPUB: the chapters, in the order in which they are to be read.

Each chapter is a page of XHTML, found through the book's own table; everything else in the
archive (pictures, fonts, scripts) stays packed.
"""

import posixpath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from chatbot.retrieval.documents.archive import MAX_ENTRY_BYTES, Archive
from chatbot.retrieval.documents.decoding import decode
from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.formats.html import add_page, parse_html
from chatbot.retrieval.documents.formats.xml import attribute, parse_xml, spell_out_entities
from chatbot.retrieval.documents.text_builder import TextBuilder
from chatbot.wording import memory

_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"
_PAGE_TYPES: Final = ("application/xhtml+xml", "text/html", "application/xml", "text/xml")


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    archive = Archive(content)
    package_name = _package_name(archive)
    package = parse_xml(archive.read(package_name))
    pages = _pages(package, posixpath.dirname(package_name))
    if locked := _encrypted(archive).intersection(pages):
        raise DocumentError(
            f"It is copy-protected: {len(locked)} of its chapters are encrypted and not read."
        )
    builder = TextBuilder()
    num_bytes = 0
    for page in pages:
        markup = archive.read(page)
        num_bytes += len(markup)
        if num_bytes > MAX_ENTRY_BYTES:
            raise DocumentError(
                f"It is refused: its chapters unpack to over {memory(MAX_ENTRY_BYTES)}; "
                "split it to have it read."
            )
        add_page(_parse(markup), builder)
    return builder.build(kind, name, _title(package))


def _package_name(archive: Archive) -> str:
    """The entry that describes the book."""
    if _CONTAINER not in archive:
        raise DocumentError("It is no EPUB, whatever its name says.")
    for root_file in parse_xml(archive.read(_CONTAINER)).iter("{*}rootfile"):
        return _entry_name("", attribute(root_file, "full-path"))
    raise DocumentError("It is damaged: it does not say where its text is.")


def _pages(package: Any, folder: str) -> list[str]:
    """The chapters' entries, in reading order, each once."""
    items = {
        attribute(item, "id"): _entry_name(folder, attribute(item, "href"))
        for item in package.iter("{*}item")
        if attribute(item, "media-type").lower() in _PAGE_TYPES
    }
    order = (attribute(reference, "idref") for reference in package.iter("{*}itemref"))
    return list(dict.fromkeys(items[key] for key in order if key in items))


def _entry_name(folder: str, address: str) -> str:
    """The entry that an address stands for; the result is looked up, and never a path."""
    try:
        path = unquote(urlsplit(address).path)
    except ValueError as error:
        raise DocumentError("It is damaged: an address in it is impossible.") from error
    return posixpath.normpath(posixpath.join(folder, path)).lstrip("/")


def _encrypted(archive: Archive) -> set[str]:
    """The entries that are encrypted; fonts are, in many books that can be read."""
    if _ENCRYPTION not in archive:
        return set()
    root = parse_xml(archive.read(_ENCRYPTION))
    return {
        _entry_name("", attribute(reference, "URI"))
        for reference in root.iter("{*}CipherReference")
    }


def _title(package: Any) -> str:
    for element in package.iter("{*}title"):
        return "".join(element.itertext())
    return ""


def _parse(markup: bytes) -> Any:
    """A chapter's tree: as the XML that it should be, else as the page that it is."""
    try:
        return parse_xml(spell_out_entities(markup))
    except DocumentError as error:
        if not isinstance(error.__cause__, Exception):
            raise  # refused, not broken
        return parse_html(decode(markup))
