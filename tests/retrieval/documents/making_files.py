"""Makes small files of the binary formats, so that no test depends on a file from elsewhere."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence

import docx

_ENCRYPTION = (
    f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'11' * 32}> /U <{'22' * 32}> >> "
    "/ID [<00> <00>]"
)


def make_pdf(
    pages: Sequence[str],
    title: str = "",
    outline: Sequence[tuple[str, int]] = (),
    *,
    is_encrypted: bool = False,
) -> bytes:
    """A PDF in its plainest form, one string of lines a page.

    Args:
        outline: entries with their page, from 0.
        is_encrypted: say that a password is needed.
    """
    bodies: list[bytes] = []

    def add(body: str) -> int:
        bodies.append(body.encode("latin-1"))
        return len(bodies)

    num_first_page = 5
    page_numbers = [num_first_page + 2 * index for index in range(len(pages))]
    num_outline = num_first_page + 2 * len(pages)
    add(f"<< /Type /Catalog /Pages 2 0 R /Outlines {num_outline} 0 R >>")
    kids = " ".join(f"{number} 0 R" for number in page_numbers)
    add(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    add(f"<< /Title ({title}) >>")
    for number, page in zip(page_numbers, pages, strict=True):
        lines = " ".join(f"({line}) Tj T*" for line in page.split("\n"))
        stream = f"BT /F1 12 Tf 14 TL 72 720 Td {lines} ET" if page else ""
        add(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {number + 1} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        add(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    entries = [num_outline + 1 + index for index in range(len(outline))]
    ends = f"/First {entries[0]} 0 R /Last {entries[-1]} 0 R" if entries else ""
    add(f"<< /Type /Outlines {ends} /Count {len(entries)} >>")
    for index, (text, page_index) in enumerate(outline):
        following = f"/Next {entries[index] + 1} 0 R" if index + 1 < len(entries) else ""
        add(
            f"<< /Title ({text}) /Parent {num_outline} 0 R {following} "
            f"/Dest [{page_numbers[page_index]} 0 R /Fit] >>"
        )
    return _joined(bodies, _ENCRYPTION if is_encrypted else "")


def _joined(bodies: Sequence[bytes], trailer: str) -> bytes:
    file = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(bodies, start=1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    file += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = f"/Size {len(bodies) + 1} /Root 1 0 R /Info 4 0 R {trailer}"
    file += f"trailer\n<< {head} >>\n".encode()
    return bytes(file + b"startxref\n%d\n%%%%EOF\n" % start)


def make_zip(entries: Mapping[str, bytes | str]) -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def make_bomb(name: str, num_bytes: int, claimed_bytes: int | None = None) -> bytes:
    """A zip archive with one entry of zeros, for which none of them is ever held in memory.

    Args:
        num_bytes: a multiple of 1 MiB.
        claimed_bytes: what the archive says that it is; by default the truth.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # After a full flush, what follows does not refer back: the piece can be repeated.
    piece = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = piece * (num_bytes // 2**20) + packer.flush()
    size = num_bytes if claimed_bytes is None else claimed_bytes
    crc = zlib.crc32(bytes(min(size, 2**20)))
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, crc, len(packed), size, len(name), 0)
    local = b"PK\x03\x04" + fields + name.encode() + packed
    central = b"PK\x01\x02" + struct.pack("<H", 20) + fields + bytes(14) + name.encode()
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + b"PK\x05\x06" + end


def with_entry(archive: bytes, name: str, content: bytes | str) -> bytes:
    """An archive in which one entry is another, or is added."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        entries = {entry: source.read(entry) for entry in source.namelist()}
    return make_zip({**entries, name: content})


def make_word(title: str = "") -> bytes:
    """A Word document with headings, a list, a table and hidden text."""
    document = docx.Document()
    document.core_properties.title = title
    document.add_heading("The handbook", 0)
    document.add_paragraph("Some words come first.")
    document.add_heading("Tools", 1)
    document.add_paragraph("Hammer", style="List Bullet")
    document.add_paragraph("Saw", style="List Number")
    table = document.add_table(2, 2)
    for row, texts in zip(table.rows, (("Name", "Price"), ("Saw", "7")), strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    document.add_heading("Care", 2)
    paragraph = document.add_paragraph("Oil the ")
    paragraph.add_run("never shown ").font.hidden = True
    paragraph.add_run("sa")
    paragraph.add_run("w.")
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
)


def make_epub(pages: Mapping[str, str], order: Sequence[str], title: str = "A book") -> bytes:
    """An EPUB.

    Args:
        pages: by name, in the archive's order.
        order: the names in reading order.
    """
    items = "".join(
        f'<item id="{name}" href="text/{name}" media-type="application/xhtml+xml"/>'
        for name in pages
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in order)
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<metadata><dc:title>{title}</dc:title></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    return make_zip(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": CONTAINER,
            "OEBPS/book.opf": package,
            **{f"OEBPS/text/{name}": page for name, page in pages.items()},
        }
    )


def make_page(body: str, title: str = "x") -> str:
    """A page of an EPUB."""
    return (
        '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html>'
        f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>{title}</title></head>'
        f"<body>{body}</body></html>"
    )
