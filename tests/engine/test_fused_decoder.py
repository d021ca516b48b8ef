"""Our own step, against transformers' own forward on tiny models of each family it knows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    GraniteMoeConfig,
    GraniteMoeForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    OlmoeConfig,
    OlmoeForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from chatbot.engine.decode.cpu.fused import FusedDecoder
from chatbot.engine.decode.cpu.key_values import BUCKET, KeyValues
from chatbot.engine.decode.cpu.packing import packed_architecture, packed_bytes
from chatbot.engine.decode.cpu.preparing import fused_refusal, prepare_for_cpu
from chatbot.engine.kv_cache import CachedModel
from chatbot.settings import Precision, Sampling
from tests.engine.test_prompt_lookup import Counted, write
from tests.engine.tiny_models import make_gpt2, make_llama

TOKENS = [(11 * n) % 390 + 3 for n in range(400)]

SIZES: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
GEMMA_2: dict[str, Any] = {
    "attn_implementation": "eager",
    "head_dim": 32,
    "query_pre_attn_scalar": 24,
    "sliding_window": 8,
    "attn_logit_softcapping": 3.0,
    "final_logit_softcapping": 4.0,
}
GEMMA_3: dict[str, Any] = {
    "attn_logit_softcapping": 3.0,  # as which it does not compute
    "final_logit_softcapping": 4.0,
    "head_dim": 32,
    "query_pre_attn_scalar": 24,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"],
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0},
        "full_attention": {"rope_type": "linear", "rope_theta": 50_000.0, "factor": 8.0},
    },
}
GRANITE: dict[str, Any] = {
    "embedding_multiplier": 12.0,
    "attention_multiplier": 0.05,
    "residual_multiplier": 0.22,
    "logits_scaling": 3.0,
    "rms_norm_eps": 0.1,
}

EXPERTS: dict[str, Any] = {"num_experts": 6, "num_experts_per_tok": 3}
QWEN_3_MOE: dict[str, Any] = {**SIZES, **EXPERTS, "head_dim": 16, "moe_intermediate_size": 48}

DENSE: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "llama with biases": lambda: LlamaForCausalLM(
        LlamaConfig(**{**SIZES, "attention_bias": True, "mlp_bias": True})
    ),
    "llama 3": lambda: LlamaForCausalLM(LlamaConfig(**{**SIZES, "rope_parameters": LLAMA3_ROPE})),
    "yarn": lambda: LlamaForCausalLM(LlamaConfig(**{**SIZES, "rope_parameters": YARN_ROPE})),
    "tied, one key head": lambda: LlamaForCausalLM(
        LlamaConfig(**{**SIZES, "tie_word_embeddings": True, "num_key_value_heads": 1})
    ),
    "large heads": lambda: LlamaForCausalLM(LlamaConfig(**{**SIZES, "head_dim": 32})),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**{**SIZES, "sliding_window": None})),
    "short windows": lambda: MistralForCausalLM(MistralConfig(**{**SIZES, "sliding_window": 8})),
    "one long window": lambda: Qwen2ForCausalLM(
        Qwen2Config(
            **{**SIZES, "use_sliding_window": True, "sliding_window": 130, "max_window_layers": 1}
        )
    ),
    "gemma": lambda: GemmaForCausalLM(GemmaConfig(**{**SIZES, "head_dim": 32})),
    "gemma 2": lambda: Gemma2ForCausalLM(Gemma2Config(**{**SIZES, **GEMMA_2})),
    "gemma 3 that sees": lambda: Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config={**SIZES, **GEMMA_3},
            vision_config={
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 1,
                "num_attention_heads": 4,
                "image_size": 28,
                "patch_size": 14,
            },
            boi_token_index=397,
            eoi_token_index=398,
            image_token_index=399,
        )
    ),
    "gemma 3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**{**SIZES, **GEMMA_3})),
    "granite": lambda: GraniteForCausalLM(GraniteConfig(**{**SIZES, **GRANITE})),
    "phi 3": lambda: Phi3ForCausalLM(Phi3Config(**{**SIZES, "sliding_window": 40})),
    "qwen 2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    "qwen 3": lambda: Qwen3ForCausalLM(Qwen3Config(**{**SIZES, "head_dim": 16})),
    "smollm 3": lambda: SmolLM3ForCausalLM(
        SmolLM3Config(**{**SIZES, "no_rope_layers": [1, 0], "use_sliding_window": False})
    ),
}
MIXTURES: dict[str, Callable[[], Any]] = {
    "granite moe": lambda: GraniteMoeForCausalLM(
        GraniteMoeConfig(
            **{**SIZES, **GRANITE, "num_local_experts": 5, "num_experts_per_tok": 2},
        )
    ),
    "mixtral": lambda: MixtralForCausalLM(MixtralConfig(**{**SIZES, "num_local_experts": 4})),
    "all experts for each token": lambda: MixtralForCausalLM(
        MixtralConfig(**{**SIZES, "num_local_experts": 4, "num_experts_per_tok": 4})
    ),
    "olmoe": lambda: OlmoeForCausalLM(OlmoeConfig(**{**SIZES, **EXPERTS})),
    "qwen 3 moe": lambda: Qwen3MoeForCausalLM(
        Qwen3MoeConfig(**{**QWEN_3_MOE, "norm_topk_prob": True})
    ),
    "one layer of experts": lambda: Qwen3MoeForCausalLM(
        Qwen3MoeConfig(**{**QWEN_3_MOE, "mlp_only_layers": [0]})
    ),
}
FAMILIES = {**DENSE, **MIXTURES}


def make(family: str) -> Any:
    torch.manual_seed(1)
    model = FAMILIES[family]().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("bias", "norm.weight")):  # as they are made they would hide errors
                parameter.normal_(0.5, 0.3)
    return model


def never() -> bool:
    return False


def reference(model: Any, tokens: Sequence[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([list(tokens)])).logits[0].float()
    return logits


def read_in(decoder: FusedDecoder, tokens: Sequence[int], cuts: Sequence[int]) -> torch.Tensor:
    """Logits after each of ``tokens``, which are read up to each of the cuts."""
    rows, start = [], 0
    for end in (*cuts, len(tokens)):
        rows.append(decoder.read(tokens[start:end], start, never, wants_each=True))
        start = end
    return torch.cat(rows).float()


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_those_of_transformers(family: str) -> None:
    model = make(family)
    expected = reference(model, TOKENS)
    assert fused_refusal(model) == ""
    architecture = packed_architecture(model)
    # Whole; by portions on each side of what is grouped; and one by one past a bucket's end.
    cuts = [130, 131, 140, 156, 173, *range(200, 300)]
    for given in ([], cuts):
        decoder = FusedDecoder(architecture)
        torch.testing.assert_close(read_in(decoder, TOKENS, given), expected, atol=2e-4, rtol=1e-3)
    # The weights that were joined are still the model's own.
    torch.testing.assert_close(reference(model, TOKENS), expected, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("family", "each"),
    [("llama", 9), ("qwen 3", 11), ("gemma 3", 13), ("qwen 3 moe", 16)],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "8-bit"])
def test_what_a_family_has_not_is_not_computed_for_it(
    family: str, each: int, precision: Precision
) -> None:
    """One instruction more would cost a small model what it takes to begin it, in every layer."""
    model = make(family).bfloat16()
    prepare_for_cpu(model, precision)
    step = FusedDecoder(packed_architecture(model))._step
    assert len(step._few_rows._program) == 1 + 2 * each


@pytest.mark.parametrize("precision", ["fp32", "bf16", "8-bit", "4-bit"])
@pytest.mark.parametrize(
    "family", ["llama with biases", "short windows", "gemma 2", "gemma 3", "qwen 3 moe"]
)
def test_several_tokens_come_to_what_each_does_alone(family: str, precision: Precision) -> None:
    """To the last bit: or a guess could be taken that the model would not write itself."""
    model = make(family).bfloat16()
    prepare_for_cpu(model, precision)
    decoder = FusedDecoder(packed_architecture(model))
    alone = read_in(decoder, TOKENS, [360, *range(361, 400)])
    assert torch.equal(read_in(decoder, TOKENS, [360, 362, 366, 379, 395]), alone)
    # And to what they do in a block, but for the order of sums.
    whole = read_in(decoder, TOKENS, [])
    assert torch.corrcoef(torch.stack((alone[360:].flatten(), whole[360:].flatten())))[0, 1] > 0.99


@pytest.fixture
def num_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("num_threads", [1, 3], indirect=True)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "8-bit", "4-bit"])
@pytest.mark.parametrize(
    "family", ["llama with biases", "qwen 3", "short windows", "gemma 2", "qwen 3 moe"]
)
def test_a_token_of_a_portion_comes_to_the_same_in_any_other(
    family: str, precision: Precision, num_threads: int
) -> None:
    """To the last bit: what is kept for a seeded answer must be what it would have read itself."""
    model = make(family).bfloat16()
    prepare_for_cpu(model, precision)
    decoder = FusedDecoder(packed_architecture(model))
    least = decoder.exact_from
    if not least:
        pytest.skip("a library multiplies on this processor")
    whole = read_in(decoder, TOKENS, [])
    cuts = [least, 2 * least, 150, 150 + least + 1, 383 - least, 383]
    assert torch.equal(read_in(decoder, TOKENS, cuts), whole)


def test_where_a_library_multiplies_it_matters_how_many_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on processors with products in bf16, which this one need not be."""
    monkeypatch.setattr(
        "chatbot.engine.decode.cpu.projections.torch_is_quicker", lambda dtype: True
    )
    exact = reference(make("llama with biases"), TOKENS)
    model = make("llama with biases").bfloat16()
    expected = reference(model, TOKENS)
    error = (expected - exact).square().mean().sqrt()
    prepare_for_cpu(model, "bf16")
    decoder = FusedDecoder(packed_architecture(model))
    assert decoder.exact_from == 0
    found = read_in(decoder, TOKENS, [130, 131, 140, 173, *range(200, 300)])
    assert (found - exact).square().mean().sqrt() < 1.2 * error


