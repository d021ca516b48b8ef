"""LoRA adapters: in, weighted and out between two answers, and refused where they do not fit."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import Tensor

from chatbot.engine.adapters import use_adapters
from chatbot.engine.client import EngineClient
from chatbot.engine.decode.cpu.packing import PackedLinear
from chatbot.engine.decode.gpu.static_step import ForwardStep
from chatbot.engine.finding import find_model
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.protocol.model_info import AdapterUse
from chatbot.errors import ModelError
from chatbot.settings import Precision
from tests.engine.running_engine import RunningEngine
from tests.engine.test_fused_decoder import make
from tests.engine.test_hostile_models import edit
from tests.engine.test_static_fused_step import OnFusedStep
from tests.engine.tiny_models import make_llama, make_tokenizer

CPU = torch.device("cpu")
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ONE_TOKEN = {"temperature": 0, "max_tokens": 1}


ATTENTION = ("q_proj", "v_proj")


def write_adapter(
    folder: Path, seed: int, layers: Sequence[str] = ATTENTION, **changes: Any
) -> Path:
    """An adapter with random weights, as peft saves one."""
    return save_adapter(
        folder, make_llama(**changes), LoraConfig(r=4, target_modules=list(layers)), seed
    )


def save_adapter(folder: Path, model: Any, options: Any, seed: int) -> Path:
    """One of ``model`` with random weights."""
    adapted = get_peft_model(model, options)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.3)
    adapted.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return write_adapter(folder / "pirate", 1), write_adapter(folder / "poet", 2)


@pytest.fixture
def tiny(engine: RunningEngine, tiny_folder: Path) -> RunningEngine:
    loaded = engine.ask("Load", model=str(tiny_folder), precision="fp32")
    assert loaded["type"] == "Loaded", loaded
    return engine


def certainty(engine: RunningEngine) -> tuple[int, float]:
    """The likeliest first token of an answer, and its probability: random weights write no text
    that could be relied on to change."""
    engine.send("Generate", messages=QUESTION, sampling=ONE_TOKEN, num_alternatives=1)
    events = engine.rest()
    assert events[-1]["type"] == "Generated", events[-1]
    (records,) = (event["tokens"] for event in events if event["type"] == "TokensRecorded")
    token, _, _, probability, *_ = records[0]
    return token, probability


def use(engine: RunningEngine, *wanted: tuple[Path, float]) -> dict[str, Any]:
    shown = [{"path": str(path), "weight": float(weight)} for path, weight in wanted]
    return engine.ask("Adapt", adapters=shown)


def merged(folder: Path, weight: float) -> Any:
    """The tiny model with the adapter added to its weights by hand."""
    model = make_llama()
    tensors = load_file(folder / "adapter_model.safetensors")
    for key, down in tensors.items():
        if ".lora_A." in key:
            up = tensors[key.replace("lora_A", "lora_B")]
            layer = model.get_submodule(key.removeprefix("base_model.model.").split(".lora_")[0])
            with torch.no_grad():  # alpha 8 over rank 4, as peft has it by default
                layer.weight += weight * 2 * up @ down
    return model


def logits_of(loaded: LoadedModel) -> Tensor:
    loaded.cached.clear()
    return loaded.cached.read([5, 6, 7, 8]).float()


@pytest.mark.parametrize("make", [CachedModel, OnFusedStep])  # as on a CPU, and as on a GPU
def test_adapters_compute_what_merged_weights_do_and_leave_no_trace(
    make: type[CachedModel], tiny_folder: Path, adapters: tuple[Path, Path]
) -> None:
    pirate, poet = adapters
    loaded = load(find_model(str(tiny_folder), lambda *_: None), "fp32", CPU, lambda *_: None)
    loaded = msgspec.structs.replace(loaded, cached=make(loaded.model))
    bare = logits_of(loaded)
    layers = {name: type(module) for name, module in loaded.model.named_modules()}
    ids = torch.tensor([[5, 6, 7, 8]])
    for folder, weight in ((pirate, 1.0), (pirate, 0.5), (poet, 1.0), (poet, -0.25)):
        use_adapters(loaded, [AdapterUse(path=str(folder), weight=weight)])
        with torch.inference_mode():
            expected = merged(folder, weight)(ids).logits[0, -1]
        torch.testing.assert_close(logits_of(loaded), expected, rtol=1e-3, atol=1e-3)
    use_adapters(loaded, [AdapterUse(path=str(pirate)), AdapterUse(path=str(poet), weight=0.0)])
    with torch.inference_mode():
        expected = merged(pirate, 1.0)(ids).logits[0, -1]
    torch.testing.assert_close(logits_of(loaded), expected, rtol=1e-3, atol=1e-3)
    assert use_adapters(loaded, []) == ()
    assert torch.equal(logits_of(loaded), bare)
    assert {name: type(module) for name, module in loaded.model.named_modules()} == layers


@pytest.fixture(scope="module", params=[{"r": 2}, {"target_modules": ["nowhere"]}])
def mismatched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter whose matrices fit the model, but not its own settings."""
    folder = write_adapter(tmp_path_factory.mktemp("mismatched") / "x", 7, ["q_proj", "o_proj"])
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **request.param}))
    return folder


