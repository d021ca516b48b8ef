"""Makes slides, spreadsheets and OpenDocument files."""

import datetime
import io
from collections.abc import Mapping, Sequence

import odfdo
import xlsxwriter

from tests.retrieval.documents.making_files import make_zip

_OFFICE = "http://schemas.openxmlformats.org"
_NAMESPACES = (
    f'xmlns:a="{_OFFICE}/drawingml/2006/main" xmlns:p="{_OFFICE}/presentationml/2006/main" '
    f'xmlns:r="{_OFFICE}/officeDocument/2006/relationships"'
)


def make_shape(*paragraphs: str, place: str | None = None, facts: str = "") -> str:
    """A shape of a slide; a paragraph that begins with a tabulator is a point below a point.

    Args:
        place: the kind of place of the layout that it fills.
        facts: attributes of its properties.
    """
    filled = "" if place is None else f'<p:ph type="{place}"/>' if place else '<p:ph idx="1"/>'
    texts = "".join(map(_paragraph, paragraphs))
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="2" name="x" {facts}/><p:cNvSpPr/><p:nvPr>{filled}</p:nvPr>'
        f"</p:nvSpPr><p:txBody>{texts}</p:txBody></p:sp>"
    )


def make_table(rows: Sequence[Sequence[str]]) -> str:
    """A table on a slide."""
    cells = (("".join(f"<a:tc>{_paragraph(text)}</a:tc>" for text in row)) for row in rows)
    table = "".join(f"<a:tr>{row}</a:tr>" for row in cells)
    return f"<p:graphicFrame><a:graphic><a:tbl>{table}</a:tbl></a:graphic></p:graphicFrame>"


def _paragraph(text: str) -> str:
    level = '<a:pPr lvl="1"/>' if text.startswith("\t") else ""
    return f"<a:p>{level}<a:r><a:t>{text.strip()}</a:t></a:r></a:p>"


def make_slides(slides: Sequence[str], notes: Mapping[int, str] | None = None) -> bytes:
    """A PowerPoint presentation.

    Args:
        slides: the shapes of each; one that begins with ``hidden`` is hidden.
        notes: of the speaker, by the slide's index.
    """
    kinds = f"{_OFFICE}/officeDocument/2006/relationships"

    def relations(*targets: tuple[str, str]) -> str:
        items = "".join(
            f'<Relationship Id="rId{number}" Type="{kinds}/{kind}" Target="{target}"/>'
            for number, (kind, target) in enumerate(targets, 1)
        )
        return f"<Relationships>{items}</Relationships>"

    def tree(name: str, shapes: str, attributes: str = "") -> str:
        return (
            f"<p:{name} {_NAMESPACES} {attributes}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld>"
            f"</p:{name}>"
        )

    # In the archive the last slide is slide1.xml: their names say nothing of their order.
    names = [f"slides/slide{number}.xml" for number in range(len(slides), 0, -1)]
    ids = "".join(f'<p:sldId id="{256 + n}" r:id="rId{n}"/>' for n in range(1, len(slides) + 1))
    entries = {
        "_rels/.rels": relations(("officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": (
            f"<p:presentation {_NAMESPACES}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"
        ),
        "ppt/_rels/presentation.xml.rels": relations(*(("slide", name) for name in names)),
    }
    for index, (name, shapes) in enumerate(zip(names, slides, strict=True)):
        shown = shapes.removeprefix("hidden")
        entries[f"ppt/{name}"] = tree("sld", shown, 'show="0"' if shown != shapes else "")
        if notes and index in notes:
            listing = f"ppt/slides/_rels/{name.removeprefix('slides/')}.rels"
            entries[listing] = relations(("notesSlide", f"../notesSlides/{index}.xml"))
            entries[f"ppt/notesSlides/{index}.xml"] = tree(
                "notes", make_shape(notes[index], place="body") + make_shape("7", place="sldNum")
            )
    return make_zip(entries)


def make_sheets(sheets: Mapping[str, Sequence[Sequence[object]]], hidden: str = "") -> bytes:
    """An Excel workbook, by the rows of each sheet; a formula is a pair with its value.

    Args:
        hidden: the name of a sheet.
    """
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for row, values in enumerate(rows):
                for column, value in enumerate(values):
                    if isinstance(value, tuple):
                        sheet.write_formula(row, column, value[0], None, value[1])
                    elif isinstance(value, datetime.date):
                        is_moment = isinstance(value, datetime.datetime)
                        sheet.write_datetime(row, column, value, moment if is_moment else day)
                    else:
                        sheet.write(row, column, value)
            if name == hidden:
                sheet.hide()
    return file.getvalue()


def make_opendocument(kind: str, *elements: str, title: str = "") -> bytes:
    """An OpenDocument file of a kind (``text``, ``presentation``) with these elements."""
    document = odfdo.Document(kind)
    document.meta.title = title
    document.body.clear()
    for element in elements:
        document.body.append(odfdo.Element.from_tag(element))
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def make_open_spreadsheet(name: str, rows: Sequence[Sequence[object]]) -> bytes:
    """An OpenDocument spreadsheet with one sheet."""
    document = odfdo.Document("spreadsheet")
    document.body.clear()
    table = odfdo.Table(name)
    table.set_values(rows)
    document.body.append(table)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()
