"""How much memory a model takes, by precision and by how long its window is.

Pure arithmetic on shapes. Knows no file, no device and no torch.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from chatbot.models.shape import ModelShape

GIB: Final = 2**30

DEFAULT_CONTEXT: Final = 8192
"""Tokens that are reckoned with where nobody chose a context length: a long chat. A model
made for a million tokens takes their memory only when so many are there."""

BITS: Final[Mapping[str, float]] = {"fp32": 32, "bf16": 16, "fp16": 16, "8-bit": 8, "4-bit": 4}
"""Of one weight, in each precision, the finest first."""


_NF4_BLOCK: Final = 64
_NF4_SCALES_BLOCK: Final = 256
"""Double quantisation: one byte for so many weights, and one fp32 for so many of those."""

_INT4_GROUP_BYTES: Final = 4
INT4_GROUP: Final = 32
"""On a CPU: two numbers in bf16 for so many weights in 4 bits."""

READ_TOKENS: Final = 512
"""Tokens of a prompt that are read at a time on a GPU."""

MOST_SNAPSHOTS: Final = 8
MOST_SNAPSHOT_BYTES: Final = 2**29
"""What is copied of layers that cannot be cut at the end, so that a chat can go back: one copy at
least, however large."""

RUNTIME_BYTES: Final = 560 * 2**20
"""What torch, transformers and numba take in the engine process, model aside (measured on a CPU:
470 MiB before the model, 560 to 600 after the first answer); on a GPU its context is as large."""


class MemoryNeed(msgspec.Struct, frozen=True, kw_only=True):
    """What one model takes in one precision, in bytes."""

    precision: str
    nominal_weights: int
    """Every parameter at the precision's own size: the figure that is quoted of models."""
    weights: int
    """As they are loaded: in 8-bit and 4-bit, embeddings and norms stay in 16 bits."""
    cache: int
    """Keys and values of all tokens of the window, and what layers that are no attention keep."""
    overhead: int
    """The libraries, and room to work in."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.overhead


def window_of(shape: ModelShape, context_length: int) -> int:
    """Tokens that are reckoned with.

    Args:
        shape: the model's.
        context_length: what was chosen; 0 for nothing.
    """
    longest = shape.context_length or max(context_length, DEFAULT_CONTEXT)
    return min(context_length or DEFAULT_CONTEXT, longest)


def memory_need(
    shape: ModelShape, precision: str, context_length: int = 0, *, on_cpu: bool = False
) -> MemoryNeed:
    """What a model takes.

    Args:
        shape: the model's.
        precision: a key of ``BITS``.
        context_length: window in tokens; 0 for ``DEFAULT_CONTEXT``, or the model's own where
            that is shorter.
        on_cpu: whether a processor has the weights, in our own forms; else they are as transformers
            and bitsandbytes have them.
    """
    return MemoryNeed(
        precision=precision,
        nominal_weights=nominal_bytes(shape.num_parameters, precision),
        weights=weight_bytes(shape, precision, on_cpu=on_cpu),
        cache=cache_bytes(shape, precision, window_of(shape, context_length), on_cpu=on_cpu),
        overhead=RUNTIME_BYTES
        + _work_bytes(shape)
        + (0 if on_cpu or precision not in ("8-bit", "4-bit") else _widened_bytes(shape)),
    )


def nominal_bytes(num_parameters: int, precision: str) -> int:
    """Every parameter at the precision's own size."""
    return round(num_parameters * BITS[precision] / 8)


def weight_bytes(shape: ModelShape, precision: str, *, on_cpu: bool = False) -> int:
    """The weights as they are loaded."""
    if on_cpu:
        return _cpu_bytes(shape, precision)
    if precision == "8-bit":  # one byte each, and an fp32 scale for each row
        per_weight = in_experts = 1 + 4 / shape.hidden_size
    elif precision == "4-bit":
        per_weight = 0.5 + 1 / _NF4_BLOCK + 4 / (_NF4_BLOCK * _NF4_SCALES_BLOCK)
        in_experts = 0.5 + 2 / _NF4_BLOCK  # their scales are not quantised once more
    else:
        return nominal_bytes(shape.num_parameters, precision)
    num_others = shape.num_quantised - shape.num_in_experts
    size = 2 * shape.num_unquantised + per_weight * num_others + in_experts * shape.num_in_experts
    return round(size)


def _cpu_bytes(shape: ModelShape, precision: str) -> int:
    """The weights in our own forms; a head that is the embedding as well is there twice where it is
    rounded, or the embedding alone is widened.
    """
    head = shape.num_head
    num_rounded = shape.num_quantised - (0 if shape.has_own_step else shape.num_in_experts)
    kept = shape.num_parameters - num_rounded - (0 if shape.is_tied else head)
    in_8_bits = 1 + 4 / shape.hidden_size
    in_4_bits = 0.5 + _INT4_GROUP_BYTES / INT4_GROUP
    if precision == "8-bit":
        return round(2 * kept + in_8_bits * (num_rounded + head))
    if precision == "4-bit":
        return round(2 * kept + in_4_bits * num_rounded + in_8_bits * head)
    # Others are short too, but not while they are loaded.
    if precision == "fp32" and shape.in_16_bits and shape.has_own_step:
        return 4 * kept + 2 * (num_rounded + head)
    return nominal_bytes(shape.num_parameters, precision)


def cache_bytes(shape: ModelShape, precision: str, num_tokens: int, *, on_cpu: bool = False) -> int:
    """Keys and values of ``num_tokens``, and what other layers keep.

    Layers with a window keep no more than that in transformers' own cache; the others, of our step
    and on a GPU, keep all, so that a chat can go back to any place. For that, transformers' cache
    has copies of windows and states.
    """
    is_plain = shape.state_bytes > 0 or (on_cpu and not shape.has_own_step)
    # Our own step has them in bf16 or fp32.
    is_wide = precision == "fp32" or (precision == "fp16" and on_cpu and not is_plain)
    bytes_per_token = 2 * shape.num_kv_heads * shape.head_dim * (4 if is_wide else 2)
    num_sliding = shape.num_sliding_layers if is_plain else 0
    num_full = shape.num_layers - shape.num_layers_without_keys - num_sliding
    windows = num_sliding * min(num_tokens, max(shape.sliding_window - 1, 0)) * bytes_per_token
    copied = shape.state_bytes + (windows if num_tokens >= shape.sliding_window else 0)
    num_copies = min(max(MOST_SNAPSHOT_BYTES // copied, 1), MOST_SNAPSHOTS) if copied else 0
    return (
        num_full * num_tokens * bytes_per_token + windows + shape.state_bytes + num_copies * copied
    )


def _work_bytes(shape: ModelShape) -> int:
    """Logits of one position and the activations of one block of the prompt, in fp32."""
    return 4 * (4 * shape.vocab_size + READ_TOKENS * 8 * shape.hidden_size)


def _widened_bytes(shape: ModelShape) -> int:
    """What gates and what is gated of all experts of a layer in 16 bits, as it is widened for a
    block of the prompt."""
    return 2 * 2 * shape.num_in_experts // (3 * max(shape.num_layers, 1))
