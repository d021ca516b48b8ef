"""Reads a transformers model into the parts that our own step computes with.

What is not understood to the last detail is refused, with the reason; transformers computes
it then. Knows transformers' modules; nothing of caches and tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import ACT2FN

from chatbot.engine.decode.projection import Projection
from chatbot.engine.decode.windows import kind_refusal, kinds_of_layers, window_of

CLASSES: Final = (
    "GemmaForCausalLM",
    "Gemma2ForCausalLM",
    "Gemma3ForCausalLM",
    "Gemma3ForConditionalGeneration",
    "GraniteForCausalLM",
    "GraniteMoeForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "MixtralForCausalLM",
    "OlmoeForCausalLM",
    "Phi3ForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM",
    "SmolLM3ForCausalLM",
)
"""Models of one build: norm, attention, norm, gated perceptron or a choice of several, with a
residual around each. Some have one more norm of what attention and perceptron come to."""

STATIC_ROPES: Final = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose frequencies do not change as the text grows."""

ACTIVATIONS: Final = {type(ACT2FN[name]): name for name in ("silu", "gelu_pytorch_tanh")}

SCALED_EMBEDDINGS: Final = (
    "GemmaTextScaledWordEmbedding",
    "Gemma2TextScaledWordEmbedding",
    "Gemma3TextScaledWordEmbedding",
)

CENTRED_NORMS: Final = ("GemmaRMSNorm", "Gemma2RMSNorm", "Gemma3RMSNorm")
"""Their weights are what is to be added to 1."""

DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)

GROUPS: Final = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers that read the same activations, and so can be one product."""

JOINED: Final = ("qkv_proj", "gate_up_proj")
"""What the ``GROUPS`` are called where each is one layer."""

EXPERTS: Final = ("gate_up_proj", "down_proj")
"""What experts consist of: each is the weights of all of them, one behind the other."""

ProjectionOf = Callable[[nn.Module, Sequence[str]], Projection]
"""One product for the layers, or the weight itself, of a module that have these names."""


class Norm(msgspec.Struct, frozen=True):
    """Root mean square normalisation (Zhang and Sennrich 2019)."""

    weight: Tensor
    """[size of what is normalised]."""
    epsilon: float

    def __call__(self, rows: Tensor) -> Tensor:
        """``rows`` [..., size], each divided by its root mean square, times the weight."""
        return functional.rms_norm(rows, rows.shape[-1:], self.weight, self.epsilon)


class Rotation(msgspec.Struct, frozen=True):
    """By what positions are told; see ``Rotations``."""

    frequencies: Tensor
    """Radians a position, fp32 [head_size / 2]."""
    scale: float


class Perceptron(msgspec.Struct, frozen=True, kw_only=True):
    """A gated one."""

    gate_up: Projection
    down: Projection

    @property
    def row_cost(self) -> float:
        """See ``Decoder``."""
        return self.gate_up.row_cost


class Experts(msgspec.Struct, frozen=True, kw_only=True):
    """Gated perceptrons, of which each token has those that a product chooses for it."""

    router: Projection
    """One output for each of them, the softmax of which is what they count for."""
    num_chosen: int
    """For each token."""
    sums_to_one: bool
    """Whether what those that are chosen count for does."""
    gate_up: Projection
    """Of the weights of all of them, one behind the other."""
    down: Projection
    """As ``gate_up``."""
    row_cost: Final = 0.7
    """See ``Decoder``: another token mostly has other experts."""


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer's weights."""

    input_norm: Norm
    qkv: Projection
    query_norm: Norm | None
    """Over each head, before the rotation; and so for the keys."""
    key_norm: Norm | None
    rotation: int | None
    """Which of the model's rotations tells positions; None: they are not told."""
    window: int | None
    """How many tokens a new one sees, itself among them; None: all before it."""
    output: Projection
    output_norm: Norm | None
    """Of what attention comes to, before it is added."""
    mlp_norm: Norm
    mlp: Perceptron | Experts
    mlp_output_norm: Norm | None
    """Of what the perceptron comes to, before it is added."""


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """A whole model."""

    embedding: Tensor
    """[vocab, hidden]."""
    embedding_scale: float
    layers: tuple[Layer, ...]
    final_norm: Norm
    head: Projection
    logit_bound: float | None
    """What logits are bent towards, by a tanh; None: they are not."""
    num_heads: int
    num_kv_heads: int
    head_size: int
    score_scale: float
    """Of the products of queries and keys."""
    score_bound: float | None
    """What these are bent towards, by a tanh; None: they are not."""
    rotations: tuple[Rotation, ...]
    activation: str
    """Of the gates: one of ``ACTIVATIONS``."""
    dtype: torch.dtype
    """Of what flows through the layers."""
    kept_dtype: torch.dtype
    """Of keys and values."""

    def embedded(self, ids: Tensor) -> Tensor:
        """What ``ids`` [...] begin as: [..., hidden]."""
        rows = functional.embedding(ids, self.embedding).to(self.dtype)
        return rows if self.embedding_scale == 1 else rows * self.embedding_scale

    def logits(self, rows: Tensor) -> Tensor:
        """What ``rows`` [..., hidden] of the last norm come to: [..., vocab]."""
        logits, bound = self.head(rows), self.logit_bound
        return logits if bound is None else (logits / bound).tanh_().mul_(bound)


