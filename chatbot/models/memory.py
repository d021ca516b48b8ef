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


class CpuLayout(msgspec.Struct, frozen=True, kw_only=True):
    """In what form a processor has weights; see ``engine.decode.packing``."""

    reordered: frozenset[str] = frozenset()
    """Precisions whose weights are put in another order: a head that is the embedding as well is
    there twice."""
    widened: frozenset[str] = frozenset()
    """Precisions in 16 bits whose weights are widened on their way to a product; they lie in
    blocks that are filled up."""
    shortens: bool = False
    """Whether weights in fp32 that are no longer than 16 bits take no more than that, in models
    that our own step computes; in others they do too, but not while they are loaded. Heads in 16
    bits lie in the same blocks, in every model."""


_NF4_BLOCK: Final = 64
_NF4_SCALES_BLOCK: Final = 256
"""Double quantisation: one byte for so many weights, and one fp32 for so many of those."""

_INT4_GROUP_BYTES: Final = 4
_INT4_GROUP: Final = 32
"""On a CPU: two numbers in bf16 for so many weights in 4 bits."""

HALF_BLOCK: Final = 512
"""On a CPU: inputs that a weight in 16 bits has room for at a time."""

READ_TOKENS: Final = 512
"""Tokens of a prompt that are read at a time on a GPU."""

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
    """Keys and values of all tokens of the window."""
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
    shape: ModelShape, precision: str, context_length: int = 0, layout: CpuLayout | None = None
) -> MemoryNeed:
    """What a model takes.

    Args:
        shape: the model's.
        precision: a key of ``BITS``.
        context_length: window in tokens; 0 for ``DEFAULT_CONTEXT``, or the model's own where
            that is shorter.
        layout: how a processor has weights; None: as transformers and bitsandbytes have them.
    """
    return MemoryNeed(
        precision=precision,
        nominal_weights=nominal_bytes(shape.num_parameters, precision),
        weights=weight_bytes(shape, precision, layout),
        cache=cache_bytes(shape, precision, window_of(shape, context_length), layout),
        overhead=RUNTIME_BYTES + _work_bytes(shape),
    )


def nominal_bytes(num_parameters: int, precision: str) -> int:
    """Every parameter at the precision's own size."""
    return round(num_parameters * BITS[precision] / 8)


def weight_bytes(shape: ModelShape, precision: str, layout: CpuLayout | None = None) -> int:
    """The weights as they are loaded."""
    if layout is not None:
        return _cpu_bytes(shape, precision, layout)
    if precision == "8-bit":  # one byte each, and an fp32 scale for each row
        per_weight = 1 + 4 / shape.hidden_size
    elif precision == "4-bit":
        per_weight = 0.5 + 1 / _NF4_BLOCK + 4 / (_NF4_BLOCK * _NF4_SCALES_BLOCK)
    else:
        return nominal_bytes(shape.num_parameters, precision)
    return round(2 * shape.num_unquantised + per_weight * shape.num_quantised)


def _cpu_bytes(shape: ModelShape, precision: str, layout: CpuLayout) -> int:
    """The weights in our own forms; a head that is the embedding as well is there twice."""
    head = shape.num_head
    kept = shape.num_unquantised - (0 if shape.is_tied else head)
    in_8_bits = 1 + 4 / shape.hidden_size
    in_4_bits = 0.5 + _INT4_GROUP_BYTES / _INT4_GROUP
    if precision == "8-bit" or (precision == "4-bit" and shape.hidden_size % _INT4_GROUP):
        return round(2 * kept + in_8_bits * (shape.num_quantised + head))
    if precision == "4-bit":
        return round(2 * kept + in_4_bits * shape.num_quantised + in_8_bits * head)
    is_short = layout.shortens and shape.in_16_bits and shape.has_own_step
    if precision == "fp32" and is_short:
        return 4 * kept + 2 * _padded(shape)
    if precision in layout.widened:
        return 2 * kept + 2 * _padded(shape)
    nominal = nominal_bytes(shape.num_parameters, precision)
    if precision != "fp32" and layout.shortens:
        own_head = round(2 * _filled(head, shape.hidden_size))
        return nominal + own_head - (0 if shape.is_tied else 2 * head)
    is_twice = shape.is_tied and precision in layout.reordered
    return nominal + (nominal_bytes(head, precision) if is_twice else 0)


def _padded(shape: ModelShape) -> int:
    """Weights of the matrices and of the head in 16 bits, with what fills their blocks up."""
    last = shape.num_layers * shape.hidden_size * shape.intermediate_size
    others = shape.num_quantised - last + shape.num_head
    return round(_filled(others, shape.hidden_size) + _filled(last, shape.intermediate_size))


def _filled(num_weights: int, num_inputs: int) -> float:
    num_blocks = -(-num_inputs // HALF_BLOCK)
    return num_weights * num_blocks * HALF_BLOCK / num_inputs if num_weights else 0


def cache_bytes(
    shape: ModelShape, precision: str, num_tokens: int, layout: CpuLayout | None = None
) -> int:
    """Keys and values of ``num_tokens``; layers with a window keep no more than that."""
    is_wide = precision == "fp32"
    if precision == "fp16" and layout is not None and shape.has_own_step:
        is_wide = precision in layout.widened
    bytes_per_value = 4 if is_wide else 2
    num_full = shape.num_layers - shape.num_sliding_layers
    num_kept = num_full * num_tokens
    num_kept += shape.num_sliding_layers * min(num_tokens, shape.sliding_window)
    return 2 * num_kept * shape.num_kv_heads * shape.head_dim * bytes_per_value


def _work_bytes(shape: ModelShape) -> int:
    """Logits of one position and the activations of one block of the prompt, in fp32."""
    return 4 * (4 * shape.vocab_size + READ_TOKENS * 8 * shape.hidden_size)
