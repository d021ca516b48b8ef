"""What the archives of Microsoft Office have in common: parts that refer to each other."""

import posixpath
from typing import Final, NamedTuple

from chatbot.retrieval.documents.archive import Archive
from chatbot.retrieval.documents.document import DocumentError
from chatbot.retrieval.documents.formats.xml import attribute, parse_xml

OLE_MARK: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Of the container of the old formats, which encrypted documents are put into, too."""
_NO_TITLES: Final = (
    *("untitled", "document", "dokument", "word document", "title"),
    *("powerpoint presentation", "powerpoint-präsentation", "presentation"),
)


class Relation(NamedTuple):
    """What one part has to do with another one."""

    kind: str
    """``notesSlide``, ``officeDocument``."""
    part: str


def open_office(content: bytes, ending: str) -> Archive:
    """The archive that a file is.

    Args:
        ending: of the files that are read.

    Raises:
        DocumentError: it is none, or not safe to unpack.
    """
    if content.startswith(OLE_MARK):
        raise DocumentError(
            f"It is protected with a password or in an old format; save it as {ending} without one."
        )
    return Archive(content)


def main_part(archive: Archive, kind: str) -> str:
    """The name of the part that holds the text.

    Args:
        kind: of document, as it is called in what the user is told.

    Raises:
        DocumentError: there is none.
    """
    for relation in relations(archive, "").values():
        if relation.kind == "officeDocument":
            return relation.part
    raise DocumentError(f"It is no {kind}, whatever its name says.")


def relations(archive: Archive, part: str) -> dict[str, Relation]:
    """What a part refers to, by the names that it has for it; ``""`` is the whole.

    Raises:
        DocumentError: the whole refers to nothing, or a part is damaged.
    """
    folder, name = posixpath.split(part)
    listing = posixpath.join(folder, "_rels", f"{name}.rels")
    if part and listing not in archive:
        return {}
    found = {}
    for element in parse_xml(archive.read(listing)):
        kind = attribute(element, "Type").rpartition("/")[2]
        # Names within the archive, which are looked up and never paths.
        target = posixpath.normpath(posixpath.join("/", folder, attribute(element, "Target")))
        found[attribute(element, "Id")] = Relation(kind, target.lstrip("/"))
    return found


def title_of(archive: Archive) -> str:
    """The title that its author gave it; empty where it is what programs put there."""
    if "docProps/core.xml" not in archive:
        return ""
    for element in parse_xml(archive.read("docProps/core.xml")).iter("{*}title"):
        title = (element.text or "").strip()
        return "" if title.lower() in _NO_TITLES else title
    return ""