HALVED = [
    *("llama with biases", "qwen 3", "smollm 3", "short windows"),
    *("gemma", "gemma 2", "gemma 3", "granite"),
]
ALL_CHOSEN = "all experts for each token"
"""Where others are chosen, for what was rounded differently, all that follows is different."""


@pytest.mark.parametrize("family", [*HALVED, ALL_CHOSEN])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_as_close_as_its_rounding(family: str, precision: Precision) -> None:
    exact = reference(make(family), TOKENS)
    model = make(family).to(torch.bfloat16 if precision == "bf16" else torch.float16)
    expected = reference(model, TOKENS)
    error = (expected - exact).square().mean().sqrt()
    prepare_for_cpu(model, precision)
    decoder = FusedDecoder(packed_architecture(model))
    cuts = [130, 131, 140, 156, 173, *range(200, 300)]
    found = read_in(decoder, TOKENS, cuts)
    assert (found - exact).square().mean().sqrt() < 1.2 * error
    assert (found - expected).square().mean().sqrt() < 1.5 * error


@pytest.mark.parametrize(
    "family",
    [
        *("llama with biases", "qwen 3", "tied, one key head", "short windows", "gemma 3", "phi 3"),
        ALL_CHOSEN,
    ],
)
def test_eight_bits_are_nearly_exact(family: str) -> None:
    model = make(family)
    expected = reference(model, TOKENS)
    prepare_for_cpu(model, "8-bit")
    decoder = FusedDecoder(packed_architecture(model))
    found = read_in(decoder, TOKENS, [130, *range(140, 160)])
    assert torch.corrcoef(torch.stack((found.flatten(), expected.flatten())))[0, 1] > 0.999
    # Transformers' own forward finds the same layers.
    torch.testing.assert_close(reference(model, TOKENS), found, atol=0.1, rtol=0.01)


