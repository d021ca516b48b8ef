"""Parses the XML within archives: no entities, no document types from elsewhere, no network."""

import re
from html.entities import name2codepoint
from typing import Any, Final

from lxml import etree

from chatbot.retrieval.documents.document import DocumentError

SAFE: Final = {
    "resolve_entities": False,
    "load_dtd": False,
    "no_network": True,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}
"""What every parser of XML is told, since documents come from anywhere."""

_ENTITY: Final = re.compile(rb"&(\w+);")
_PREDEFINED: Final = (b"amp", b"lt", b"gt", b"quot", b"apos")


def check_xml(content: bytes) -> None:
    """Refuse XML that declares entities, with which a few lines can stand for gigabytes.

    Raises:
        DocumentError: it does.
    """
    # Without the null characters of UTF-16, in which a declaration could hide.
    if b"<!ENTITY" in content or (b"\0" in content and b"<!ENTITY" in content.replace(b"\0", b"")):
        raise DocumentError("It is refused: it declares entities, which documents have no need of.")


def parse_xml(content: bytes) -> Any:
    """The root element.

    Raises:
        DocumentError: it is no XML, declares entities or is nested too deeply.
    """
    check_xml(content)
    try:
        return etree.fromstring(content, etree.XMLParser(**SAFE))
    except (etree.LxmlError, ValueError) as error:
        raise DocumentError("It is damaged: a part of it is not valid XML.") from error


def spell_out_entities(content: bytes) -> bytes:
    """HTML's names for characters as numbers: XML knows five of them only."""
    return _ENTITY.sub(_spelt_out, content)


def _spelt_out(entity: re.Match[bytes]) -> bytes:
    name = entity[1]
    code = name2codepoint.get(name.decode("ascii", "replace"))
    return entity[0] if code is None or name in _PREDEFINED else b"&#%d;" % code


def local_name(element: Any) -> str:
    """An element's name, without its namespace."""
    return str(element.tag).rpartition("}")[2]


def attribute(element: Any, name: str) -> str:
    """The value of an attribute, whatever its namespace; empty where there is none."""
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == name:
            return str(value)
    return ""
