"""What can be loaded, and one clear sentence for everything that cannot."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from chatbot.engine.client import EngineClient
from chatbot.engine.finding import find_model
from chatbot.errors import ModelError, WorkerError
from chatbot.weights import SMOLLM2


def quiet(stage: str, fraction: float | None) -> None:
    """Report nothing."""


def refusal(reference: object) -> str:
    with pytest.raises(ModelError) as caught:
        find_model(str(reference), quiet)
    text = str(caught.value)
    assert "\n" not in text
    assert "Traceback" not in text
    return text


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to spoil."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def edit(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **changes}))


def test_a_folder_is_found(tiny_folder: Path) -> None:
    found = find_model(str(tiny_folder), quiet)
    assert found.folder == tiny_folder
    assert found.name == str(tiny_folder)


def test_an_unknown_name_lists_what_there_is() -> None:
    assert "smollm2-135m" in refusal("no-such-model")


def test_a_hub_id_that_is_not_cached_while_offline() -> None:
    assert "not on this machine" in refusal("some-org/some-model")


def test_a_folder_does_not_pass_for_a_model_of_the_hub(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one in a repository of somebody else's, in which the program is started."""
    shutil.copytree(tiny_folder, tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    assert refusal("org/name").endswith("for what lies here under that name give ./org/name")
    assert find_model("./org/name", quiet).folder == Path("org/name")
    hub = tmp_path / "hub"
    cached = hub / "models--org--name" / "snapshots" / ("1" * 40)
    shutil.copytree(tiny_folder, cached)
    (hub / "models--org--name" / "refs").mkdir()
    (hub / "models--org--name" / "refs" / "main").write_text("1" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    assert find_model("org/name", quiet).folder == cached


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "no.gguf")


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"x")
    assert "neither" in refusal(file)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "config.json" in refusal(tmp_path)


def test_pickled_weights_are_refused_with_the_reason(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "can run any code" in refusal(folder)


def test_no_weights_at_all(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "no .safetensors" in refusal(folder)


def test_truncated_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "damaged" in refusal(folder)


def test_a_missing_shard(folder: Path) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-1.safetensors is missing" in refusal(folder)


@pytest.mark.parametrize("content", ["{", "[]", "\x00"])
def test_a_damaged_configuration(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    assert "damaged" in refusal(folder)


def test_a_kind_of_model_nobody_knows(folder: Path) -> None:
    edit(folder / "config.json", model_type="nonesuch")
    assert "nonesuch" in refusal(folder)


def test_a_model_with_code_of_its_own(folder: Path) -> None:
    edit(folder / "config.json", model_type="nonesuch", auto_map={"AutoConfig": "evil.Config"})
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    assert "not run unless you allow it" in refusal(folder)


def test_code_beside_a_known_kind_of_model_is_left_alone(folder: Path) -> None:
    for name in ("config.json", "tokenizer_config.json"):
        edit(
            folder / name,
            auto_map={"AutoConfig": "evil.Config", "AutoTokenizer": ["evil.Tokenizer", None]},
        )
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    assert find_model(str(folder), quiet).config.model_type == "llama"


def test_a_model_that_writes_no_text(folder: Path) -> None:
    edit(folder / "config.json", model_type="vit")
    assert "writes text" in refusal(folder)


def test_a_missing_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert "tokenizer" in refusal(folder)


def test_missing_weights_of_the_catalogue_name_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(SMOLLM2), "find", lambda self: None)
    assert SMOLLM2.install_command in refusal("smollm2-135m")


def test_altered_weights_of_the_catalogue_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"GGUF" + bytes(100))
    monkeypatch.setattr(type(SMOLLM2), "find", lambda self: fake)
    assert "not what was published" in refusal("SmolLM2-135M")


async def test_what_stands_for_nothing_is_refused_without_a_process(tmp_path: Path) -> None:
    client = EngineClient(tmp_path / "engine.log", ("/no/such/command",))
    with pytest.raises(ModelError, match="no model 'nosuch'"):
        await client.ensure_loaded("nosuch", "fp32")
    assert client.pid is None
    assert client.status.state == "failed"
    with pytest.raises(WorkerError):  # which this one cannot start
        await client.ensure_loaded(str(tmp_path), "fp32")