@pytest.mark.parametrize("precision", ["fp32", "8-bit", "4-bit"])
@pytest.mark.parametrize("family", MIXTURES)
def test_transformers_own_forward_has_the_packed_experts(family: str, precision: Precision) -> None:
    model = make(family)
    prepare_for_cpu(model, precision)
    for tokens in (TOKENS[:9], TOKENS):
        found = read_in(FusedDecoder(packed_architecture(model)), tokens, [])
        expected = reference(model, tokens)
        likeness = torch.nn.functional.cosine_similarity(found, expected)
        # In 4 bits activations are rounded, here to one step and there to the next.
        assert likeness.median() > 0.999
        assert (likeness < 0.99).float().mean() < 0.1


@pytest.mark.parametrize("family", ["llama", "qwen 3 moe", "olmoe"])
def test_four_bits_are_close(family: str) -> None:
    model = make(family)
    expected = reference(model, TOKENS)
    prepare_for_cpu(model, "4-bit")
    found = read_in(FusedDecoder(packed_architecture(model)), TOKENS, [130])
    assert torch.corrcoef(torch.stack((found.flatten(), expected.flatten())))[0, 1] > 0.9


@pytest.mark.parametrize("looks_up", [False, True])
@pytest.mark.parametrize(
    "family",
    [
        *("short windows", "one long window", "gemma", "gemma 2", "gemma 3"),
        *("qwen 3 moe", "mixtral", "olmoe"),
    ],
)
def test_a_long_answer_is_that_of_generate(family: str, looks_up: bool) -> None:
    model = make(family)
    prompt = [*TOKENS[:70], *TOKENS[:40]]
    sampling = Sampling(temperature=0, max_tokens=150)
    cached = Counted(model)
    found = write(cached, prompt, sampling, looks_up=looks_up)
    expected = model.generate(
        torch.tensor([prompt]), max_new_tokens=150, do_sample=False, eos_token_id=None
    )
    assert found == expected[0, len(prompt) :].tolist()
    assert (cached.num_ahead > 0) is looks_up
    assert cached.decoder_name == "fused"


def test_packed_weights_take_the_memory_of_their_precision() -> None:
    model = make("llama")
    in_layers = sum(layer.weight.numel() for layer in model.modules() if _is_linear(layer))
    prepare_for_cpu(model, "8-bit")
    num_filled = 2 * 64 * 32  # of the 96 inputs of the last matrix of a layer, to 128
    assert packed_bytes(model) - in_layers - num_filled == 4 * (2 * (128 + 64 + 192 + 64) + 400)
    assert not any(layer.weight.numel() for layer in model.modules() if _is_linear(layer))


