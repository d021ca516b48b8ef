"""Damaged and hostile models in the real process: one sentence each, nothing run, it lives."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatbot.engine.client import EngineClient, LoadOptions
from chatbot.engine.failures import is_device_lost
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.prompt import Render
from chatbot.errors import ModelError, WorkerError
from tests.engine.running_engine import RunningEngine

QUESTION = [{"role": "user", "content": "Hi?"}]
CANARY = "ran.txt"


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (self.mark.write_text, ("ran",))


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-200])


def claim_an_absurd_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")


def claim_absurd_tensors(folder: Path) -> None:
    entry = {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 2**62]}
    header = json.dumps({"a": entry}).encode()
    raw = struct.pack("<Q", len(header)) + header
    (folder / "model.safetensors").write_bytes(raw)


def put_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(folder / CANARY)))


def pickle_in_disguise(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb(folder / CANARY)))


def name_code(folder: Path) -> None:
    edit(folder / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.Config"})
    (folder / "evil.py").write_text(f"open({str(folder / CANARY)!r}, 'w').write('ran')")


def name_tokenizer_code(folder: Path) -> None:
    edit(
        folder / "tokenizer_config.json",
        tokenizer_class="EvilTokenizer",
        auto_map={"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]},
    )
    (folder / "evil.py").write_text(f"open({str(folder / CANARY)!r}, 'w').write('ran')")


def claim_absurd_layers(folder: Path) -> None:
    edit(folder / "config.json", num_hidden_layers=2**50)


def claim_too_many_layers(folder: Path) -> None:
    edit(folder / "config.json", num_hidden_layers=5, layer_types=None)


def nest_the_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"a":' * 100_000)


CASES: list[tuple[Callable[[Path], None], str]] = [
    (cut_weights, "damaged"),
    (claim_an_absurd_header, "damaged"),
    (claim_absurd_tensors, "damaged"),
    (put_a_pickle, "can run any code"),
    (pickle_in_disguise, "damaged"),
    (name_code, "not run unless you allow it"),
    (claim_absurd_layers, "absurd"),
    (claim_too_many_layers, "incomplete"),
    (nest_the_config, "damaged"),
]


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def check_alive(engine: RunningEngine, good: Path) -> None:
    loaded = engine.ask("Load", model=str(good), precision="fp32")
    assert loaded["type"] == "Loaded", loaded
    assert engine.ask("Render", messages=QUESTION)["type"] == "Rendered"


@pytest.mark.parametrize(("spoil", "words"), CASES, ids=[case[0].__name__ for case in CASES])
def test_each_has_its_sentence(
    engine: RunningEngine,
    folder: Path,
    tiny_folder: Path,
    spoil: Callable[[Path], None],
    words: str,
) -> None:
    spoil(folder)
    failed = engine.ask("Load", model=str(folder), precision="fp32")
    assert failed["type"] == "Failed"
    assert words in failed["message"]
    assert "\n" not in failed["message"]
    assert not (folder / CANARY).exists()
    check_alive(engine, tiny_folder)


def test_tokenizer_code_is_not_run(engine: RunningEngine, folder: Path) -> None:
    name_tokenizer_code(folder)
    engine.ask("Load", model=str(folder), precision="fp32")
    assert not (folder / CANARY).exists()


def test_a_gguf_with_absurd_sizes(engine: RunningEngine, tmp_path: Path, tiny_folder: Path) -> None:
    file = tmp_path / "evil.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60) + bytes(64))
    failed = engine.ask("Load", model=str(file), precision="fp32")
    assert "absurd size" in failed["message"]
    check_alive(engine, tiny_folder)


def doubling(expression: str) -> str:
    step = f"{{% set ns.a = {expression} %}}"
    return f"{{% set ns = namespace(a='a') %}}{{% for i in range(60) %}}{step}{{% endfor %}}"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}a{% endfor %}{% endfor %}",
            "stopped",
        ),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "refuses"),
        ("{{ 'a' * 10 ** 11 }}", "absurdly large"),
        (doubling("ns.a + ns.a"), "GiB of memory"),
        (doubling("ns.a ~ ns.a"), "GiB of memory"),
        (doubling("[ns.a, ns.a]|join"), "GiB of memory"),
        ("{{ ('a' * 1000000)|replace('a', 'b' * 9000) }}", "GiB of memory"),
    ],
)
def test_a_hostile_template(
    engine: RunningEngine, folder: Path, tiny_folder: Path, template: str, words: str
) -> None:
    (folder / "chat_template.jinja").write_text(template)
    edit(folder / "tokenizer_config.json", chat_template=template)
    assert engine.ask("Load", model=str(folder), precision="fp32")["type"] == "Loaded"
    failed = engine.ask("Render", messages=QUESTION)
    assert failed["type"] == "Failed"
    assert words in failed["message"]
    check_alive(engine, tiny_folder)


async def test_a_template_that_hangs_in_one_step_ends_the_engine_and_says_so(
    folder: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    """Nothing of Python's has a turn meanwhile: no time limit, no request to stop."""
    (folder / "chat_template.jinja").write_text(doubling("[ns.a, ns.a]") + "{{ ns.a }}")
    client = EngineClient(tmp_path / "engine.log")
    try:
        await client.ensure_loaded(str(folder), "fp32")
        with pytest.raises(WorkerError, match=r"hung it; use another model or adapter\.$"):
            await client.render(Render(messages=(ChatMessage("user", "Hi?"),)))
        assert (await client.ensure_loaded(str(tiny_folder), "fp32")).name == str(tiny_folder)
    finally:
        await client.close()


