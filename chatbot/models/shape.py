"""What of a model's configuration decides how much memory it takes.

Reads the mapping that ``config.json`` holds. Knows no file and no device.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chatbot.errors import ModelError

LENGTH_FIELDS: Final = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "max_seq_len",
    "seq_length",
    "n_ctx",
)
"""Under one of these names a configuration says how long a sequence may be."""

LAYER_FIELDS: Final = ("num_hidden_layers", "n_layer", "num_layers")
"""Under one of these names it says how many layers there are."""

WITHOUT_ATTENTION: Final = ("mamba", "mamba2", "falcon_mamba")
"""Families whose layers keep states alone."""

_GEMMA3_PATTERN: Final = 6
"""Every so manieth layer of Gemma 3 sees all tokens, where the configuration says nothing."""

_SWITCHED_WINDOWS: Final = ("qwen2", "qwen3", "qwen3_moe", "smollm3")
"""Families with a window only where a switch says so."""


class ModelShape(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of one model."""

    num_parameters: int
    """Tied weights once."""
    num_unquantised: int
    """Of them, those that 8-bit and 4-bit leave in 16 bits: embeddings, head, norms, biases."""
    num_layers: int
    num_kv_heads: int
    head_dim: int
    hidden_size: int
    vocab_size: int
    context_length: int
    """Longest sequence it was made for, in tokens; 0 where the configuration does not say."""
    num_in_experts: int = 0
    """Of the others, those of experts, which on a CPU our own step alone has in 8 and 4 bits."""
    sliding_window: int = 0
    """Tokens that ``num_sliding_layers`` of its layers see; 0: all layers see all."""
    num_sliding_layers: int = 0
    num_layers_without_keys: int = 0
    """Layers that keep no keys and values of each token."""
    state_bytes: int = 0
    """What layers that are no attention keep together, whatever the number of tokens."""
    is_tied: bool = False
    """Whether its output head is its embedding too."""
    has_own_step: bool = False
    """Whether it is of Llama's build, which the engine computes by itself on a CPU."""
    in_16_bits: bool = False
    """Whether the files hold every weight in one format of 16 bits; False where that is unknown."""
    is_exact: bool = True
    """Whether the parameters were counted by what is known of the family, or in the files."""

    @property
    def num_head(self) -> int:
        """Parameters of the output head."""
        return self.vocab_size * self.hidden_size

    @property
    def num_quantised(self) -> int:
        """Parameters that 8-bit and 4-bit turn into 8 and 4 bits."""
        return self.num_parameters - self.num_unquantised


class TextConfig:
    """A configuration under the names of any family."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        """Use ``content``; a model that also sees has the text part in a table of its own.

        Raises:
            ModelError: a size is missing, no number, or absurd.
        """
        inner = content.get("text_config")
        self.content: Mapping[str, Any] = inner if isinstance(inner, Mapping) else content
        self.family = str(self.content.get("model_type") or content.get("model_type") or "")
        self.hidden_size = self.number("hidden_size", "n_embd", "d_model")
        kinds = self.content.get("layers_block_type")
        num_kinds = len(kinds) if isinstance(kinds, list) else None
        self.num_layers = self.number(*LAYER_FIELDS, default=num_kinds)
        self.num_heads = self.number(
            *("num_attention_heads", "n_head", "num_heads"),
            default=1 if self.family in WITHOUT_ATTENTION else None,
        )
        self.vocab_size = self.number("vocab_size")
        self.num_kv_heads = self._num_kv_heads()
        self.head_dim = self.number(
            "head_dim", "attention_head_dim", default=self.hidden_size // self.num_heads
        )
        inner_default = 4 * self.hidden_size
        self.intermediate_size = self.number(
            "intermediate_size", "n_inner", "ffn_hidden_size", default=inner_default
        )
        self.context_length = self.number(*LENGTH_FIELDS, default=0)
        self.is_tied = bool(
            self.content.get("tie_word_embeddings", content.get("tie_word_embeddings", self._ties))
        )

    def number(self, *names: str, default: int | None = None) -> int:
        """The whole number under the first of ``names`` that has one.

        Raises:
            ModelError: there is none, and no default, or it is absurd.
        """
        for name in names:
            value = self.content.get(name)
            if isinstance(value, bool) or not isinstance(value, int):
                continue
            if not 0 < value < 2**40:
                raise ModelError(f"The configuration is damaged: its {name} is {value}.")
            return value
        if default is None:
            raise ModelError(f"The configuration is incomplete: it has no {names[0]}.")
        return default

    def has_number(self, *names: str) -> bool:
        """Whether there is a number under one of ``names``."""
        return any(isinstance(self.content.get(name), int) for name in names)

    def has(self, name: str) -> bool:
        """Whether the switch called ``name`` is on."""
        return bool(self.content.get(name, False))

    @property
    def _ties(self) -> bool:
        """What the family does where the configuration does not say."""
        tying = ("gpt2", "gemma", "gemma2", "gemma3", "gemma3_text", "falcon", "smollm3")
        return self.family in tying

    @property
    def has_moving_rotation(self) -> bool:
        """Whether its rotary embedding goes by how long the text is."""
        rope = self.content.get("rope_parameters") or self.content.get("rope_scaling")
        if not isinstance(rope, Mapping):
            return False
        return rope.get("rope_type", rope.get("type")) in ("dynamic", "longrope", "su")

    def _num_kv_heads(self) -> int:
        if self.family == "falcon":
            if self.has("new_decoder_architecture"):
                return self.number("num_kv_heads", default=self.num_heads)
            return 1 if self.content.get("multi_query", True) else self.num_heads
        return self.number("num_key_value_heads", "num_kv_heads", default=self.num_heads)

    def experts(self) -> tuple[int, int]:
        """How many experts a layer that chooses among them has, and how many such layers."""
        num_experts = self.number("num_local_experts", "num_experts", default=1)
        if num_experts == 1:
            return 0, 0
        plain = self.content.get("mlp_only_layers")
        step = self.number("decoder_sparse_step", default=1)
        numbers = range(step, self.num_layers + 1, step)
        return num_experts, sum(number - 1 not in (plain or ()) for number in numbers)

    @property
    def expert_size(self) -> int:
        """How wide the middle of an expert is."""
        return self.number("moe_intermediate_size", default=self.intermediate_size)

    def sliding_layers(self) -> tuple[int, int]:
        """The window in tokens, and how many layers have it; zeros for none."""
        window = self.content.get("sliding_window")
        if not isinstance(window, int) or window <= 0:
            return 0, 0
        kinds = self.content.get("layer_types")
        if isinstance(kinds, list) and len(kinds) == self.num_layers:
            return window, sum(kind == "sliding_attention" for kind in kinds)
        if self.family == "gemma2":
            return window, (self.num_layers + 1) // 2
        if self.family in ("gemma3", "gemma3_text"):
            pattern = self.number("sliding_window_pattern", default=_GEMMA3_PATTERN)
            return window, self.num_layers - self.num_layers // pattern
        if self.family in _SWITCHED_WINDOWS and not self.has("use_sliding_window"):
            return 0, 0
        return window, self.num_layers
