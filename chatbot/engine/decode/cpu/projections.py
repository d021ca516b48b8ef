"""Matrix products with weights, as a processor makes them.

Each takes rows of activations and gives rows of outputs; a step of one token is bound by reading
the weights, so their bytes are what counts. Knows tensors, nothing of models.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from chatbot.engine.decode.cpu.kernels.forms import BLOCK, FILLED, Form
from chatbot.engine.decode.projection import Projection
from chatbot.models.memory import INT4_GROUP

COMPARED_AT_ONCE: Final = 2**19
"""Weights that are looked at at a time: 2 MiB stay in the processor's cache."""

MIN_ROUNDED_ROWS: Final = 32
"""From here on, activations may be rounded and multiplied by a library: of fewer rows, the weight's
bytes are what takes the time."""

HELD_AS_THEY_ARE: Final = {
    torch.bfloat16: Form.BF16,
    torch.float16: Form.FP16,
    torch.float32: Form.FP32,
}


ROUNDED_AT_ONCE: Final = 2**22
"""Weights that are rounded at a time, for which there are several copies in fp32: those of all
experts of a layer are gigabytes."""


def multiplies(dtype: torch.dtype) -> bool:
    """Whether torch has matrix products in ``dtype`` on this processor."""
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if dtype == torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    return True


def torch_is_quicker(dtype: torch.dtype) -> bool:
    """Whether torch multiplies many rows in ``dtype`` quicker than our own code: by units for
    matrices (AMX, those of Arm), which that does not use."""
    from chatbot.engine.decode.cpu.kernels.vectors import FEATURES, IS_X86

    if dtype == torch.bfloat16 and IS_X86 and not FEATURES.get("amx-bf16"):
        # Where AVX-512 has no bf16, torch takes 2.3 times as long as in fp32 (one thread, Zen 4
        # with oneDNN held to AVX-512 with VNNI).
        return False
    return multiplies(dtype)


class DirectProjection(Projection):
    """The weight as it is, in fp32 or 16 bits; it is widened in registers, on its way to
    activations in fp32.
    """

    held: tuple[Tensor, ...]
    """What it consists of; the weight may be a model's embedding as well."""
    row_cost = 0.2
    work_dtype = torch.float32

    def __init__(self, weight: Tensor, bias: Tensor | None, *, rounds: bool = False) -> None:
        """Keep ``weight``, which is not copied where it need not be.

        Args:
            weight: fp32, bf16 or fp16 [num_outputs, num_inputs].
            bias: [num_outputs].
            rounds: whether activations of many rows may be rounded to the weight's dtype, where
                the processor multiplies that.
        """
        if weight.dtype not in HELD_AS_THEY_ARE:
            weight = weight.float()
        form, numbers = HELD_AS_THEY_ARE[weight.dtype], _filled(weight).contiguous()
        self._keep(form, weight, bias, numbers, rounded_to=weight.dtype if rounds else None)

    def _keep(
        self,
        form: Form,
        weight: Tensor,
        bias: Tensor | None,
        numbers: Tensor,
        scales: Tensor | None = None,
        *,
        rounded_to: torch.dtype | None = None,
    ) -> None:
        """Have ``weight`` made of ``numbers`` and ``scales``, each [num_outputs, ...]; activations
        of many rows may be ``rounded_to`` a dtype that has all ``numbers`` as they are."""
        # With a compiler, which no other device needs.
        from chatbot.engine.decode.cpu.kernels.products import product_of
        from chatbot.engine.decode.cpu.kernels.team import TEAM

        self.num_outputs, self.num_inputs = weight.shape
        self.rounds = rounded_to is not None and torch_is_quicker(rounded_to)
        self._rounded_to, self._scales = rounded_to, scales
        self._bias = None if bias is None else bias.float().contiguous()
        self.held = tuple(part for part in (numbers, scales, self._bias) if part is not None)
        self.num_bytes = sum(part.nbytes for part in self.held)
        self._num_filled = self.num_inputs + -self.num_inputs % FILLED
        self._multiply = TEAM.multiply
        self.product = product_of(
            form,
            self.num_outputs,
            self._num_filled,
            _place(numbers),
            (0, 0) if scales is None else _place(scales),
            0 if self._bias is None else self._bias.data_ptr(),
            rounds=rounded_to is not None,
        )
        """What compiled code is told of it."""

    def __call__(self, rows: Tensor) -> Tensor:
        """See ``Projection``."""
        num_rows, num_inputs = rows.shape
        if num_inputs != self.num_inputs:
            raise ValueError(f"{num_inputs} numbers a row, where there are {self.num_inputs}")
        if self.rounds and num_rows >= MIN_ROUNDED_ROWS:
            return self._by_library(rows)
        own = rows
        # Asked first: each that does nothing takes as long as a hundredth of a product.
        if own.dtype != torch.float32 or self._num_filled != self.num_inputs:
            own = functional.pad(own.float(), (0, self._num_filled - self.num_inputs))
        if not own.is_contiguous():
            own = own.contiguous()
        product = torch.empty(num_rows, self.num_outputs, dtype=torch.float32, device="cpu")
        num_threads = torch.get_num_threads()
        self._multiply(self.product, own.data_ptr(), num_rows, product.data_ptr(), num_threads)
        return product if own is rows else product.to(rows.dtype)

    def _by_library(self, rows: Tensor) -> Tensor:
        weight = self.held[0][:, : self.num_inputs].to(self._rounded_to)
        product = functional.linear(rows.to(weight.dtype), weight).to(rows.dtype)
        if self._scales is not None:
            product = product * self._scales.view(-1).to(rows.dtype)
        return product if self._bias is None else product + self._bias.to(rows.dtype)

    def __deepcopy__(self, memo: dict[int, object]) -> "DirectProjection":
        """Itself: it never changes, and it knows where its numbers are."""
        return self