def test_an_error_that_is_raised_from_itself_is_looked_at_once() -> None:
    error = ModelError("It is damaged.")
    error.__cause__ = error
    assert not is_device_lost(error)


def split_by(expression: str, folder: Path) -> None:
    """Have the tokenizer cut texts by an expression."""
    split = {
        "type": "Split",
        "pattern": {"Regex": expression},
        "behavior": "Isolated",
        "invert": False,
    }
    edit(folder / "tokenizer.json", pre_tokenizer=split)


def test_a_tokenizer_that_gives_up_has_its_sentence(
    engine: RunningEngine, folder: Path, tiny_folder: Path
) -> None:
    split_by("(a+)+$", folder)
    assert engine.ask("Load", model=str(folder), precision="fp32")["type"] == "Loaded"
    failed = engine.ask("Render", messages=[{"role": "user", "content": "a" * 40 + "!"}])
    assert failed["type"] == "Failed"
    assert "retry-limit-in-match over); use another model." in failed["message"]
    check_alive(engine, tiny_folder)


async def test_a_tokenizer_that_hangs_ends_the_engine_and_says_so(
    folder: Path, tmp_path: Path
) -> None:
    """Each place of the text takes it less than what it gives up at."""
    split_by(r"(?:.|.){20}[^\s\S]", folder)
    client = EngineClient(tmp_path / "engine.log")
    try:
        await client.ensure_loaded(str(folder), "fp32")
        with pytest.raises(WorkerError, match=r"hung it; use another model or adapter\.$"):
            await client.render(Render(messages=(ChatMessage("user", "ab " * 4000),)))
    finally:
        await client.close()


def bring_code(folder: Path) -> None:
    """Make a model of it that cannot do without program code of its own."""
    edit(
        folder / "config.json",
        model_type="own-llama",
        architectures=["OwnModel"],
        auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    )
    (folder / "own.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own-llama'\n"
        "class OwnModel(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )


async def test_what_is_allowed_to_a_model_is_not_to_a_folder_of_its_name(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one in a repository of somebody else's, in which the program is started."""
    here = Path(shutil.copytree(tiny_folder, tmp_path / "org" / "name"))
    bring_code(here)
    monkeypatch.chdir(tmp_path)
    client = EngineClient(tmp_path / "engine.log")
    try:
        client.options = LoadOptions(allow_code=frozenset({"org/name@"}))
        with pytest.raises(ModelError, match="not run unless you allow it"):
            await client.ensure_loaded("./org/name", "fp32")
        client.options = LoadOptions(allow_code=frozenset({str(here)}))
        assert (await client.ensure_loaded("./org/name", "fp32")).name == "./org/name"
    finally:
        await client.close()


async def test_code_is_allowed_as_it_was_on_that_day(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    then, now = "1" * 40, "2" * 40
    repo = tmp_path / "hub" / "models--org--name"
    for commit in (then, now):
        bring_code(Path(shutil.copytree(tiny_folder, repo / "snapshots" / commit)))
    (repo / "refs").mkdir()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    client = EngineClient(tmp_path / "engine.log")
    client.options = LoadOptions(allow_code=frozenset({f"org/name@{then}"}))
    try:
        (repo / "refs" / "main").write_text(now)
        with pytest.raises(ModelError, match="unless you allow it for this model as it is now"):
            await client.ensure_loaded("org/name", "fp32")
        (repo / "refs" / "main").write_text(then)
        assert (await client.ensure_loaded("org/name", "fp32")).name == "org/name"
    finally:
        await client.close()


def test_code_of_another_model_is_not_run(engine: RunningEngine, folder: Path) -> None:
    bring_code(folder)
    edit(folder / "config.json", auto_map={"AutoConfig": "org/other--own.OwnConfig"})
    refused = engine.ask("Load", model=str(folder), precision="fp32", allows_code=True)
    assert "code of another model in its config.json" in refused["message"]


def test_code_runs_only_where_it_is_allowed(engine: RunningEngine, folder: Path) -> None:
    bring_code(folder)
    refused = engine.ask("Load", model=str(folder), precision="fp32")
    assert "not run unless you allow it" in refused["message"]
    loaded = engine.ask("Load", model=str(folder), precision="fp32", allows_code=True)
    assert loaded["type"] == "Loaded", loaded
    assert (
        engine.ask("Generate", messages=QUESTION, sampling={"temperature": 0, "max_tokens": 2})[
            "type"
        ]
        == "Generated"
    )