@pytest.mark.parametrize("num_before", [0, 1, 2])
@pytest.mark.parametrize("make", [CachedModel, OnFusedStep])
def test_an_adapter_that_fails_to_load_leaves_what_was_there(
    make: type[CachedModel],
    num_before: int,
    tiny_folder: Path,
    adapters: tuple[Path, Path],
    mismatched: Path,
    tmp_path: Path,
) -> None:
    loaded = load(find_model(str(tiny_folder), lambda *_: None), "fp32", CPU, lambda *_: None)
    loaded = msgspec.structs.replace(loaded, cached=make(loaded.model))
    bare = logits_of(loaded)
    name = loaded.cached.decoder_name
    uses = [AdapterUse(path=str(folder), weight=0.5) for folder in adapters[::-1][:num_before]]
    use_adapters(loaded, uses)
    before = logits_of(loaded)
    layers = {name: type(module) for name, module in loaded.model.named_modules()}
    good = write_adapter(tmp_path / "good", 8, ["k_proj"])
    for _ in range(2):  # it is no better known the second time
        with pytest.raises(ModelError, match="loading the adapter"):
            use_adapters(loaded, [*uses, *(AdapterUse(path=str(p)) for p in (good, mismatched))])
        assert torch.equal(loaded.cached.read([5, 6, 7, 8]).float(), before)  # nothing is kept
        assert torch.equal(logits_of(loaded), before)
        assert {name: type(module) for name, module in loaded.model.named_modules()} == layers
    use_adapters(loaded, [])
    assert torch.equal(logits_of(loaded), bare)
    assert loaded.cached.decoder_name == name


def test_an_adapter_of_the_embedding_is_left_to_transformers(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path / "embedding", 3, ["q_proj", "embed_tokens"])
    loaded = load(find_model(str(tiny_folder), lambda *_: None), "fp32", CPU, lambda *_: None)
    bare = logits_of(loaded)
    use_adapters(loaded, [AdapterUse(path=str(folder))])
    with torch.inference_mode():
        expected = loaded.model(torch.tensor([[5, 6, 7, 8]])).logits[0, -1]
    assert (expected - bare).abs().max() > 0.1
    torch.testing.assert_close(logits_of(loaded), expected, rtol=1e-3, atol=1e-3)
    assert loaded.cached.decoder_name == "transformers"
    assert isinstance(loaded.cached._static_step()[0], ForwardStep)  # as it would be on a GPU


