"""Heads of safetensors files: refused with a sentence whatever is missing in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from chatbot.errors import ModelError
from chatbot.models.facts import facts_of_folder, shape_of_folder
from chatbot.models.safetensors_header import count_tensors, read_tensors

ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def write_header(file: Path, entry: dict[str, Any]) -> Path:
    """A file with one tensor of four bytes."""
    header = json.dumps({"a": entry}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    return file


def test_a_header_in_order(tmp_path: Path) -> None:
    file = write_header(tmp_path / "model.safetensors", ENTRY)
    assert read_tensors(file) == {"a": ENTRY}
    assert count_tensors([file]).dtype == "F32"


@pytest.mark.parametrize("missing", ENTRY)
def test_an_entry_that_is_not_whole(tmp_path: Path, missing: str) -> None:
    entry = {key: value for key, value in ENTRY.items() if key != missing}
    file = write_header(tmp_path / "model.safetensors", entry)
    with pytest.raises(ModelError, match="its header is not readable"):
        read_tensors(file)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    facts_of_folder("own", tmp_path)  # one such model hides no others in a list
    shape_of_folder(tmp_path)


@pytest.mark.parametrize(
    "change", [{"dtype": 1}, {"shape": [-1]}, {"data_offsets": [0, "4"]}, {"data_offsets": [0, -1]}]
)
def test_an_entry_of_other_kinds(tmp_path: Path, change: dict[str, Any]) -> None:
    file = write_header(tmp_path / "model.safetensors", {**ENTRY, **change})
    with pytest.raises(ModelError, match="its header is not readable"):
        read_tensors(file)
