"""How many parameters a model has, by its configuration alone.

One rule for what all families share, and a row for what each does in its own way. Held
against transformers' own classes in the tests. Knows no file.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chatbot.models.shape import ModelShape, TextConfig
from chatbot.models.states import layer_kinds, state_bytes


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
    norms_heads_as_one: bool = False
    """Whether ``has_qk_norm`` is over all heads of a token, not over each."""
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
    "granitemoe": _LLAMA,
    "mixtral": _LLAMA,
    "olmoe": _Family(has_qk_norm=True, norms_heads_as_one=True),
    "gemma2": _Family(norms_per_layer=4),
    "gemma3_text": _Family(norms_per_layer=4, has_qk_norm=True),
    "qwen2": _Family(qkv_bias=True),
    "qwen3": _Family(has_qk_norm=True),
    "qwen3_moe": _Family(has_qk_norm=True),
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
    "granitemoe",
    "llama",
    "mistral",
    "mixtral",
    "olmoe",
    "phi3",
    "qwen2",
    "qwen3",
    "qwen3_moe",
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
    num_experts, num_mixtures = config.experts()
    experts = num_mixtures * num_experts * _perceptron(config, family, config.expert_size)
    perceptrons = (config.num_layers - num_mixtures) * _perceptron(
        config, family, config.intermediate_size
    )
    embeddings = config.vocab_size * config.hidden_size
    if family.learns_positions:
        embeddings += config.context_length * config.hidden_size
    if not config.is_tied:
        embeddings += config.vocab_size * config.hidden_size
    if family.head_bias:
        embeddings += config.vocab_size
    final_norm = config.hidden_size * (2 if family.norm_bias else 1)
    window, num_sliding = config.sliding_layers()
    routers = num_mixtures * num_experts * config.hidden_size
    small = embeddings + final_norm + routers + config.num_layers * layer_small
    num_with_keys, num_with_states = layer_kinds(config)
    return ModelShape(
        num_parameters=small + config.num_layers * layer + perceptrons + experts,
        num_unquantised=small,
        num_in_experts=experts,
        num_layers=config.num_layers,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        hidden_size=config.hidden_size,
        vocab_size=config.vocab_size,
        context_length=config.context_length,
        sliding_window=window,
        num_sliding_layers=num_sliding,
        num_layers_without_keys=config.num_layers - num_with_keys,
        state_bytes=num_with_states * state_bytes(config) if num_with_states else 0,
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
    """Parameters of one layer: in its attention's matrices, and in its norms and biases."""
    hidden, inner = config.hidden_size, config.intermediate_size
    queries = config.num_heads * config.head_dim
    keys = config.num_kv_heads * config.head_dim
    matrices = hidden * (queries + 2 * keys) + queries * hidden
    small = family.norms_per_layer * hidden * (2 if family.norm_bias else 1)
    if family.qkv_bias:
        small += queries + 2 * keys
    if family.output_bias:
        small += hidden
    if family.mlp_bias:
        small += _num_inputs(family) * inner + hidden
    if family.has_qk_norm:
        small += queries + keys if family.norms_heads_as_one else 2 * config.head_dim
    return matrices, small


def _perceptron(config: TextConfig, family: _Family, inner: int) -> int:
    """Parameters in the matrices of one perceptron, ``inner`` wide in its middle."""
    return (_num_inputs(family) + 1) * config.hidden_size * inner


def _num_inputs(family: _Family) -> int:
    """Matrices that lead into the wide middle."""
    return 2 if family.is_gated else 1
