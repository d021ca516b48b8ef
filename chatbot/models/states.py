"""What layers that are no attention keep of all tokens before, whatever their number.

Reckoned by a configuration, under the names of any family. Knows no file.
"""

from collections.abc import Mapping
from typing import Final

from chatbot.models.shape import WITHOUT_ATTENTION, TextConfig

_STATES: Final = ("linear_attention", "mamba", "conv", "recurrent", "hybrid", "M")
"""Kinds of layers that keep a state; ``M`` in the pattern of Nemotron-H."""
_WITHOUT_KEYS: Final = (
    "linear_attention",
    "mamba",
    "conv",
    "recurrent",
    "M",
    "moe",
    "mlp",
    "-",
    "E",
)
"""Kinds of layers that keep no keys and values."""

_VALUE_BYTES: Final = 4
"""Of one number of a state, in every precision; convolutions, which are small, may have fewer."""

_BOTH: Final = ("falcon_h1",)
"""Families each of whose layers keeps both."""


def layer_kinds(config: TextConfig) -> tuple[int, int]:
    """How many layers keep keys and values of each token, and how many a state; some keep both."""
    total = config.num_layers
    if config.family in WITHOUT_ATTENTION:
        return 0, total
    if config.family in _BOTH:
        return total, total
    content = config.content
    kinds = next(
        (
            content[name]
            for name in ("layer_types", "layers_block_type", "hybrid_override_pattern")
            if isinstance(content.get(name), list | str)
        ),
        None,
    )
    if kinds:
        return sum(kind not in _WITHOUT_KEYS for kind in kinds), sum(
            kind in _STATES for kind in kinds
        )
    if (own_layers := _attention_layers(config)) is not None:
        return own_layers, total - own_layers
    return total, 0


def _attention_layers(config: TextConfig) -> int | None:
    """How many these are, where a family says in another way which; None for all."""
    for content in (config.content, config.content.get("linear_attn_config")):
        for name in ("attn_layer_indices", "full_attn_idxs", "full_attn_layers"):
            if isinstance(content, Mapping) and isinstance(content.get(name), list):
                return len(content[name])
    every = config.number("full_attention_interval", "attn_layer_period", default=1)
    if every > 1:
        first = config.content.get("attn_layer_offset", every - 1)
        return len(range(int(first), config.num_layers, every))
    return None


def state_bytes(config: TextConfig) -> int:
    """Memory of the state of one layer that has one."""
    own = config.content.get("linear_attn_config")
    if isinstance(own, Mapping):
        config = TextConfig({**config.content, **{f"linear_{key}": own[key] for key in own}})
    hidden, number = config.hidden_size, config.number
    kernel = number("linear_conv_kernel_dim", "mamba_d_conv", "conv_kernel", default=4)
    if config.has_number("linear_num_value_heads"):
        key, value = number("linear_key_head_dim"), number("linear_value_head_dim")
        num_keys, num_values = number("linear_num_key_heads"), number("linear_num_value_heads")
        convolved = 2 * num_keys * key + num_values * value
        return _VALUE_BYTES * (num_values * key * value + convolved * kernel)
    if config.has_number("linear_num_heads"):
        heads, size = number("linear_num_heads"), number("linear_head_dim")
        return _VALUE_BYTES * (heads * size * size + 3 * heads * size * kernel)
    if config.has_number("conv_L_cache") or config.family.startswith("lfm"):
        return _VALUE_BYTES * hidden * number("conv_L_cache", default=3)
    inner = number("mamba_d_ssm", default=number("expand", "mamba_expand", default=2) * hidden)
    size = number("mamba_d_state", "ssm_state_size", "state_size", default=16)
    heads_names = ("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads")
    groups = 0
    if config.has_number(*heads_names):  # Mamba 2
        heads = number(*heads_names)
        per_head = ("mamba_d_head", "mamba_head_dim", "mamba_headdim", "head_dim")
        inner = heads * number(*per_head, default=inner // heads)
        groups = number("mamba_n_groups", "n_groups", "mamba_ngroups", default=1)
    return _VALUE_BYTES * (inner * size + (inner + 2 * groups * size) * kernel)
