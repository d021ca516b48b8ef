"""Models in the user's own folders: found by their files, listed once, with what they take."""

import os
from pathlib import Path

import pytest
from huggingface_hub import constants

from chatbot.models.folders import models_beside, models_in
from chatbot.models.listing import list_models
from chatbot.models.notebook import remember_import
from tests.engine.tiny_models import make_llama


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder, a folder of models in it, and another one to stand in."""
    home = tmp_path / "home"
    (home / "elsewhere").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "elsewhere")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return home


def touch(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    return file


def test_files_and_folders_are_found_and_parts_of_models_are_not(home: Path) -> None:
    models = home / "models"
    for name in (
        *("b.gguf", "A.GGUF", "maker/model/c-00001-of-00002.gguf", "maker/model/notes.txt"),
        *("maker/model/c-00002-of-00002.gguf", "maker/model/mmproj-f16.gguf", ".hidden/d.gguf"),
        *("folder/config.json", "folder/model.safetensors", "half/config.json"),
        *("far/too/deep/e.gguf", "evil\x1b[2J.gguf"),
    ):
        touch(models / name)
    os.symlink(models / "b.gguf", models / "z-again.gguf")
    os.symlink(models, models / "folder" / "loop")
    assert models_in(["~/models", "~/models/maker", "~/nowhere"]) == [
        "~/models/A.GGUF",
        "~/models/b.gguf",
        "~/models/folder",
        "~/models/maker/model/c-00001-of-00002.gguf",
    ]
    assert models_beside(models) == ["~/models/A.GGUF", "~/models/b.gguf", "~/models/folder"]


def test_no_more_is_looked_at_than_a_folder_of_models_holds(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.models.folders.MAX_ENTRIES", 20)
    for number in range(50):
        touch(home / "models" / f"{number:02}.gguf")
    assert len(models_in(["~/models"])) == 20


def test_the_list_has_them_once_with_their_sizes(home: Path) -> None:
    make_llama().save_pretrained(home / "models" / "tiny")
    make_llama().save_pretrained(home / "elsewhere" / "here")
    make_llama().save_pretrained(home / "models" / "named")
    touch(home / "models" / "broken.gguf")
    remember_import("mine", home / "models" / "named")
    listed = {facts.reference: facts for facts in list_models(["~/models/tiny/"], ["~/models"])}
    assert "~/models/tiny" not in listed  # it is in use under another spelling
    tiny, here = listed["~/models/tiny/"], listed["~/elsewhere/here"]
    for facts in (tiny, here, listed["mine"]):
        assert facts.is_here
        assert facts.shape is not None
        assert facts.shape.num_parameters == make_llama().num_parameters()
    assert "~/models/named" not in listed
    assert "not a usable GGUF file" in listed["~/models/broken.gguf"].problem
