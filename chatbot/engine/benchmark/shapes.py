"""Models of known sizes with random weights: speed depends on the shape alone.

So a machine can be measured with a model that is not there.
"""

from typing import Any, Final

from transformers import (
    Gemma3TextConfig,
    GraniteMoeConfig,
    LlamaConfig,
    OlmoeConfig,
    PretrainedConfig,
    Qwen3Config,
    Qwen3MoeConfig,
)

from chatbot.errors import SettingError

_LLAMA_2: Final = {"rms_norm_eps": 1e-5, "vocab_size": 32_000}
_LLAMA_3: Final = {
    "rms_norm_eps": 1e-5,
    "vocab_size": 128_256,
    "max_position_embeddings": 131_072,
}
_SMOLLM2: Final = {"vocab_size": 49_152, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5}
_GEMMA_3: Final = {"vocab_size": 262_144, "head_dim": 256, "sliding_window": 512}
_QWEN_3: Final = {"vocab_size": 151_936, "max_position_embeddings": 40_960, "head_dim": 128}
_QWEN_3_MOE: Final = {
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "norm_topk_prob": True,
}
_GRANITE_MOE: Final = {
    "vocab_size": 49_155,
    "max_position_embeddings": 4096,
    "num_local_experts": 32,
    "num_experts_per_tok": 8,
    "attention_multiplier": 1 / 64,
    "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22,
    "logits_scaling": 6.0,
}
_OLMOE: Final = {
    "vocab_size": 50_304,
    "max_position_embeddings": 4096,
    "num_experts": 64,
    "num_experts_per_tok": 8,
}


def _sizes(hidden: int, mlp: int, layers: int, heads: int, kv_heads: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
    }


_SHAPES: Final[dict[str, tuple[type[PretrainedConfig], dict[str, Any]]]] = {
    "tiny": (LlamaConfig, {"vocab_size": 512, **_sizes(64, 128, 2, 4, 2)}),
    "smollm2-135m": (
        LlamaConfig,
        {**_SMOLLM2, **_sizes(576, 1536, 30, 9, 3), "tie_word_embeddings": True},
    ),
    "smollm2-1.7b": (
        LlamaConfig,
        {**_SMOLLM2, **_sizes(2048, 8192, 24, 32, 32), "tie_word_embeddings": True},
    ),
    "qwen3-0.6b": (
        Qwen3Config,
        {**_QWEN_3, **_sizes(1024, 3072, 28, 16, 8), "tie_word_embeddings": True},
    ),
    "qwen3-8b": (Qwen3Config, {**_QWEN_3, **_sizes(4096, 12_288, 36, 32, 8)}),
    "qwen3-30b-a3b": (
        Qwen3MoeConfig,
        {**_QWEN_3, **_QWEN_3_MOE, **_sizes(2048, 6144, 48, 32, 4)},
    ),
    "granite-3.0-1b-a400m": (
        GraniteMoeConfig,
        {**_GRANITE_MOE, **_sizes(1024, 512, 24, 16, 8), "tie_word_embeddings": True},
    ),
    "olmoe-1b-7b": (OlmoeConfig, {**_OLMOE, **_sizes(2048, 1024, 16, 16, 16)}),
    "gemma-3-1b": (Gemma3TextConfig, {**_GEMMA_3, **_sizes(1152, 6912, 26, 4, 1)}),
    "llama-2-7b": (LlamaConfig, {**_LLAMA_2, **_sizes(4096, 11_008, 32, 32, 32)}),
    "llama-3.2-1b": (
        LlamaConfig,
        {**_LLAMA_3, **_sizes(2048, 8192, 16, 32, 8), "tie_word_embeddings": True},
    ),
    "llama-3.1-8b": (LlamaConfig, {**_LLAMA_3, **_sizes(4096, 14_336, 32, 32, 8)}),
}


def random_config(name: str) -> Any:
    """The configuration called ``name``.

    Raises:
        SettingError: there is none; the text lists those there are.
    """
    if name not in _SHAPES:
        raise SettingError(f"There is no shape {name[:80]!r}; there are {', '.join(_SHAPES)}.")
    kind, options = _SHAPES[name]
    return kind(**options)
