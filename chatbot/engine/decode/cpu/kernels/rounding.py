"""Activations in fewer bits, for the products that take them so. All is compiled code.

For weights in 4 bits they are rounded to 8: what a group of them is rounded by is a small part of
what its weights are, 1/254 of the largest of 32, where a weight is off by up to 1/30 of its group's
range. For others, where the processor adds up pairs of products in bf16, to these 16.
"""

from typing import Any, Final

import numba
from numba.extending import register_jitable
from numpy import float32, int8, int32, uint32

from chatbot.engine.compiled import (
    bytes_at,
    called_fast,
    floats_at,
    inlined,
    whole_numbers_at,
)
from chatbot.engine.decode.cpu.kernels.block_products import is_many
from chatbot.engine.decode.cpu.kernels.forms import Form
from chatbot.engine.decode.cpu.kernels.product_vectors import shorten
from chatbot.models.memory import INT4_GROUP

_MOST: Final = 127
"""Steps up and down."""

_ROUNDED_AT_ONCE: Final = 8
"""Rows in a part."""

_LEAST: Final = 1e-36
"""What is smaller counts for nothing: its inverse is no number."""

_ROUNDS: Final = 12582912.0
"""Added to a number of up to 2^22, it leaves the nearest whole number in the lowest bits."""


@register_jitable  # type: ignore[untyped-decorator]
def rounded_size(num_inputs: Any) -> Any:
    """The bytes that a row of ``num_inputs`` activations is rounded to: its steps, the size of a
    step in each group, and the sums of the groups."""
    return num_inputs + num_inputs // INT4_GROUP * 8


@called_fast  # type: ignore[untyped-decorator]
def round_row(row: Any, target: Any, num_inputs: Any) -> None:
    """Round a row in fp32, which lies at an address, to another one.

    Where a number is none, or infinite, so is what becomes of its group.
    """
    numbers = numba.carray(floats_at(row), (num_inputs,))
    bits = numba.carray(whole_numbers_at(row), (num_inputs,))
    steps = numba.carray(bytes_at(target), (num_inputs,))
    num_groups = num_inputs // INT4_GROUP
    sizes = numba.carray(floats_at(target + num_inputs), (2, num_groups))
    for group in range(num_groups):
        first = group * INT4_GROUP
        # Of numbers without a sign, the largest has the largest bits; what is no number has more.
        largest_bits = uint32(0)
        for i in range(first, first + INT4_GROUP):
            largest_bits = max(largest_bits, uint32(bits[i] & uint32(0x7FFFFFFF)))
        largest = uint32(largest_bits).view(float32)
        inverse = float32(_MOST) / largest if largest > float32(_LEAST) else float32(0)
        total = int32(0)
        for i in range(first, first + INT4_GROUP):
            placed = float32(numbers[i] * inverse + float32(_ROUNDS)).view(int32)
            step = int32(placed - int32(0x4B400000))
            total += step
            steps[i] = int8(step)
        size = largest * float32(1 / _MOST)
        sizes[0, group] = size
        sizes[1, group] = size * float32(total)


_shorten = shorten(Form.FP32)


@inlined  # type: ignore[untyped-decorator]
def cut_rounding(about: Any) -> Any:
    """How many parts the rounding of all rows has, which comes before the product."""
    if about.form != Form.INT4.value and not is_many(about):
        return 0
    return -(-about.num_rows // _ROUNDED_AT_ONCE)


@inlined  # type: ignore[untyped-decorator]
def do_rounding_part(about: Any, number: Any) -> None:
    """Round some of the rows."""
    num_inputs, first = about.num_inputs, number * _ROUNDED_AT_ONCE
    for row in range(first, min(first + _ROUNDED_AT_ONCE, about.num_rows)):
        source = about.source + row * 4 * num_inputs
        if about.form == Form.INT4.value:
            round_row(source, about.room + row * rounded_size(num_inputs), num_inputs)
        else:
            _shorten(source, about.room + row * 2 * num_inputs, num_inputs)