def _is_linear(module: Any) -> bool:
    return isinstance(module, torch.nn.Linear)


def test_other_builds_are_quantised_for_transformers_step() -> None:
    model = make_gpt2()
    expected = reference(model, TOKENS[:100])
    prepare_for_cpu(model, "8-bit")
    cached = CachedModel(model)
    assert cached.decoder_name == "transformers"
    found = cached.read_each(TOKENS[:100]).float()
    assert torch.corrcoef(torch.stack((found.flatten(), expected.flatten())))[0, 1] > 0.999


def test_the_cache_grows_by_buckets_and_keeps_what_was_read() -> None:
    model = make("llama")
    cached = CachedModel(model)
    cached.read(TOKENS[:5])
    one = cached.num_cache_bytes
    cached.read(TOKENS[5:BUCKET])
    assert cached.num_cache_bytes == one
    logits = cached.read(TOKENS[BUCKET : BUCKET + 2])
    assert cached.num_cache_bytes == 2 * one
    expected = reference(model, TOKENS[: BUCKET + 2])[-1]
    torch.testing.assert_close(logits, expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("family", ["qwen 3", "short windows", "gemma 3"])
def test_what_was_taken_back_leaves_no_trace(family: str) -> None:
    cached = CachedModel(make(family))
    cached.read(TOKENS[:40])
    cached.read_each([7, 8, 9, 10])
    cached.take_back(3)
    assert cached.num_tokens == 41
    logits = cached.read([5])
    fresh = CachedModel(make(family)).read([*TOKENS[:40], 7, 5])
    torch.testing.assert_close(logits, fresh, atol=2e-4, rtol=1e-3)


def _with_chunks() -> Any:
    model = make("qwen 2")
    model.config.layer_types[1] = "chunked_attention"
    model.config.attention_chunk_size = 64
    return model


def _with_gelu() -> Any:
    return make_llama(hidden_act="gelu")


def _with_adapter() -> Any:
    model = make_llama()

    class Adapted(torch.nn.Linear):
        pass

    model.model.layers[1].mlp.up_proj.__class__ = Adapted
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (make_gpt2, "another build"),
        (_with_chunks, "kind chunked_attention"),
        (_with_gelu, "GELUActivation"),
        (_with_adapter, "Adapted"),
    ],
)
def test_what_is_not_understood_is_left_to_transformers(
    model: Callable[[], Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = model()
    assert words in fused_refusal(made)
    cached = CachedModel(made)
    assert cached.decoder_name == "transformers"
    assert words in capsys.readouterr().err
    cached.clear()
    assert capsys.readouterr().err == ""  # said once


def test_layers_that_change_are_noticed_when_the_cache_is_cleared() -> None:
    model = make_llama()
    cached = CachedModel(model)
    assert cached.decoder_name == "fused"
    model.model.layers[0].mlp.down_proj.__class__ = type("Adapted", (torch.nn.Linear,), {})
    cached.clear()
    assert cached.decoder_name == "transformers"


def test_layers_that_do_not_fit_together_are_not_computed() -> None:
    model = make("llama")
    mlp = model.model.layers[1].mlp
    mlp.down_proj = torch.nn.Linear(320, 64, bias=False)
    with pytest.raises(ValueError, match="192 numbers"):
        FusedDecoder(packed_architecture(model))
    mlp.down_proj = torch.nn.Linear(96, 128, bias=False)
    with pytest.raises(ValueError, match="to 128"):
        FusedDecoder(packed_architecture(model))


def test_the_dtype_that_torch_makes_tensors_of_does_not_matter() -> None:
    architecture = packed_architecture(make("llama"))
    expected = read_in(FusedDecoder(architecture), TOKENS, [*range(380, 400)])
    torch.set_default_dtype(torch.bfloat16)
    try:
        decoder = FusedDecoder(architecture)
        found = read_in(decoder, TOKENS, [*range(380, 400)])
        assert decoder._step._few_rows._partial_sums.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_cache_for_which_there_is_no_memory_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = KeyValues(3, 2, 8, torch.float32)
    cache.reserve(10, 0)
    left = [1]

    def empty(capacity: int) -> torch.Tensor:
        if left.pop() == 0:
            raise RuntimeError("no memory")
        left.append(0)
        return torch.empty(2, 1, 2, capacity, 8)

    with monkeypatch.context() as patch:
        patch.setattr(
            cache, "_empty", lambda size: empty(size) if size else torch.empty(2, 1, 2, 0, 8)
        )
        with pytest.raises(RuntimeError, match="no memory"):
            cache.reserve(BUCKET + 1, 10)
    assert cache.capacity == cache.num_bytes == 0