def added(hidden: Tensor, projection: Projection, rows: Tensor, norm: Norm | None) -> Tensor:
    """``hidden`` and the product of ``rows``, which is normalised before where there is a norm."""
    return projection.add_to(hidden, rows) if norm is None else hidden + norm(projection(rows))


def refusal(model: Any) -> str:
    """Why our own step cannot compute ``model``, in a few words; empty when it can."""
    if type(model).__name__ not in CLASSES or not type(model).__module__.startswith("transformers"):
        return f"{type(model).__name__} is of another build"
    config, text = model.config.get_text_config(decoder=True), _text_model(model)
    if model.dtype not in DTYPES:
        return f"its weights are {model.dtype}"
    activation = type(_activation(text))
    if activation not in ACTIVATIONS:
        return f"its activation is {activation.__name__}"
    if getattr(config, "use_bidirectional_attention", False):
        return "its tokens see those behind them"
    if reason := kind_refusal(model):
        return reason
    embedding = type(text.embed_tokens)
    if embedding is not nn.Embedding and embedding.__name__ not in SCALED_EMBEDDINGS:
        return f"its embedding is a {embedding.__name__}"
    rope = text.rotary_emb
    kinds = [rope.rope_type] if isinstance(rope.rope_type, str) else rope.rope_type.values()
    if unknown := set(kinds) - set(STATIC_ROPES):
        return f"its rotary embedding is {min(unknown)}"
    if reason := _mixture_refusal(model):
        return reason
    if getattr(config, "clip_qkv", None) is not None:
        return "its queries, keys and values are clipped"
    head_size = text.layers[0].self_attn.head_dim
    if any(2 * one.frequencies.shape[0] != head_size for one in _rotations(model).values()):
        return "it rotates a part of each head"
    return ""


def _text_model(model: Any) -> Any:
    """The layers, with what comes before and after: of a model that also sees, those for text."""
    return getattr(model.model, "language_model", model.model)


def _mlp(layer: Any) -> Any:
    return layer.block_sparse_moe if hasattr(layer, "block_sparse_moe") else layer.mlp


def mixtures(model: Any) -> Iterator[Any]:
    """The modules of ``model``, of a class in ``CLASSES``, that choose experts."""
    mlps = (_mlp(layer) for layer in _text_model(model).layers)
    return (mlp for mlp in mlps if not hasattr(mlp, "down_proj"))


def _mixture_refusal(model: Any) -> str:
    for mlp in mixtures(model):
        experts = getattr(mlp, "experts", None)
        if any(getattr(experts, name, None) is None for name in EXPERTS):
            return f"its experts are a {type(experts or mlp).__name__}"
    return ""


def _activation(text: Any) -> nn.Module:
    mlp = _mlp(text.layers[0])
    mlp = getattr(mlp, "experts", mlp)
    activation: nn.Module = mlp.activation_fn if hasattr(mlp, "activation_fn") else mlp.act_fn
    return activation


def _group(parent: nn.Module, number: int) -> tuple[str, ...]:
    """The layers of ``parent`` that are one of the ``GROUPS``."""
    joined = JOINED[number]
    return (joined,) if hasattr(parent, joined) else GROUPS[number]


def _rotations(model: Any) -> dict[str, Rotation]:
    """By the kind of the layers, or by "" those of all."""
    rope = _text_model(model).rotary_emb
    kinds = ("",) if isinstance(rope.rope_type, str) else tuple(rope.rope_type)
    parts = {kind: f"{kind}_" if kind else "" for kind in kinds}
    return {
        kind: Rotation(
            getattr(rope, f"{part}inv_freq").detach().float(),
            float(getattr(rope, f"{part}attention_scaling")),
        )
        for kind, part in parts.items()
    }


def projected_layers(model: Any) -> Iterator[tuple[nn.Module, str]]:
    """All linear layers of ``model``, for which there is no refusal: their module, their name."""
    for layer in _text_model(model).layers:
        yield from ((layer.self_attn, name) for name in (*_group(layer.self_attn, 0), "o_proj"))
        mlp = _mlp(layer)
        if hasattr(mlp, "down_proj"):
            yield from ((mlp, name) for name in (*_group(mlp, 1), "down_proj"))
    yield model, "lm_head"