@pytest.mark.parametrize(("precision", "likeness"), [("8-bit", 0.99), ("4-bit", 0.9)])
def test_adapters_work_over_rounded_weights(
    tmp_path: Path, precision: Precision, likeness: float
) -> None:
    """What an adapter adds is the same whether the base below it is packed or not."""
    sizes = {"hidden_size": 64, "intermediate_size": 128}
    folder, pirate = tmp_path / "model", write_adapter(tmp_path / "pirate", 1, **sizes)
    make_llama(**sizes).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    found = find_model(str(folder), lambda *_: None)
    changes = []
    for name in ("fp32", precision):
        loaded = load(found, name, CPU, lambda *_: None)
        layer: Any = loaded.model.model.layers[0].self_attn
        is_packed = isinstance(layer.v_proj, PackedLinear)
        assert is_packed or name == "fp32"  # some processors like that packed as well
        bare = layer.v_proj(inputs := torch.ones(1, 3, 64, dtype=loaded.model.dtype)).float()
        bare_logits = logits_of(loaded)
        use_adapters(loaded, [AdapterUse(path=str(pirate), weight=0.5)])
        changes.append(layer.v_proj(inputs).float() - bare)
        assert not torch.allclose(logits_of(loaded), bare_logits, rtol=0.1)
        assert use_adapters(loaded, []) == ()
        assert torch.equal(logits_of(loaded), bare_logits)
        assert isinstance(layer.v_proj, PackedLinear) == is_packed
    exact, rounded = (change.flatten() for change in changes)
    assert torch.nn.functional.cosine_similarity(exact, rounded, dim=0) > likeness
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("precision", ["fp32", "8-bit", "4-bit"])
def test_adapters_beside_packed_experts(tmp_path: Path, precision: Precision) -> None:
    loaded = load_mixture(tmp_path / "model", precision)
    options = LoraConfig(r=4, target_modules=list(ATTENTION))
    adapter = save_adapter(tmp_path / "adapter", make("qwen 3 moe"), options, 3)
    prompt = list(range(5, 30))
    before = loaded.cached.read(prompt).clone()
    use_adapters(loaded, [AdapterUse(path=str(adapter))])
    loaded.cached.clear()
    assert loaded.cached.decoder_name == "transformers"
    merged = get_peft_model(make("qwen 3 moe"), options)
    merged.load_adapter(str(adapter), "own")
    merged.set_adapter("own")
    with torch.inference_mode():
        expected = merged(torch.tensor([prompt])).logits[0, -1]
    found = loaded.cached.read(prompt)
    likeness = torch.nn.functional.cosine_similarity(found.float(), expected, dim=0)
    assert likeness > (0.85 if precision == "4-bit" else 0.99)
    use_adapters(loaded, [])
    loaded.cached.clear()
    assert loaded.cached.decoder_name == "fused"
    assert torch.equal(loaded.cached.read(prompt), before)


@pytest.mark.parametrize(
    "options",
    [
        LoraConfig(r=4, target_modules=[], target_parameters=["mlp.experts.down_proj"]),
        LoraConfig(r=4, target_modules=[], target_parameters=["mlp.gate.weight"]),
    ],
    ids=["experts", "router"],
)
def test_an_adapter_of_experts_is_refused(tmp_path: Path, options: Any) -> None:
    loaded = load_mixture(tmp_path / "model", "8-bit")
    adapter = save_adapter(tmp_path / "adapter", make("qwen 3 moe"), options, 3)
    with pytest.raises(ModelError, match="changes experts"):
        use_adapters(loaded, [AdapterUse(path=str(adapter))])
    assert loaded.cached.decoder_name == "fused"


def load_mixture(folder: Path, precision: Precision) -> LoadedModel:
    make("qwen 3 moe").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return load(find_model(str(folder), lambda *_: None), precision, CPU, lambda *_: None)


def test_an_adapter_is_used_between_two_answers(
    tiny: RunningEngine, adapters: tuple[Path, Path]
) -> None:
    bare = certainty(tiny)
    info = use(tiny, (adapters[0], 1))["info"]
    assert [(a["name"], a["weight"], a["rank"]) for a in info["adapters"]] == [("pirate", 1.0, 4)]
    # Two layers, q and v: 4 x 32 down, and 32 or 16 x 4 up.
    assert certainty(tiny) != pytest.approx(bare)
    assert use(tiny)["info"]["adapters"] == []
    assert certainty(tiny) == pytest.approx(bare)


def test_an_adapter_can_come_with_the_model(
    engine: RunningEngine, tiny_folder: Path, adapters: tuple[Path, Path]
) -> None:
    wanted = [{"path": str(adapters[0]), "weight": 2.0}]
    info = engine.ask("Load", model=str(tiny_folder), precision="fp32", adapters=wanted)["info"]
    assert info["adapters"][0]["weight"] == 2.0
    info = engine.ask("Load", model=str(tiny_folder), precision="bf16", adapters=wanted)["info"]
    assert info["precision"] == "bf16"
    assert info["adapters"][0]["name"] == "pirate"
    certainty(engine)
    assert engine.ask("Load", model=str(tiny_folder), precision="bf16")["info"]["adapters"] == []


def refused(engine: RunningEngine, *wanted: tuple[Path, float]) -> str:
    failed = use(engine, *wanted)
    assert failed["type"] == "Failed"
    assert "\n" not in failed["message"]
    return str(failed["message"])


