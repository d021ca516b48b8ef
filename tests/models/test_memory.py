"""Parameters and memory by the configuration alone, against published and hand-made figures."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
import transformers as tf
from safetensors.torch import save_file

from chatbot.engine.decode.architecture import refusal
from chatbot.errors import ModelError, ModelFitError
from chatbot.models.catalogue import catalogue, find_entry
from chatbot.models.counting import shape_of
from chatbot.models.facts import facts_of, shape_of_folder
from chatbot.models.fitting import best_precision, check_fit, fit
from chatbot.models.hardware import Device, Hardware, parse_smi
from chatbot.models.memory import (
    BITS,
    DEFAULT_CONTEXT,
    GIB,
    cache_bytes,
    memory_need,
    nominal_bytes,
    weight_bytes,
)
from chatbot.models.references import resolve

PUBLISHED = {
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "smollm3-3b": 3_075_098_624,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "llama-7b": 6_738_415_616,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.3-70b": 70_553_706_496,
    "elyza-7b": 6_738_415_616,
    "mistral-7b": 7_248_023_552,
    "gemma-2b": 2_506_172_416,
    "gemma-2-2b": 2_614_341_888,
    "gemma-3-1b": 999_885_952,
    "phi-2": 2_779_683_840,
    "phi-3.5-mini": 3_821_079_552,
    "phi-4-mini": 3_836_021_760,
    "falcon-7b": 6_921_720_704,
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
}
"""As their makers, or the files on the hub, count them."""


@pytest.mark.parametrize(("name", "expected"), PUBLISHED.items())
def test_the_catalogue_counts_as_the_makers_do(name: str, expected: int) -> None:
    shape = catalogue()[name].shape
    assert shape.num_parameters == expected
    assert shape.is_exact


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.name)
def test_an_entry_is_in_order(entry: Any) -> None:
    assert entry.name == entry.name.lower()
    assert find_entry(entry.hub_id.upper()) is entry
    assert entry.shape.context_length >= 1024
    assert entry.licence
    assert entry.description
    assert bool(entry.weights) == bool(entry.weights_package)


SMALL = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
CONFIGS = [
    tf.LlamaConfig(**SMALL, num_key_value_heads=2, tie_word_embeddings=True),
    tf.LlamaConfig(**SMALL, attention_bias=True, mlp_bias=True),
    tf.MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=16),
    tf.GraniteConfig(**SMALL, num_key_value_heads=2),
    tf.GemmaConfig(**SMALL, num_key_value_heads=1, head_dim=16),
    tf.Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=16),
    tf.Gemma3TextConfig(**SMALL, num_key_value_heads=2, head_dim=16),
    tf.Qwen2Config(**SMALL, num_key_value_heads=2),
    tf.Qwen3Config(**SMALL, num_key_value_heads=2, head_dim=16),
    tf.SmolLM3Config(**SMALL, num_key_value_heads=2, pad_token_id=0),
    tf.Qwen3MoeConfig(
        **SMALL,
        num_key_value_heads=2,
        head_dim=16,
        num_experts=6,
        moe_intermediate_size=40,
        mlp_only_layers=[1],
    ),
    tf.Qwen3MoeConfig(**SMALL, num_experts=6, decoder_sparse_step=2),
    tf.MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=4),
    tf.OlmoeConfig(**SMALL, num_key_value_heads=2, num_experts=6),
    tf.GraniteMoeConfig(**SMALL, num_key_value_heads=2, num_local_experts=4),
    tf.PhiConfig(**SMALL),
    tf.Phi3Config(**SMALL, num_key_value_heads=2, pad_token_id=0),
    tf.Phi3Config(
        **SMALL,
        pad_token_id=0,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 4,
            "long_factor": [2.0] * 4,
            "original_max_position_embeddings": 64,
        },
    ),
    tf.GPTNeoXConfig(**SMALL),
    tf.GPT2Config(vocab_size=96, n_positions=64, n_embd=32, n_layer=3, n_head=4),
    tf.FalconConfig(vocab_size=96, hidden_size=32, num_hidden_layers=3, num_attention_heads=4),
    tf.FalconConfig(
        vocab_size=96,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        new_decoder_architecture=True,
        num_kv_heads=2,
        bias=True,
    ),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.model_type)
def test_counted_as_the_real_class_counts(config: Any, tmp_path: Path) -> None:
    with torch.device("meta"):
        model = tf.AutoModelForCausalLM.from_config(config)
    config.save_pretrained(tmp_path)
    shape = shape_of(json.loads((tmp_path / "config.json").read_text()))
    assert shape.num_parameters == model.num_parameters()
    matrices = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D", "FalconLinear")
        and name not in ("lm_head", "embed_out")
    )
    experts = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.dim() == 3 and ".experts." in name
    )
    assert shape.num_in_experts == experts
    assert shape.num_quantised == matrices + experts


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.model_type)
def test_files_are_counted_as_the_configuration_is(config: Any, tmp_path: Path) -> None:
    tf.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    shape = shape_of_folder(tmp_path)
    assert shape == msgspec.structs.replace(
        shape_of(json.loads((tmp_path / "config.json").read_text())), is_exact=True
    )


@pytest.mark.parametrize("tied", [True, False])
def test_files_are_counted_with_a_tied_head_once(tmp_path: Path, tied: bool) -> None:
    config = tf.LlamaConfig(**SMALL, tie_word_embeddings=tied)
    model = tf.LlamaForCausalLM(config)
    model.save_pretrained(tmp_path)
    if tied:  # some files hold it twice all the same
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        save_file(weights, tmp_path / "model.safetensors")
    shape = shape_of_folder(tmp_path)
    assert shape is not None
    assert shape == shape_of(json.loads((tmp_path / "config.json").read_text()))
    assert shape.num_parameters == model.num_parameters()


def test_seven_billion_weights_alone() -> None:
    sizes = [nominal_bytes(7 * 10**9, p) / GIB for p in ("fp32", "bf16", "8-bit", "4-bit")]
    assert [round(size, 2) for size in sizes] == [26.08, 13.04, 6.52, 3.26]


def test_the_cache_of_llama_3() -> None:
    shape = catalogue()["llama-3.1-8b"].shape
    # keys and values, 32 layers, 8 heads of 128, two bytes: 131,072 bytes a token
    assert cache_bytes(shape, "bf16", 1000) == 131_072_000
    assert cache_bytes(shape, "fp32", 1000) == 262_144_000
    assert cache_bytes(shape, "4-bit", 1000) == 131_072_000
    # Our own step on a processor has fp16 with what is as fine as that.
    for precision, num_bytes in (("bf16", 2), ("fp16", 4), ("8-bit", 2), ("fp32", 4)):
        assert cache_bytes(shape, precision, 1000, on_cpu=True) == 65_536_000 * num_bytes
    assert cache_bytes(shape, "fp16", 1000) == 131_072_000


def test_layers_with_a_window_keep_no_more_than_that_in_transformers_cache() -> None:
    shape = catalogue()["gemma-3-1b"].shape
    assert (shape.sliding_window, shape.num_sliding_layers, shape.num_layers) == (512, 22, 26)
    a_token = 2 * 256 * 2  # keys and values, one head of 256, two bytes
    plain = msgspec.structs.replace(shape, has_own_step=False)
    few = cache_bytes(plain, "bf16", 8000, on_cpu=True)
    assert few == a_token * (4 * 8000 + 9 * 22 * 511)  # now, and at eight places before
    assert cache_bytes(shape, "bf16", 8000) == a_token * 26 * 8000
    own = msgspec.structs.replace(shape, has_own_step=True)
    assert cache_bytes(own, "bf16", 8000, on_cpu=True) == a_token * 26 * 8000


def test_quantised_weights_keep_the_embeddings() -> None:
    shape = catalogue()["llama-2-7b"].shape
    embeddings = 2 * 32_000 * 4096 + 65 * 4096
    assert shape.num_unquantised == embeddings
    assert weight_bytes(shape, "8-bit") == pytest.approx(
        2 * embeddings + shape.num_quantised * (1 + 4 / 4096)
    )
    # 4 bits, one byte a block of 64, four bytes for 256 blocks: 4.127 bits a weight
    assert weight_bytes(shape, "4-bit") == pytest.approx(
        2 * embeddings + shape.num_quantised * 4.127 / 8, rel=1e-4
    )


def test_weights_on_a_processor_are_in_forms_of_our_own() -> None:
    shape = catalogue()["smollm2-135m"].shape
    embeddings, norms = 49_152 * 576, 61 * 576
    matrices = 30 * (2 * 576 * 576 + 2 * 192 * 576 + 3 * 576 * 1536)
    assert (shape.num_head, shape.is_tied) == (embeddings, True)
    kept = 2 * (embeddings + norms)
    # One byte a weight and four for each row of them; the head is a second time there.
    in_8_bits = (1 + 4 / 576) * (matrices + embeddings)
    assert weight_bytes(shape, "8-bit", on_cpu=True) == pytest.approx(kept + in_8_bits)
    # Five bits a weight, and the head in 8.
    in_4_bits = 5 / 8 * matrices + (1 + 4 / 576) * embeddings
    assert weight_bytes(shape, "4-bit", on_cpu=True) == pytest.approx(kept + in_4_bits)
    assert weight_bytes(shape, "bf16", on_cpu=True) == 2 * shape.num_parameters
    assert weight_bytes(shape, "fp32", on_cpu=True) == 4 * shape.num_parameters
    # Where the files have no more than 16 bits, all but the embedding and the norms take two bytes.
    known = msgspec.structs.replace(shape, in_16_bits=True)
    in_fp32 = 4 * (embeddings + norms) + 2 * (matrices + embeddings)
    assert weight_bytes(known, "fp32", on_cpu=True) == in_fp32
    assert weight_bytes(known, "fp32") == 4 * shape.num_parameters
    untied = catalogue()["llama-2-7b"].shape
    assert not untied.is_tied
    num_rounded = untied.num_quantised + 32_000 * 4096
    assert weight_bytes(untied, "8-bit", on_cpu=True) == pytest.approx(
        2 * (untied.num_parameters - num_rounded) + num_rounded * (1 + 4 / 4096)
    )


SEEING = tf.Gemma3Config(
    text_config=tf.Gemma3TextConfig(**SMALL, num_key_value_heads=2, head_dim=16).to_dict(),
    vision_config={**SMALL, "image_size": 28, "patch_size": 14},
    boi_token_index=93,
    eoi_token_index=94,
    image_token_index=95,
)


@pytest.mark.parametrize("config", [*CONFIGS, SEEING], ids=lambda c: c.model_type)
def test_which_models_have_a_step_of_our_own(config: Any, tmp_path: Path) -> None:
    model = tf.AutoModelForCausalLM.from_config(config)
    config.save_pretrained(tmp_path)
    shape = shape_of(json.loads((tmp_path / "config.json").read_text()))
    assert shape.has_own_step == (refusal(model) == "")


def test_the_window_that_is_reckoned_with() -> None:
    long, short = catalogue()["llama-3.1-8b"].shape, catalogue()["gpt2"].shape
    assert memory_need(long, "bf16").cache == cache_bytes(long, "bf16", DEFAULT_CONTEXT)
    assert memory_need(short, "bf16").cache == cache_bytes(short, "bf16", 1024)
    assert memory_need(long, "bf16", 32_768).cache == cache_bytes(long, "bf16", 32_768)


@pytest.mark.parametrize(
    "content",
    [{}, {"vocab_size": 5}, {**SMALL, "hidden_size": -1}, {**SMALL, "num_hidden_layers": 2**60}],
)
def test_a_configuration_that_makes_no_sense(content: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="configuration is"):
        shape_of(content)


# What fits


def hardware(gpu: float = 0, ram: float = 16) -> Hardware:
    def device(kind: Any, size: float) -> Device:
        return Device(
            kind=kind,
            name="RAM" if kind == "cpu" else "Card",
            free_bytes=int(size * GIB),
            total_bytes=int(size * GIB),
        )

    return Hardware(gpus=(device("cuda", gpu),) if gpu else (), ram=device("cpu", ram))


def test_what_fits_where() -> None:
    shape = catalogue()["llama-3.1-8b"].shape
    assert fit(shape, "bf16", hardware(gpu=24)).verdict == "fits"
    assert fit(shape, "bf16", hardware(gpu=8, ram=16)).verdict == "split"
    assert fit(shape, "bf16", hardware(gpu=8, ram=4)).verdict == "no"
    assert fit(shape, "4-bit", hardware(gpu=8)).verdict == "fits"
    assert best_precision(shape, hardware(gpu=8), ("bf16", "8-bit", "4-bit")) == "4-bit"


def test_a_refusal_names_what_would_fit() -> None:
    shape = catalogue()["llama-3.1-8b"].shape
    with pytest.raises(ModelFitError, match=r"8-bit fits \(\d+\.\d GiB\)") as caught:
        check_fit("llama-3.1-8b", shape, "bf16", hardware(ram=12))
    assert "8,192 tokens" in str(caught.value)
    assert str(caught.value).endswith("GiB).")
    with pytest.raises(ModelFitError, match="with a window of 32,768 tokens fits"):
        check_fit("llama-3.1-8b", shape, "4-bit", hardware(ram=11), 131_072)
    with pytest.raises(ModelFitError, match="choose a smaller model"):
        check_fit("llama-3.1-8b", shape, "4-bit", hardware(ram=2))
    check_fit("llama-3.1-8b", shape, "4-bit", hardware(ram=9))


def test_the_output_of_nvidia_smi() -> None:
    (first, second) = parse_smi(
        "NVIDIA H100 80GB HBM3, 80995, 81559\nNVIDIA A10, 22000, 23028\nN/A, [N/A], [N/A]\n"
    )
    assert first.name == "NVIDIA H100 80GB HBM3"
    assert first.free_bytes == 80_995 * 2**20
    assert second.total_bytes == 23_028 * 2**20


def test_every_precision_is_priced() -> None:
    shape = catalogue()["gpt2"].shape
    totals = [memory_need(shape, precision).total for precision in BITS]
    assert totals[0] > totals[1] == totals[2] > totals[3] > totals[4]
    assert all(msgspec.structs.asdict(memory_need(shape, p))["weights"] for p in BITS)


def test_a_model_that_is_not_here_is_priced_by_the_catalogue() -> None:
    facts = facts_of(resolve("qwen3-8b"))
    assert not facts.is_here
    assert facts.shape is not None
    assert facts.shape.num_parameters == 8_190_735_360
    assert facts.licence == "Apache-2.0"
