"""Which precision auto means, and where the layers of a model go."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from chatbot.engine import loading, precisions
from chatbot.engine.decode.architecture import mixtures
from chatbot.engine.decode.cpu.packed_experts import PackedExperts
from chatbot.engine.decode.cpu.preparing import prepare_for_cpu
from chatbot.engine.decode.cpu.projections import multiplies
from chatbot.engine.devices import bytes_by_device, look
from chatbot.engine.finding import FoundModel, find_model
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.loading import load
from chatbot.engine.placement import Placement, place
from chatbot.engine.precisions import pick_precision
from chatbot.errors import ModelError
from chatbot.models.catalogue import catalogue
from chatbot.models.facts import shape_of_folder
from chatbot.models.hardware import Device, Hardware
from chatbot.models.memory import cache_bytes, weight_bytes
from chatbot.settings import Precision
from tests.engine.test_fused_decoder import DENSE, MIXTURES, make
from tests.engine.tiny_models import make_llama, make_tokenizer

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
GIB = 2**30
LLAMA_8B = catalogue()["llama-3.1-8b"].shape


def machine(*gpus: float, ram: float = 64) -> Hardware:
    def device(kind: str, size: float) -> Device:
        room = int(size * GIB)
        return Device(kind=kind, name=kind, free_bytes=room, total_bytes=room)  # type: ignore[arg-type]

    return Hardware(gpus=tuple(device("cuda", size) for size in gpus), ram=device("cpu", ram))


@pytest.fixture
def bf16_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precisions, "computes_bf16", lambda _: True)


@pytest.mark.parametrize(
    ("free", "expected"), [(24, "bf16"), (12, "8-bit"), (8, "4-bit"), (4, "bf16")]
)
def test_auto_is_the_finest_that_fits_the_card(bf16_card: None, free: float, expected: str) -> None:
    assert pick_precision("auto", CUDA, LLAMA_8B, machine(free)) == expected


def test_what_the_present_model_gives_back_counts(bf16_card: None) -> None:
    assert pick_precision("auto", CUDA, LLAMA_8B, machine(8), 0, 16 * GIB) == "bf16"


def test_a_longer_window_may_ask_for_a_smaller_precision(bf16_card: None) -> None:
    # 131,072 tokens of Llama 3.1: 2 * 32 layers * 8 heads * 128 * 2 bytes each = 16 GiB.
    assert pick_precision("auto", CUDA, LLAMA_8B, machine(24), 131_072) == "4-bit"


def test_auto_elsewhere() -> None:
    assert pick_precision("auto", CPU, LLAMA_8B, machine(ram=2)) == "bf16"
    assert pick_precision("auto", torch.device("mps"), None, machine()) == "fp16"
    assert pick_precision("fp32", CPU, None, machine()) == "fp32"


def test_a_precision_that_cannot_be_had() -> None:
    with pytest.raises(ModelError, match="fp32, bf16, fp16, 8-bit, 4-bit"):
        pick_precision("int3", CPU, None, machine())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="choose fp16"):
        pick_precision("8-bit", torch.device("mps"), None, machine())


def test_one_card_that_has_room_gets_all_of_it() -> None:
    assert place(LLAMA_8B, "bf16", CUDA, machine(24, 24)).device == CUDA


def test_two_cards_share_what_is_too_large_for_one() -> None:
    placed = place(LLAMA_8B, "bf16", CUDA, machine(12, 12))
    assert placed.device is None
    assert set(placed.limits) == {0, 1, "cpu"}
    assert placed.limits[0] + placed.limits[1] > 16 * GIB
    assert placed.options()["device_map"] == "auto"


def test_a_processor_without_room_spills_to_the_disk() -> None:
    assert place(LLAMA_8B, "bf16", CPU, machine(ram=30)).device == CPU
    placed = place(LLAMA_8B, "bf16", CPU, machine(ram=8))
    assert placed.device is None
    assert placed.limits["cpu"] < 8 * GIB


def test_a_model_split_over_memory_and_disk_writes_the_same(
    tmp_path: Path, own_folders: None
) -> None:
    folder = tmp_path / "model"
    # The head is not tied, so that the last layer can be elsewhere than the first.
    sizes = {"hidden_size": 64, "intermediate_size": 128}  # which need no filling
    make_llama(num_hidden_layers=6, tie_word_embeddings=False, **sizes).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    found = find_model(str(folder), lambda *_: None)
    whole = load(found, "fp32", CPU, lambda *_: None)
    split = load(
        found,
        "fp32",
        CPU,
        lambda *_: None,
        Placement(device=None, limits={"cpu": whole.info.weight_bytes // 2}),
    )
    shares = {share.device: share.num_bytes for share in split.info.placement}
    assert set(shares) == {"cpu", "disk"}
    assert sum(shares.values()) == whole.info.weight_bytes
    assert shares["disk"] >= whole.info.weight_bytes // 3
    prompt = [5, 6, 7, 8]
    together = whole.cached.read(prompt)  # by our own step, which adds in another order
    torch.testing.assert_close(split.cached.read(prompt), together, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("precision", ["8-bit", "4-bit"])
@pytest.mark.parametrize("family", MIXTURES)
def test_experts_are_packed_one_by_one_while_they_are_loaded(
    family: str, precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(family).bfloat16()
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    packed = []

    def note(model: Any, precision: Precision) -> None:
        packed.extend(isinstance(mixture.experts, PackedExperts) for mixture in mixtures(model))
        prepare_for_cpu(model, precision)

    monkeypatch.setattr(loading, "prepare_for_cpu", note)
    loaded = load(find_model(str(tmp_path), lambda *_: None), precision, CPU, lambda *_: None)
    assert packed
    assert all(packed)
    assert loaded.cached.decoder_name == "fused"
    assert loaded.info.num_parameters == model.num_parameters()
    shape = shape_of_folder(tmp_path)
    assert shape is not None
    assert loaded.info.num_parameters == shape.num_parameters
    whole = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    prepare_for_cpu(whole, precision)
    assert torch.equal(loaded.cached.read([5, 6, 7]), CachedModel(whole).read([5, 6, 7]))
    ids = torch.tensor([[5, 6, 7]])
    assert loaded.model.generate(ids, max_new_tokens=3, do_sample=False).shape[1] > 3


def small_llama(folder: Path) -> FoundModel:
    """Two layers of 36,864 weights and 512 outputs each; 400 tokens of 64 are the head as well."""
    make_llama(hidden_size=64, intermediate_size=128).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return find_model(str(folder), lambda *_: None)


EMBEDDING, MATRICES, NORMS = 400 * 64, 2 * 36_864, 5 * 64
ROWS = 2 * 512 + 400
"""Of the matrices and of the head: in 8 bits each has a scale."""


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("fp32", 4 * (EMBEDDING + MATRICES + NORMS)),
        ("bf16", 2 * (EMBEDDING + MATRICES + NORMS)),
        # Rounded, the head is there beside the embedding.
        ("8-bit", 2 * (EMBEDDING + NORMS) + MATRICES + EMBEDDING + 4 * ROWS),
        # Five bits a weight, and the head in 8.
        ("4-bit", 2 * (EMBEDDING + NORMS) + MATRICES * 5 // 8 + EMBEDDING + 4 * 400),
    ],
)
def test_what_weights_take_is_known_before(
    tmp_path: Path, precision: Precision, expected: int
) -> None:
    loaded = load(small_llama(tmp_path), precision, CPU, lambda *_: None)
    shape = shape_of_folder(tmp_path)
    assert shape is not None
    assert loaded.info.precision == precision
    assert loaded.info.weight_bytes == pytest.approx(expected, rel=0.02)
    estimate = weight_bytes(shape, precision, on_cpu=True)
    assert loaded.info.weight_bytes == pytest.approx(estimate, rel=0.1)
    loaded.cached.read([5, 6, 7])
    # Keys and values of 2 layers and 2 heads of 16, for the 256 tokens that room is made for.
    kept_bytes = 4 if precision == "fp32" else 2
    assert loaded.cached.num_cache_bytes == 256 * 2 * 2 * 2 * 16 * kept_bytes
    assert cache_bytes(shape, precision, 256) == loaded.cached.num_cache_bytes


def test_weights_of_16_bits_take_no_more_in_fp32_and_are_the_same(tmp_path: Path) -> None:
    make_llama(hidden_size=64, intermediate_size=128).bfloat16().save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    loaded = load(find_model(str(tmp_path), lambda *_: None), "fp32", CPU, lambda *_: None)
    shape = shape_of_folder(tmp_path)
    assert shape is not None
    assert shape.in_16_bits
    expected = 4 * (EMBEDDING + NORMS) + 2 * (EMBEDDING + MATRICES)
    assert weight_bytes(shape, "fp32", on_cpu=True) == expected
    assert loaded.info.weight_bytes == pytest.approx(expected, rel=0.02)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    tokens = [5, 6, 7, 8]
    wide = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    exact = wide(torch.tensor([tokens])).logits[0, -1]
    torch.testing.assert_close(loaded.cached.read(tokens), exact, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("precision", "least"), [("8-bit", 0.9), ("4-bit", 0.7)])
def test_quantised_weights_write_nearly_the_same(
    tmp_path: Path, precision: Precision, least: float
) -> None:
    found = small_llama(tmp_path)
    whole = load(found, "bf16", CPU, lambda *_: None)
    small = load(found, precision, CPU, lambda *_: None)
    expected, got = whole.cached.read([5, 6, 7]).float(), small.cached.read([5, 6, 7]).float()
    assert torch.nn.functional.cosine_similarity(expected, got, dim=0) > least


def test_a_weight_that_fp16_cannot_hold_stays_among_those_it_can(tmp_path: Path) -> None:
    model = make_llama(hidden_size=64, intermediate_size=128).bfloat16()
    with torch.no_grad():
        model.model.layers[1].self_attn.q_proj.weight[0, 0] = 1e5
        model.model.layers[1].mlp.down_proj.weight[0, 0] = 1e5
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    found = find_model(str(tmp_path), lambda *_: None)
    tokens = [5, 6, 7]
    expected = load(found, "fp32", CPU, lambda *_: None).cached.read(tokens)
    got = load(found, "bf16", CPU, lambda *_: None).cached.read(tokens).float()
    assert torch.nn.functional.cosine_similarity(expected, got, dim=0) > 0.99


def test_the_processor_is_known_without_torch() -> None:
    assert look(CPU).ram.multiplies_bf16 == multiplies(torch.bfloat16)


def test_a_quantised_model_is_not_split_between_memory_and_disk() -> None:
    with pytest.raises(ModelError, match="in bf16 it can be split"):
        place(LLAMA_8B, "8-bit", CPU, machine(ram=4))


def test_tied_weights_are_measured_once(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    model = make_llama()
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    (size,) = bytes_by_device(model).values()
    shape = shape_of_folder(folder)
    assert shape is not None
    buffers = sum(buffer.nbytes for buffer in model.buffers())
    assert size == 4 * shape.num_parameters + buffers


def test_attention_with_a_bound_is_computed_with_it(tmp_path: Path) -> None:
    DENSE["gemma 2"]().save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    model = load(find_model(str(tmp_path), lambda *_: None), "fp32", CPU, lambda *_: None).model
    ids = torch.arange(60)[None]
    found = model(ids).logits
    model.set_attn_implementation("eager")
    torch.testing.assert_close(found, model(ids).logits)