def test_an_adapter_for_another_model_is_refused_and_nothing_changes(
    tiny: RunningEngine, adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    use(tiny, (adapters[0], 1))
    before = certainty(tiny)
    wider = write_adapter(tmp_path / "wider", 3, hidden_size=64)
    assert "made for another model" in refused(tiny, (adapters[0], 1), (wider, 1))
    deeper = write_adapter(tmp_path / "deeper", 3, num_hidden_layers=3)
    assert "made for another model" in refused(tiny, (deeper, 1))
    assert certainty(tiny) == pytest.approx(before)
    use(tiny)


def test_an_adapter_that_names_another_base(
    engine: RunningEngine, adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    model = make_llama()
    model.config._name_or_path = "org/mine"
    model.save_pretrained(folder)
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "_name_or_path": "org/mine"}))
    make_tokenizer().save_pretrained(folder)
    assert engine.ask("Load", model=str(folder), precision="fp32")["type"] == "Loaded"
    other = write_adapter(tmp_path / "other", 4)
    config = json.loads((other / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "org/theirs"})
    )
    message = refused(engine, (other, 1))
    assert "made for org/theirs, not for" in message


def test_no_module_is_imported_for_an_adapter(tiny: RunningEngine, tmp_path: Path) -> None:
    other = write_adapter(tmp_path / "other", 4)
    config = json.loads((other / "adapter_config.json").read_text())
    named = {**config, "megatron_core": "antigravity", "megatron_config": {"a": 1}}
    (other / "adapter_config.json").write_text(json.dumps(named))
    assert use(tiny, (other, 1))["type"] == "Adapted"
    use(tiny)


ENDLESS = r"(([\w.]+)+)+!"


@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": ENDLESS},
        {"target_modules": r".*\.(q|v)_proj"},
        {"exclude_modules": ENDLESS},
        {"layers_pattern": [ENDLESS], "layers_to_transform": [0]},
    ],
)
def test_the_layers_of_an_adapter_are_those_of_its_weights(
    tiny: RunningEngine, adapters: tuple[Path, Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    other = Path(shutil.copytree(adapters[0], tmp_path / "other"))
    edit(other / "adapter_config.json", **changes)
    use(tiny, (adapters[0], 1))
    expected = certainty(tiny)
    assert use(tiny, (other, 1))["type"] == "Adapted"
    assert certainty(tiny) == expected
    use(tiny)


@pytest.mark.parametrize(
    "changes",
    [
        {"rank_pattern": {ENDLESS: 4}},
        {"alpha_pattern": {"(a|a)(a|a)": 8}},
        {"modules_to_save": [".*.*.*x"]},
    ],
)
def test_an_expression_that_may_not_end_is_refused(
    tiny: RunningEngine, tmp_path: Path, changes: dict[str, Any]
) -> None:
    other = write_adapter(tmp_path / "other", 4)
    edit(other / "adapter_config.json", **changes)
    assert f"its {next(iter(changes))} may take for ever" in refused(tiny, (other, 1))
    edit(
        other / "adapter_config.json",
        modules_to_save=None,
        rank_pattern={"^model.*q_proj$": 4},
        alpha_pattern={},
    )
    assert use(tiny, (other, 1))["type"] == "Adapted"
    use(tiny)


def test_what_is_no_adapter(
    tiny: RunningEngine, tiny_folder: Path, adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    assert "There is no adapter" in refused(tiny, (tmp_path / "nothing", 1))
    assert "is no adapter" in refused(tiny, (tiny_folder, 1))
    assert "named twice" in refused(tiny, (adapters[0], 1), (adapters[0], 2))
    assert "from -10 to 10" in refused(tiny, (adapters[0], 1e9))
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "adapter_model.bin").write_bytes(b"x")
    assert "pickle" in refused(tiny, (pickled, 1))
    broken = write_adapter(tmp_path / "broken", 5)
    file = broken / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-50])
    assert "cut short" in refused(tiny, (broken, 1))


@pytest.mark.parametrize("are_needed", [True, False])
async def test_a_model_is_loaded_without_adapters_that_fail_unless_they_are_needed(
    are_needed: bool, tiny_folder: Path, tmp_path: Path
) -> None:
    client, model = EngineClient(tmp_path / "engine.log"), str(tiny_folder)
    client.plan_adapters([AdapterUse(path="/nowhere")], model, are_needed=are_needed)
    try:
        with pytest.raises(ModelError, match="/nowhere"):
            await client.ensure_loaded(model, "fp32")
        if are_needed:
            with pytest.raises(ModelError, match="/nowhere"):
                await client.ensure_loaded(model, "fp32")
        else:
            info = await client.ensure_loaded(model, "fp32")
            assert info.adapters == client.adapters == ()
    finally:
        await client.close()
