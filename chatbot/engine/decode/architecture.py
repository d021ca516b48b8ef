"""Reads a transformers model into the parts that our own step computes with.

What is not understood to the last detail is refused, with the reason; transformers computes
it then. Knows transformers' modules; nothing of caches and tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import torch
from torch import Tensor, nn

from chatbot.engine.decode.projection import Projection

CLASSES: Final = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
)
"""Models of one build: norm, attention, norm, gated perceptron, with a residual around each."""

STATIC_ROPES: Final = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose frequencies do not change as the text grows."""

DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)

GROUPS: Final = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers that read the same activations, and so can be one product."""

ProjectionOf = Callable[[nn.Module, Sequence[str]], Projection]
"""One product for the layers of a module that have these names."""


class Norm(msgspec.Struct, frozen=True):
    """Root mean square normalisation (Zhang and Sennrich 2019)."""

    weight: Tensor
    """[size of what is normalised]."""
    epsilon: float


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer's weights."""

    input_norm: Norm
    qkv: Projection
    query_norm: Norm | None
    """Over each head, before the rotation; and so for the keys."""
    key_norm: Norm | None
    is_rotated: bool
    """Whether positions are told by rotation; else they are not told."""
    window: int | None
    """How many tokens a new one sees, itself among them; None: all before it."""
    output: Projection
    mlp_norm: Norm
    gate_up: Projection
    down: Projection


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """A whole model."""

    embedding: Tensor
    """[vocab, hidden]."""
    layers: tuple[Layer, ...]
    final_norm: Norm
    head: Projection
    num_heads: int
    num_kv_heads: int
    head_size: int
    frequencies: Tensor
    """Radians a position, fp32 [head_size / 2]."""
    rotation_scale: float
    dtype: torch.dtype
    """Of what flows through the layers."""
    kept_dtype: torch.dtype
    """Of keys and values."""


def refusal(model: Any) -> str:
    """Why our own step cannot compute ``model``, in a few words; empty when it can."""
    config = model.config
    if type(model).__name__ not in CLASSES or not type(model).__module__.startswith("transformers"):
        return f"{type(model).__name__} is of another build"
    if model.dtype not in DTYPES:
        return f"its weights are {model.dtype}"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}"
    if unknown := set(_kinds_of_layers(model)) - {"full_attention", "sliding_attention"}:
        return f"some of its layers are of the kind {min(unknown)}"
    if type(model.model.embed_tokens) is not nn.Embedding:
        return f"its embedding is a {type(model.model.embed_tokens).__name__}"
    rope = model.model.rotary_emb
    if rope.rope_type not in STATIC_ROPES:
        return f"its rotary embedding is {rope.rope_type}"
    if 2 * rope.inv_freq.shape[0] != model.model.layers[0].self_attn.head_dim:
        return "it rotates a part of each head"
    return ""


def _kinds_of_layers(model: Any) -> Sequence[str]:
    """What transformers calls the attention of each layer."""
    config = model.config
    if type(model).__name__ == "MistralForCausalLM":  # whatever its configuration says of layers
        kind = "full_attention" if config.sliding_window is None else "sliding_attention"
        return [kind] * config.num_hidden_layers
    kinds: Sequence[str] | None = getattr(config, "layer_types", None)
    return kinds or ["full_attention"] * config.num_hidden_layers


def projected_layers(model: Any) -> Iterator[tuple[nn.Module, str]]:
    """All linear layers of ``model``, for which there is no refusal: their module, their name."""
    for layer in model.model.layers:
        yield from ((layer.self_attn, name) for name in (*GROUPS[0], "o_proj"))
        yield from ((layer.mlp, name) for name in (*GROUPS[1], "down_proj"))
    yield model, "lm_head"


def read_architecture(model: Any, projection_of: ProjectionOf) -> Architecture:
    """The parts of ``model``, for which there is no refusal; weights are shared with it.

    Args:
        model: of transformers.
        projection_of: gives its linear layers, alone or as the ``GROUPS``.
    """
    config = model.config
    attention = model.model.layers[0].self_attn
    first = projection_of(model.model.layers[0].mlp, ("down_proj",))
    dtype = first.work_dtype or model.dtype
    rope = model.model.rotary_emb
    return Architecture(
        embedding=model.model.embed_tokens.weight.detach(),
        layers=tuple(
            _layer(layer, kind, projection_of, dtype)
            for layer, kind in zip(model.model.layers, _kinds_of_layers(model), strict=True)
        ),
        final_norm=_norm(model.model.norm, dtype),
        head=projection_of(model, ("lm_head",)),
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_size=attention.head_dim,
        frequencies=rope.inv_freq.detach().float(),
        rotation_scale=float(rope.attention_scaling),
        dtype=dtype,
        # As fine as the weights: fp16, which bf16 is not as fine as, the kernels do not read.
        kept_dtype=torch.bfloat16 if model.dtype == torch.bfloat16 else dtype,
    )


def _layer(layer: Any, kind: str, projection_of: ProjectionOf, dtype: torch.dtype) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    query_norm = getattr(attention, "q_norm", None)
    key_norm = getattr(attention, "k_norm", None)
    return Layer(
        input_norm=_norm(layer.input_layernorm, dtype),
        qkv=projection_of(attention, GROUPS[0]),
        query_norm=None if query_norm is None else _norm(query_norm, dtype),
        key_norm=None if key_norm is None else _norm(key_norm, dtype),
        is_rotated=bool(getattr(attention, "use_rope", True)),
        window=attention.config.sliding_window if kind == "sliding_attention" else None,
        output=projection_of(attention, ("o_proj",)),
        mlp_norm=_norm(layer.post_attention_layernorm, dtype),
        gate_up=projection_of(mlp, GROUPS[1]),
        down=projection_of(mlp, ("down_proj",)),
    )


def _norm(norm: nn.Module, dtype: torch.dtype) -> Norm:
    weight: Any = norm.weight
    epsilon: Any = norm.variance_epsilon
    return Norm(weight.detach().to(dtype), float(epsilon))