def read_architecture(model: Any, projection_of: ProjectionOf) -> Architecture:
    """The parts of ``model``, for which there is no refusal; weights are shared with it.

    Args:
        model: of transformers.
        projection_of: gives its linear layers, alone or as the ``GROUPS``, and of the ``mixtures``
            the weight of the router and the ``EXPERTS``.
    """
    config, text = model.config.get_text_config(decoder=True), _text_model(model)
    attention = text.layers[0].self_attn
    first = projection_of(attention, ("o_proj",))
    dtype = first.work_dtype or model.dtype
    embedding = text.embed_tokens
    scale = torch.tensor(getattr(embedding, "scalar_embed_scale", 1.0), device="cpu")
    shrinking = _shrinking(text.layers[0])
    divisor = config.logits_scaling if type(model).__name__.startswith("Granite") else 1.0
    final_norm = _norm(text.norm, dtype, shrinking)
    rotations = _rotations(model)
    numbers = {kind: number for number, kind in enumerate(rotations)}
    return Architecture(
        embedding=embedding.weight.detach(),
        # As it is rounded there, which is what a model was trained with.
        embedding_scale=float(scale.to(embedding.weight.dtype))
        * getattr(text, "embedding_multiplier", 1.0)
        / shrinking,
        layers=tuple(
            _layer(layer, window_of(model, kind), numbers.get(kind, 0), projection_of, dtype)
            for layer, kind in zip(text.layers, kinds_of_layers(model), strict=True)
        ),
        final_norm=Norm(final_norm.weight / divisor, final_norm.epsilon),
        head=projection_of(model, ("lm_head",)),
        logit_bound=(
            getattr(config, "final_logit_softcapping", None)
            if type(model).__name__.endswith("ForCausalLM")
            else None
        ),
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_size=attention.head_dim,
        score_scale=float(attention.scaling),
        # In Gemma 3 such a number is there too, and counts for nothing.
        score_bound=(
            attention.attn_logit_softcapping
            if type(attention).__name__ == "Gemma2Attention"
            else None
        ),
        rotations=tuple(rotations.values()),
        activation=ACTIVATIONS[type(_activation(text))],
        dtype=dtype,
        # As fine as the weights: fp16, which bf16 is not as fine as, the kernels do not read.
        kept_dtype=torch.bfloat16 if model.dtype == torch.bfloat16 else dtype,
    )


def _layer(
    layer: Any, window: int | None, rotation: int, projection_of: ProjectionOf, dtype: torch.dtype
) -> Layer:
    attention = layer.self_attn
    # The same name is that of another norm where there are two around the perceptron.
    has_four = hasattr(layer, "pre_feedforward_layernorm")
    mlp_norm = layer.pre_feedforward_layernorm if has_four else layer.post_attention_layernorm
    query_norm = getattr(attention, "q_norm", None)
    key_norm = getattr(attention, "k_norm", None)
    shrinking = _shrinking(layer)
    return Layer(
        input_norm=_norm(layer.input_layernorm, dtype, shrinking),
        qkv=projection_of(attention, _group(attention, 0)),
        query_norm=None if query_norm is None else _norm(query_norm, dtype),
        key_norm=None if key_norm is None else _norm(key_norm, dtype),
        rotation=rotation if getattr(attention, "use_rope", True) else None,
        window=window,
        output=projection_of(attention, ("o_proj",)),
        output_norm=_norm(layer.post_attention_layernorm, dtype) if has_four else None,
        mlp_norm=_norm(mlp_norm, dtype, shrinking),
        mlp=_perceptron(_mlp(layer), projection_of),
        mlp_output_norm=_norm(layer.post_feedforward_layernorm, dtype) if has_four else None,
    )


def _perceptron(mlp: Any, projection_of: ProjectionOf) -> Perceptron | Experts:
    if hasattr(mlp, "down_proj"):
        return Perceptron(
            gate_up=projection_of(mlp, _group(mlp, 1)), down=projection_of(mlp, ("down_proj",))
        )
    router = mlp.router if hasattr(mlp, "router") else mlp.gate
    gate_up, down = (projection_of(mlp.experts, (name,)) for name in EXPERTS)
    return Experts(
        router=projection_of(router, ("weight",)),
        num_chosen=router.top_k,
        sums_to_one=getattr(router, "norm_topk_prob", True),
        gate_up=gate_up,
        down=down,
    )


def _shrinking(layer: Any) -> float:
    """By what a layer multiplies what it adds. Here that is added as it is, to a state that is so
    much larger, which the norms undo."""
    return float(getattr(layer, "residual_multiplier", 1.0))


def _norm(norm: Any, dtype: torch.dtype, shrinking: float = 1.0) -> Norm:
    """``norm``, of what is ``1 / shrinking`` times as large as there."""
    weight: Any = norm.weight.detach()
    if type(norm).__name__ in CENTRED_NORMS:
        return Norm((1 + weight.float()).to(dtype), float(norm.eps))
    return Norm(weight.to(dtype), float(norm.variance_epsilon) / shrinking**2)
