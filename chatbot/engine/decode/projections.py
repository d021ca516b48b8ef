"""Matrix products with weights, in the form that this processor multiplies fastest.

Each takes rows of activations and gives rows of outputs; a step of one token is bound by
reading the weights, so their bytes are what counts. Knows tensors, nothing of models.
"""

import functools
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from chatbot.models.memory import HALF_BLOCK

MIN_WIDENED_ROWS: Final = 8
"""From here on, widening a half-precision weight costs less than it saves (measured, AVX2)."""

WIDENED_AT_ONCE: Final = 2**19
"""Weights that are widened at a time: 2 MiB stay in the processor's cache until they are used, and
no memory has to be asked for that is as large as the weight."""

INT8_STEPS: Final = 63
"""Activations are rounded to whole steps from -63 to 63. With all 8 bits, pairs of products
would overflow the 16-bit sums of processors without VNNI."""

INT8_REST: Final = 126
"""The rest that rounding leaves is at most half a step, and is given in steps of 1/126."""

_ZERO: Final = 64
"""What 0 is as an unsigned number of 7 bits."""

_USUAL_ROWS: Final = 128
_FEW_ROWS: Final = 4
"""What oneDNN chooses its order for, in bf16 and in fp32; the best ones for a single row and for a
whole block of a prompt too (measured)."""

INT8_BLOCK: Final = 16
"""Weights in 8 bits that torch's own kernel reads at a time, past the end of a row too."""

INT4_GROUP: Final = 32
"""Weights that share a scale and an offset in 4 bits."""


def multiplies(dtype: torch.dtype) -> bool:
    """Whether this processor has matrix products in ``dtype``."""
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if dtype == torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    return True


class Projection(ABC):
    """A weight, [num_outputs, num_inputs], with its bias."""

    num_outputs: int
    num_inputs: int
    num_bytes: int
    """What it takes in memory."""
    row_cost: float
    """See ``Decoder`` (measured on weights of 135M and 8B, two cores)."""
    work_dtype: torch.dtype | None = None
    """What activations are best kept in; None: the weight's own dtype."""

    @abstractmethod
    def __call__(self, rows: Tensor) -> Tensor:
        """``rows`` [n, num_inputs] times the weight: [n, num_outputs] in the same dtype."""

    def add_to(self, residual: Tensor, rows: Tensor) -> Tensor:
        """``residual`` [n, num_outputs] and the product of ``rows``, rounded as two steps."""
        return residual + self(rows)


