"""Notebooks: what is text in them, and what is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.formats import notebook
from chatbot.retrieval.documents.reading import read_document


def read(content: Any) -> Document:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return notebook.read("a.ipynb", "Jupyter notebook", raw)


def code(source: Any, *outputs: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": {"x": 1}}


PRINTED = {"output_type": "stream", "name": "stdout", "text": ["42\n", "43\n"]}
PICTURE = {"output_type": "display_data", "data": {"image/png": "iVBORw0" * 999}}
TABLE = {
    "output_type": "execute_result",
    "data": {"text/plain": ["a  b"], "text/html": "<table>"},
}
FAILED = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["\x1b[0"]}


def test_cells_and_what_they_printed(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Sales\n", "\n", "By *month*."]},
        code(["x = 42\n", "print(x)"], PRINTED, PICTURE),
        code("", TABLE),
        code("raise ValueError", FAILED),
        {"cell_type": "raw", "source": "as it is"},
        code("  \n"),
    ]
    content = {"cells": cells, "metadata": {"language_info": {"name": "julia"}}, "nbformat": 4}
    (tmp_path / "a.ipynb").write_text(json.dumps(content))
    document = read_document(tmp_path, "a.ipynb")
    assert document.text == (
        "# Sales\n\nBy *month*.\n\n"
        "```julia\nx = 42\nprint(x)\n```\n\n```\n42\n43\n```\n\n"
        "```\na  b\n```\n\n"
        "```julia\nraise ValueError\n```\n\n```\nValueError: no\n```\n\n"
        "as it is"
    )
    assert (document.kind, document.title) == ("Jupyter notebook", "Sales")
    assert [heading.text for heading in document.headings] == ["Sales"]


def test_a_notebook_from_before_2014() -> None:
    printed = {"output_type": "pyout", "text": ["2"]}
    cell = {"cell_type": "code", "input": "1 + 1", "outputs": [printed]}
    old = {"worksheets": [{"cells": [cell]}], "nbformat": 3}
    assert read(old).text == "```python\n1 + 1\n```\n\n```\n2\n```"


def test_nothing_in_a_cell_ends_its_fence_and_a_flood_is_cut() -> None:
    cell = code('s = """\n```\n# no heading\n"""', {"output_type": "stream", "text": "x" * 9999})
    document = read({"cells": [cell], "metadata": {"language_info": {"name": "a b`"}}})
    assert document.text.startswith("````\ns =")
    assert document.headings == ()
    assert document.text.endswith("x" * 9 + "…\n```")
    assert len(document.text) < 2200


@pytest.mark.parametrize(
    "content",
    [
        *(b"{", [], {}, "text", {"cells": 3}, {"cells": [3]}, {"cells": [{"source": 3}]}),
        {"cells": [code("x", 3)]},
        {"cells": [code("x", {"data": [1]})]},
        {"cells": [], "metadata": 3},
        {"cells": [code(" ")]},
    ],
)
def test_what_is_no_notebook_is_said(content: Any) -> None:
    with pytest.raises(DocumentError, match=r"It is damaged|No cell of it"):
        read(content)


def test_too_much_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "MAX_TEXT_CHARACTERS", 20)
    with pytest.raises(DocumentError, match="more than 20 characters"):
        read({"cells": [code("x" * 30)]})