def _place(numbers: Tensor) -> tuple[int, int]:
    """Where a tensor begins, and the bytes from one row to the next."""
    return numbers.data_ptr(), numbers.stride(0) * numbers.element_size()


def _parts(weight: Tensor) -> tuple[Tensor, ...]:
    """``weight`` cut between outputs, and never between those that are kept together."""
    size = max(ROUNDED_AT_ONCE // max(weight.shape[1], 1) // BLOCK, 1) * BLOCK
    return torch.split(weight, size)


def _filled(weight: Tensor) -> Tensor:
    """``weight`` with zeros behind each row."""
    num_missing = -weight.shape[1] % FILLED
    return functional.pad(weight, (0, num_missing)) if num_missing else weight


def shortest(weight: Tensor) -> Tensor:
    """``weight`` in fp32, in 16 bits if it is the same then, as those of most models are."""
    if weight.dtype != torch.float32:
        return weight
    for dtype in (torch.bfloat16, torch.float16):
        if _is_same(weight, dtype):
            return weight.to(dtype)
    return weight


def _is_same(weight: Tensor, dtype: torch.dtype) -> bool:
    """A part at a time, which stays in the processor's cache: a head would be copied twice."""
    size = max(COMPARED_AT_ONCE // weight.shape[1], 1)
    parts = (weight[start : start + size] for start in range(0, weight.shape[0], size))
    return all(bool((part.to(dtype).float() == part).all()) for part in parts)


def round_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """``weight`` [n, k] in whole steps, one size of step for each row.

    Returns:
        Steps, int8 [n, k] from -127 to 127, and the size of a step, fp32 [n].
    """
    wide = weight.float()
    scales = wide.abs().amax(1).clamp_(min=1e-12) / 127
    return (wide / scales[:, None]).round_().clamp_(-127, 127).to(torch.int8), scales


class Int8Projection(DirectProjection):
    """A weight in 8 bits, times activations in fp32, which of many rows may be rounded to bf16."""

    row_cost = 0.35

    def __init__(self, weight: Tensor, bias: Tensor | None, *, rounds: bool = False) -> None:
        rounded = [round_int8(part) for part in _parts(weight)]
        steps, scales = (torch.cat(each) for each in zip(*rounded, strict=True))
        self._keep(
            Form.INT8,
            weight,
            bias,
            _filled(steps).contiguous(),
            scales[:, None],
            rounded_to=torch.bfloat16 if rounds else None,
        )


def round_int4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """``weight`` [n, k] in 16 levels, evenly spaced over the range of each group of a row.

    Returns:
        Levels, uint8 [n, k] from 0 to 15, and bf16 [n, k / group, 2]: the distance of two levels,
        and the value of level 8.
    """
    num_outputs, num_inputs = weight.shape
    groups = weight.float().view(num_outputs, num_inputs // INT4_GROUP, INT4_GROUP)
    low, high = groups.amin(2), groups.amax(2)
    step = ((high - low) / 15).clamp_(min=1e-12).to(torch.bfloat16)
    middle = (low + 8 * step.float()).to(torch.bfloat16)
    levels = (groups - middle.float()[..., None]) / step.float()[..., None] + 8
    levels = levels.round_().clamp_(0, 15).to(torch.uint8).view(num_outputs, num_inputs)
    return levels, torch.stack((step, middle), 2)


class Int4Projection(DirectProjection):
    """A weight in 4 bits by groups, times activations in 8."""

    row_cost = 0.3

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        blocks = [_in_blocks(*round_int4(_filled(part))) for part in _parts(weight)]
        self._keep(Form.INT4, weight, bias, torch.cat(blocks))


def _in_blocks(levels: Tensor, scales: Tensor) -> Tensor:
    """Levels and scales of ``round_int4`` as ``level_vectors`` reads them, zeros behind the last
    outputs: uint8 [blocks, bytes of a row of them]."""
    num_outputs, num_groups = scales.shape[:2]
    missing = -num_outputs % BLOCK
    levels = functional.pad(levels, (0, 0, 0, missing))
    scales = functional.pad(scales, (0, 0, 0, 0, 0, missing))
    # [blocks, outputs, groups, eight inputs, halves, four inputs]
    eights = levels.view(-1, BLOCK, num_groups, INT4_GROUP // 8, 2, 4)
    both = eights[..., 0, :] | eights[..., 1, :] << 4
    packed = both.permute(0, 2, 3, 1, 4).flatten(2)
    beside = scales.view(-1, BLOCK, num_groups, 2).permute(0, 2, 3, 1).contiguous()
    return torch.cat((packed, beside.view(torch.uint8).flatten(2)), 2).flatten(1).contiguous()
