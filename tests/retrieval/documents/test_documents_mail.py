import random
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

import pytest

from chatbot.retrieval.documents.document import DocumentError
from chatbot.retrieval.documents.formats import mail
from chatbot.retrieval.documents.reading import read_document
from tests.retrieval.documents.test_documents_fuzz import mutate


def make_mail(text: str, subject: str, encoding: str = "quoted-printable") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "Jürgen <j@a.org>", "Anna <anna@a.org>"
    message["Subject"] = subject
    message.set_content(text, cte=encoding)
    return message


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64"])
def test_a_mail_is_what_was_written_and_not_how_it_was_sent(tmp_path: Path, encoding: str) -> None:
    message = make_mail(f"Im Königshof.\n\n{'sehr ' * 30}weit\n", "Über München", encoding)
    message.add_alternative("<p>the same as a page</p>", subtype="html")
    (tmp_path / "a.eml").write_bytes(message.as_bytes())
    document = read_document(tmp_path, "a.eml")
    assert (document.kind, document.title) == ("E-mail", "Über München")
    assert document.text == (
        "From: Jürgen <j@a.org>\nTo: Anna <anna@a.org>\nSubject: Über München\n\n"
        f"Im Königshof.\n\n{'sehr ' * 30}weit"
    )


def test_a_mail_that_is_only_a_page_is_what_a_reader_sees() -> None:
    message = EmailMessage()
    message.set_content("<p>One<br>two<p hidden>no", subtype="html")
    assert mail.read("a.eml", "E-mail", message.as_bytes()).text == "One\ntwo"


def test_what_is_forwarded_is_read_and_what_is_attached_is_named() -> None:
    message = make_mail("See below.", "Fw: plan")
    message.add_attachment(make_mail("The plan.", "plan"))
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="größe.pdf")
    text = mail.read("a.eml", "E-mail", message.as_bytes()).text
    assert text.index("See below.") < text.index("Subject: plan\n\nThe plan.")
    assert text.endswith("Attachment: größe.pdf")


def test_a_page_saved_as_one_file_is_that_page(tmp_path: Path) -> None:
    page = EmailMessage()
    page["From"], page["Subject"] = "<Saved by Blink>", "other"
    page.set_content("<title>Betz</title><h1>Law</h1><p>59 % größer", subtype="html")
    page.add_related(b"p { color: red }", maintype="text", subtype="css")
    (tmp_path / "a.mhtml").write_bytes(page.as_bytes())
    document = read_document(tmp_path, "a.mhtml")
    assert (document.kind, document.title) == ("MHTML", "Betz")
    assert document.text == "Law\n\n59 % größer"


def test_a_mail_in_a_mail_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(b"Content-Type: message/rfc822\n\n" * 3000 + b"text")
    with pytest.raises(DocumentError, match="nested too deeply"):
        read_document(tmp_path, "a.eml")


def test_broken_mails_are_read_or_refused() -> None:
    message = make_mail("Text ü", "Subject ü", "base64")
    message.add_alternative("<p>the same</p>", subtype="html")
    message.add_attachment(make_mail("Inner", "inner"))
    seed, chance = message.as_bytes(), random.Random(3)
    num_read = 0
    for _ in range(300):
        with suppress(DocumentError):
            num_read += bool(mail.read("a.eml", "E-mail", mutate(seed, chance)).text)
    assert num_read > 200
