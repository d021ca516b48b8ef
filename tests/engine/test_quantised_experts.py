"""Experts in 8 and 4 bits, as transformers loads them, by bitsandbytes' operations for a CPU."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from chatbot.engine.decode.brake import Brake
from chatbot.engine.decode.experts import GATHERED, GROUPED, Experts
from chatbot.engine.decode.gpu.graphs import CudaCapture
from chatbot.engine.decode.gpu.static import StaticDecoder
from chatbot.engine.decode.gpu.static_step import ForwardStep
from chatbot.engine.decode.plain import TransformersDecoder
from chatbot.engine.devices import bytes_by_device
from chatbot.engine.precisions import quantisation
from chatbot.engine.quantised_experts import ExpertWeights, num_rounded
from chatbot.models.counting import shape_of
from chatbot.models.facts import shape_of_folder
from chatbot.models.memory import memory_need, weight_bytes
from chatbot.settings import Precision
from tests.engine.families import GROUPED as SIZES

MIXTURE = Qwen3MoeConfig(
    **{**SIZES, "hidden_size": 64},
    head_dim=16,
    moe_intermediate_size=32,
    num_experts=8,
    num_experts_per_tok=2,
)
IDS = torch.arange(3, 43)[None]
NUM_IN_EXPERTS = 2 * 8 * 3 * 32 * 64


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    torch.manual_seed(0)
    model = Qwen3MoeForCausalLM(MIXTURE).to(torch.bfloat16).eval()
    folder = tmp_path_factory.mktemp("mixture")
    model.save_pretrained(folder)
    return folder, model


def loaded(folder: Path, precision: Precision) -> Any:
    model, report = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.bfloat16,
        quantization_config=quantisation(precision, torch.device("cuda")),
        device_map={"": "cpu"},
        output_loading_info=True,
    )
    assert not any(report.values())
    return model.eval()


@pytest.mark.parametrize(
    ("precision", "largest_error", "num_bytes"),
    [("8-bit", 0.01, 1.07), ("4-bit", 0.12, 0.54)],
)
def test_experts_are_rounded_as_they_are_loaded(
    original: tuple[Path, Any], precision: Precision, largest_error: float, num_bytes: float
) -> None:
    folder, before = original
    model = loaded(folder, precision)
    assert num_rounded(model) == NUM_IN_EXPERTS
    size = 0
    for layer, exact in zip(model.model.layers, before.model.layers, strict=True):
        for name in ("gate_up_proj", "down_proj"):
            rounded, weights = (getattr(each.mlp.experts, name) for each in (layer, exact))
            assert isinstance(rounded, ExpertWeights)
            size += rounded.numbers.nbytes + rounded.scales.nbytes
            widened = rounded[:]
            assert widened.shape == weights.shape
            error = (widened - weights).float().norm() / weights.float().norm()
            assert 0 < error < largest_error
            assert torch.equal(rounded[torch.tensor([3, 1, 3])], widened[[3, 1, 3]])
            assert torch.equal(rounded[5], widened[5])
    assert size <= num_bytes * NUM_IN_EXPERTS
    shape = shape_of_folder(folder)
    assert shape is not None
    assert shape.num_in_experts == NUM_IN_EXPERTS
    # In a model as small as this the tables of numbers and the scales of rows weigh.
    assert sum(bytes_by_device(model).values()) == pytest.approx(
        weight_bytes(shape, precision), 0.06
    )


def test_room_for_the_experts_of_a_layer_in_16_bits_is_reckoned_with() -> None:
    shape = shape_of(MIXTURE.to_dict())
    of_a_layer = 8 * 2 * 32 * 64 * 2
    exact, rounded = (memory_need(shape, precision).overhead for precision in ("bf16", "4-bit"))
    assert rounded - exact == of_a_layer
    assert memory_need(shape, "4-bit", on_cpu=True).overhead == exact


@pytest.mark.parametrize("precision", ["8-bit", "4-bit"])
def test_every_way_of_transformers_computes_with_them(
    original: tuple[Path, Any], precision: Precision
) -> None:
    folder, before = original
    model = loaded(folder, precision)
    with torch.inference_mode():
        exact = before(IDS).logits
        found = []
        for way in (GROUPED, GATHERED, "eager"):
            model.set_experts_implementation(way)
            found.append(model(IDS).logits)
    for each in found:
        torch.testing.assert_close(each, found[0], atol=0.02, rtol=0.02)
        assert (
            torch.nn.functional.cosine_similarity(each.float(), exact.float(), dim=-1).min() > 0.95
        )


def test_few_tokens_widen_the_experts_that_they_have(original: tuple[Path, Any]) -> None:
    model = loaded(original[0], "4-bit")
    experts = Experts(model, 0.1)
    ways = model.get_experts_implementation()
    assert experts.row_cost == 1
    with experts.for_step(1):
        assert set(model.get_experts_implementation().values()) == {GATHERED}
    with experts.for_step(200):
        assert model.get_experts_implementation() == ways
    assert model.get_experts_implementation() == ways
    assert Experts(original[1], 0.1).row_cost == 0.5


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "8-bit", "4-bit"])
def test_a_real_graph_computes_with_them(original: tuple[Path, Any], precision: Precision) -> None:
    quantised = quantisation(precision, torch.device("cuda"))
    model = AutoModelForCausalLM.from_pretrained(
        original[0],
        dtype=torch.bfloat16,
        device_map={"": "cuda"},
        **({"quantization_config": quantised} if quantised else {}),
    ).eval()
    assert num_rounded(model) == (NUM_IN_EXPERTS if quantised else 0)
    static = StaticDecoder(ForwardStep(model), Brake(model), CudaCapture())
    growing = TransformersDecoder(model, Brake(model))
    tokens, start = IDS[0].tolist(), 0
    for size in (20, *[1] * 12):
        new = tokens[start : start + size]
        ours, expected = (each.read(new, start, lambda: False) for each in (static, growing))
        torch.testing.assert_close(ours, expected, atol=0.03, rtol=0.03)
        start += size
    assert static.name == "static graph"


def test_what_is_loaded_without_rounding_stays(original: tuple[Path, Any]) -> None:
    quantisation("4-bit", torch.device("cuda"))
    model = AutoModelForCausalLM.from_pretrained(original[0], dtype=torch.bfloat16)
    assert num_rounded(model) == 0
