"""E-mail, and web pages that a browser saved as one file (MHTML), which are built like one.

Of a message its plain text is taken, else its page as a reader would see it. Messages that are
forwarded in it are read too; other attachments are named, and stay packed.
"""

from email import policy
from email.headerregistry import HeaderRegistry
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser
from typing import Final

from chatbot.retrieval.documents.decoding import decode
from chatbot.retrieval.documents.document import Document
from chatbot.retrieval.documents.formats.html import add_page, parse_html, title_of
from chatbot.retrieval.documents.text_builder import TextBuilder

MHTML: Final = "MHTML"
_HEADERS: Final = ("From", "To", "Cc", "Date", "Subject")
_TEXTS: Final = ("text/plain", "text/html")

# Addresses and dates are shown as they stand: the library's parser of them fails at broken ones.
_FACTORY: Final = HeaderRegistry()
for _header in _HEADERS:
    del _FACTORY.registry[_header.lower()]
_POLICY: Final = policy.default.clone(header_factory=_FACTORY)


def read(name: str, kind: str, content: bytes) -> Document:
    """See ``formats``."""
    message = BytesParser(EmailMessage, policy=_POLICY).parsebytes(content)
    builder = TextBuilder()
    title = ""
    if kind == MHTML:
        if page := message.get_body(("html",)):
            title = _add_text(page, builder)
    else:
        _add_message(message, builder)
    return builder.build(kind, name, title or str(message["Subject"] or ""))


def _add_message(message: EmailMessage, builder: TextBuilder) -> None:
    builder.end_block()
    for header in _HEADERS:
        if value := message[header]:
            builder.add(f"{header}: {value}")
            builder.end_line()
    if body := message.get_body(("plain", "html")):
        _add_text(body, builder)
    for part in message.iter_attachments():
        kind = part.get_content_type()
        if kind == "message/rfc822" and isinstance(inner := part.get_payload(0), EmailMessage):
            _add_message(inner, builder)
        elif part.is_attachment():
            builder.end_line()
            builder.add(f"Attachment: {part.get_filename() or kind}")
        elif kind in _TEXTS:
            _add_text(part, builder)


def _add_text(part: MIMEPart, builder: TextBuilder) -> str:
    """Add what a part says; returns the title of a page."""
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes) or not content.strip():
        return ""
    text = decode(content, part.get_content_charset(""))
    builder.end_block()
    if part.get_content_subtype() != "html":
        builder.add_lines(text.strip())
        return ""
    root = parse_html(text)
    add_page(root, builder)
    return title_of(root)