class PlainProjection(Projection):
    """The weight as it is."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.num_outputs, self.num_inputs = weight.shape
        self.num_bytes = weight.nbytes + (0 if bias is None else bias.nbytes)
        self._weight = weight
        self._turned = weight.t()
        self._bias = bias
        self._is_widened = not multiplies(weight.dtype)
        self.row_cost = 0.5 if self._is_widened else 0.25

    def __call__(self, rows: Tensor) -> Tensor:
        """See ``Projection``."""
        # Among weights of another form, activations may be finer than this one.
        is_finer = rows.dtype != self._weight.dtype
        if is_finer or (self._is_widened and rows.shape[0] >= MIN_WIDENED_ROWS):
            return widened_product(rows, self._weight, self._bias)
        return functional.linear(rows, self._weight, self._bias)

    def add_to(self, residual: Tensor, rows: Tensor) -> Tensor:
        """See ``Projection``."""
        if self._bias is None and rows.dtype == self._weight.dtype == torch.float32:
            return torch.addmm(residual, rows, self._turned)
        return residual + self(rows)


def widened_product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``rows`` [..., num_inputs] times a weight [num_outputs, num_inputs] in half precision, made
    in fp32, in the dtype of the rows.
    """
    wide_rows = rows.float()
    num_outputs, num_inputs = weight.shape
    size = max(WIDENED_AT_ONCE // num_inputs, 1)
    if num_outputs <= size:
        wide_bias = None if bias is None else bias.float()
        return functional.linear(wide_rows, weight.float(), wide_bias).to(rows.dtype)
    product = rows.new_empty(*rows.shape[:-1], num_outputs)
    for start in range(0, num_outputs, size):
        part = slice(start, start + size)
        wide_bias = None if bias is None else bias[part].float()
        product[..., part] = functional.linear(wide_rows, weight[part].float(), wide_bias)
    return product


@functools.cache
def _is_mkl_a_guest() -> bool:
    """Whether products are MKL's and the processor is not Intel's."""
    file = Path("/proc/cpuinfo")
    if not torch._C.has_mkl or not file.exists():
        return False
    return "AuthenticAMD" in file.read_text(errors="replace")


class ReorderedProjection(Projection):
    """A weight in oneDNN's order of blocks: in bf16 twice as fast as the plain one, in fp32 where
    MKL is slow; several rows cost little more than one.

    For a weight in bf16 activations are rounded, for the product alone.
    """

    row_cost = 0.12
    work_dtype = torch.float32

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.num_outputs, self.num_inputs = weight.shape
        self.num_bytes = weight.nbytes + (0 if bias is None else bias.nbytes)
        num_rows = _FEW_ROWS if weight.dtype == torch.float32 else _USUAL_ROWS
        self._dtype = weight.dtype
        self._weight: Any = torch.ops.mkldnn._reorder_linear_weight(weight, num_rows)
        self._bias = bias
        self._multiply = _direct(torch.ops.mkldnn._linear_pointwise.default)

    @staticmethod
    def is_better(dtype: torch.dtype) -> bool:
        """Whether weights of ``dtype`` are best had in that order here."""
        if dtype == torch.float32:
            return _is_mkl_a_guest()
        return dtype == torch.bfloat16 and multiplies(dtype)

    def __call__(self, rows: Tensor) -> Tensor:
        """See ``Projection``."""
        num_rows = rows.shape[0]
        if num_rows < _FEW_ROWS:
            # oneDNN adds in another order for a single row, no sooner than four are done; what a
            # row comes to must not be a matter of those beside it.
            own = rows.new_zeros(_FEW_ROWS, self.num_inputs, dtype=self._dtype)
            own[:num_rows] = rows
        else:
            own = rows.to(self._dtype)
        product: Tensor = self._multiply(own, self._weight, self._bias, "none", [], "")
        return product[:num_rows].to(rows.dtype)


class HalfProjection(Projection):
    """A weight in 16 bits, in FBGEMM's order of blocks: it is widened in registers, on its way to
    fp32 activations, so that several rows cost little more than one.

    For weights in half precision where the processor has no such products (four rows in bf16 took
    2.6 times as long before; measured, AVX2), and for weights in fp32 that are no more than 16
    bits long, as those of most models are: half the bytes, and the same product.

    It is kept in fp16, times a power of two where that is needed to keep what bf16 has below
    2**-17.
    """

    row_cost = 0.12
    work_dtype = torch.float32

    def __init__(self, weight: Tensor, bias: Tensor | None, power: float = 1.0) -> None:
        """Keep ``weight`` times ``power``, a power of two."""
        self.num_outputs, self.num_inputs = weight.shape
        num_filled = -(-self.num_inputs // HALF_BLOCK) * HALF_BLOCK
        self.num_bytes = 2 * self.num_outputs * num_filled
        self.num_bytes += 0 if bias is None else 4 * self.num_outputs
        self._factor = 1 / power
        with fbgemm():
            self._packed: Any = torch.ops.quantized.linear_prepack_fp16(
                _times(weight.float(), power).contiguous(), None if bias is None else bias.float()
            )
        self._multiply = _direct(torch.ops.quantized.linear_dynamic_fp16.default)

    @staticmethod
    def is_possible() -> bool:
        """Whether this processor has the kernels."""
        return _has_fbgemm()

    @staticmethod
    def power_for(weight: Tensor) -> float | None:
        """The power of two times which fp16 holds ``weight``, to within 2**-39 of its largest
        number, where fp32 rounds sums to 2**-24; None where that is not possible.
        """
        largest = weight.abs().amax().item()
        if not math.isfinite(largest):
            return None
        if largest <= _HALF.max and _is_near_half(weight, 1, 0):
            return 1.0
        power = 2.0 ** (15 - math.frexp(largest)[1])  # which brings it to between 2**14 and 2**15
        half_a_step = _HALF.smallest_normal * _HALF.eps / 2  # between the smallest numbers
        return power if _is_near_half(weight, power, half_a_step) else None

    def __call__(self, rows: Tensor) -> Tensor:
        """See ``Projection``."""
        product: Tensor = self._multiply(_times(rows.float(), self._factor), self._packed)
        return product.to(rows.dtype)


_HALF: Final = torch.finfo(torch.float16)


def _is_near_half(weight: Tensor, power: float, limit: float) -> bool:
    """Whether fp16 is off by no more than ``limit`` from each number of ``weight`` times ``power``.

    A part at a time, which stays in the processor's cache: all of a head would be copied thrice.
    """
    size = max(WIDENED_AT_ONCE // weight.shape[1], 1)
    for start in range(0, weight.shape[0], size):
        whole = _times(weight[start : start + size].float(), power)
        if whole.half().float().sub_(whole).abs_().amax().item() > limit:
            return False
    return True


def _times(numbers: Tensor, factor: float) -> Tensor:
    return numbers if factor == 1 else numbers * factor


def _has_fbgemm() -> bool:
    return "fbgemm" in torch.backends.quantized.supported_engines


def _direct(operation: Any) -> Any:
    """``operation`` without what torch does in Python before it, for the sake of tracing: 8 µs a
    product, a thirtieth of a step.
    """
    return getattr(operation, "_op", operation)


@contextmanager
def fbgemm() -> Iterator[None]:
    """Weights are packed for FBGEMM in here; by several threads, if all of them are."""
    before = torch.backends.quantized.engine
    if before == "fbgemm" or not _has_fbgemm():
        yield
        return
    torch.backends.quantized.engine = "fbgemm"
    try:
        with warnings.catch_warnings():  # that a later release of torch will do it otherwise
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.quantized.engine = before


def round_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """``weight`` [n, k] in whole steps, one size of step for each row.

    Returns:
        Steps, int8 [n, k] from -127 to 127, and the size of a step, fp32 [n].
    """
    wide = weight.float()
    scales = wide.abs().amax(1).clamp_(min=1e-12) / 127
    return (wide / scales[:, None]).round_().clamp_(-127, 127).to(torch.int8), scales


class Int8Projection(Projection):
    """A weight in 8 bits, with activations that keep about 13: the product of whole numbers.

    A row of activations goes through twice: rounded to steps, and what the rounding left,
    enlarged. The second pass costs next to nothing, since the weight is read once for both,
    and without it perplexity would rise by 3 % in place of 0.2 % (measured, 135M).
    """

    row_cost = 0.06
    work_dtype = torch.float32

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.num_outputs, self.num_inputs = weight.shape
        self.num_bytes = weight.numel() + 4 * self.num_outputs
        steps, scales = round_int8(weight)
        self._packed: Any = _pack_int8(steps, scales)
        self._bias = None if bias is None else bias.float()
        self._multiply = _direct(
            torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default
        )
        from chatbot.engine.decode.kernels import join_steps, split_steps  # with a compiler

        self._split, self._join = split_steps, join_steps

    @staticmethod
    def is_possible() -> bool:
        """Whether this processor has the kernels."""
        return _has_fbgemm() and hasattr(torch, "_make_per_channel_quantized_tensor")

    def __call__(self, rows: Tensor) -> Tensor:
        """See ``Projection``."""
        num_rows = rows.shape[0]
        steps = torch.empty(2 * num_rows, self.num_inputs)
        sizes = np.empty(num_rows, np.float32)
        whole = rows.float().contiguous().numpy()
        self._split(whole, INT8_STEPS, INT8_REST, steps.numpy(), sizes)
        products = self._multiply(steps, 1.0, _ZERO, self._packed)
        joined = torch.empty(num_rows, self.num_outputs)
        self._join(products.numpy(), sizes, INT8_REST, joined.numpy())
        if self._bias is not None:
            joined += self._bias
        return joined if rows.dtype == torch.float32 else joined.to(rows.dtype)


def _pack_int8(steps: Tensor, scales: Tensor) -> Any:
    """The weight in FBGEMM's order of blocks."""
    zeros = torch.zeros(steps.shape[0], dtype=torch.int64)
    with fbgemm():
        weight = torch._make_per_channel_quantized_tensor(steps, scales.double(), zeros, 0)
        return torch.ops.quantized.linear_prepack(weight, None)


class NarrowInt8Projection(Projection):
    """A weight in 8 bits times activations in bf16, where there is nothing faster."""

    row_cost = 0.4
    work_dtype = torch.float32

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.num_outputs, self.num_inputs = weight.shape
        self.num_bytes = weight.numel() + 2 * self.num_outputs
        self._steps, scales = round_int8(weight)
        self._scales = scales.to(torch.bfloat16)
        self._bias = None if bias is None else bias.float()

    @staticmethod
    def is_possible(weight: Tensor) -> bool:
        """Whether ``weight`` divides into blocks."""
        return weight.shape[1] % INT8_BLOCK == 0

    def __call__(self, rows: Tensor) -> Tensor:
        """See ``Projection``."""
        product = torch._weight_int8pack_mm(rows.to(torch.bfloat16), self._steps, self._scales)
        return _biased(product, self._bias, rows.dtype)


def round_int4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """``weight`` [n, k] in 16 levels, evenly spaced over the range of each group of a row.

    Returns:
        Levels, int32 [n, k] from 0 to 15, and bf16 [k / group, n, 2]: the distance of two
        levels, and the value of level 8.
    """
    num_outputs, num_inputs = weight.shape
    groups = weight.float().view(num_outputs, num_inputs // INT4_GROUP, INT4_GROUP)
    low, high = groups.amin(2), groups.amax(2)
    step = ((high - low) / 15).clamp_(min=1e-12).to(torch.bfloat16)
    middle = (low + 8 * step.float()).to(torch.bfloat16)
    levels = (groups - middle.float()[..., None]) / step.float()[..., None] + 8
    levels = levels.round_().clamp_(0, 15).to(torch.int32).view(num_outputs, num_inputs)
    return levels, torch.stack((step, middle), 2).transpose(0, 1).contiguous()


class Int4Projection(Projection):
    """A weight in 4 bits by groups, times activations in bf16."""

    row_cost = 0.4
    work_dtype = torch.float32

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.num_outputs, self.num_inputs = weight.shape
        levels, self._scales = round_int4(weight)
        self._packed = torch._convert_weight_to_int4pack_for_cpu(levels, 1)
        self.num_bytes = self._packed.nbytes + self._scales.nbytes
        self._bias = None if bias is None else bias.float()

    @staticmethod
    def is_possible(weight: Tensor) -> bool:
        """Whether ``weight`` divides into groups and blocks."""
        return weight.shape[1] % INT4_GROUP == 0 and weight.shape[0] % 32 == 0

    def __call__(self, rows: Tensor) -> Tensor:
        """See ``Projection``."""
        product = torch._weight_int4pack_mm_for_cpu(
            rows.to(torch.bfloat16), self._packed, INT4_GROUP, self._scales
        )
        return _biased(product, self._bias, rows.dtype)


def _biased(product: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    wide = product.to(dtype)
    return wide if bias is None else wide + bias.to(dtype)
