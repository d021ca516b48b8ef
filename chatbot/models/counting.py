"""How many parameters a model has, by its configuration alone.

One rule for what all families share, and a row for what each does in its own way. Held
against transformers' own classes in the tests. Knows no file.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chatbot.models.shape import ModelShape, TextConfig


class _Family(msgspec.Struct, frozen=True, kw_only=True):
    """How one family differs from Llama."""

    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    is_gated: bool = True
    """Three matrices between the attentions, else two."""
    norms_per_layer: int = 2
    norm_bias: bool = False
    has_qk_norm: bool = False
    learns_positions: bool = False
    head_bias: bool = False


_LLAMA: Final = _Family()
_ALL_BIASED: Final = _Family(
    qkv_bias=True, output_bias=True, mlp_bias=True, is_gated=False, norm_bias=True
)

_FAMILIES: Final[Mapping[str, _Family]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _Family(norms_per_layer=4),
    "gemma3_text": _Family(norms_per_layer=4, has_qk_norm=True),
    "qwen2": _Family(qkv_bias=True),
    "qwen3": _Family(has_qk_norm=True),
    "smollm3": _LLAMA,
    "phi3": _LLAMA,
    "phi": msgspec.structs.replace(_ALL_BIASED, norms_per_layer=1, head_bias=True),
    "gpt2": msgspec.structs.replace(_ALL_BIASED, learns_positions=True),
    "gpt_neox": _ALL_BIASED,
    "falcon": _Family(is_gated=False, norm_bias=True),
}
"""By ``model_type``; all others are taken for relatives of Llama, and said to be estimated."""

OWN_STEP: Final = (
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "granite",
    "llama",
    "mistral",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
)
"""Families that ``engine.decode.architecture`` reads."""


def shape_of(content: Mapping[str, Any]) -> ModelShape:
    """The sizes that a configuration stands for.

    Args:
        content: what ``config.json`` holds.

    Raises:
        ModelError: a size is missing or absurd.
    """
    config = TextConfig(content)
    family = _family_of(config)
    layer, layer_small = _layer(config, family)
    embeddings = config.vocab_size * config.hidden_size
    if family.learns_positions:
        embeddings += config.context_length * config.hidden_size
    if not config.is_tied:
        embeddings += config.vocab_size * config.hidden_size
    if family.head_bias:
        embeddings += config.vocab_size
    final_norm = config.hidden_size * (2 if family.norm_bias else 1)
    window, num_sliding = config.sliding_layers()
    small = embeddings + final_norm + config.num_layers * layer_small
    return ModelShape(
        num_parameters=small + config.num_layers * layer,
        num_unquantised=small,
        num_layers=config.num_layers,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        hidden_size=config.hidden_size,
        vocab_size=config.vocab_size,
        context_length=config.context_length,
        sliding_window=window,
        num_sliding_layers=num_sliding,
        is_tied=config.is_tied,
        has_own_step=config.family in OWN_STEP and not config.has_moving_rotation,
        is_exact=config.family in _FAMILIES,
    )


def _family_of(config: TextConfig) -> _Family:
    family = _FAMILIES.get(config.family, _LLAMA)
    if config.family == "falcon":
        parallel = bool(config.content.get("parallel_attn", True))
        single = parallel and not config.has("new_decoder_architecture")
        biased = config.has("bias")
        return msgspec.structs.replace(
            family,
            norms_per_layer=1 if single else 2,
            qkv_bias=biased,
            output_bias=biased,
            mlp_bias=biased,
        )
    if config.family == "gpt_neox" and not config.content.get("attention_bias", True):
        return msgspec.structs.replace(family, qkv_bias=False, output_bias=False)
    if config.has("attention_bias"):
        family = msgspec.structs.replace(family, qkv_bias=True, output_bias=True)
    if config.has("mlp_bias"):
        family = msgspec.structs.replace(family, mlp_bias=True)
    return family


def _layer(config: TextConfig, family: _Family) -> tuple[int, int]:
    """Parameters of one layer: in its matrices, and in its norms and biases."""
    hidden, inner = config.hidden_size, config.intermediate_size
    queries = config.num_heads * config.head_dim
    keys = config.num_kv_heads * config.head_dim
    num_inputs = 2 if family.is_gated else 1  # matrices that lead into the wide middle
    num_experts = config.number("num_local_experts", "num_experts", default=1)
    matrices = hidden * (queries + 2 * keys) + queries * hidden
    matrices += num_experts * (num_inputs + 1) * hidden * inner
    small = family.norms_per_layer * hidden * (2 if family.norm_bias else 1)
    if family.qkv_bias:
        small += queries + 2 * keys
    if family.output_bias:
        small += hidden
    if family.mlp_bias:
        small += num_inputs * inner + hidden
    if family.has_qk_norm:
        small += 2 * config.head_dim
    return matrices, small
