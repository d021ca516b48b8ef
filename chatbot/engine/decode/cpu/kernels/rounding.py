"""Activations in 8 bits, for products with weights in 4. All is compiled code.

What a group of activations is rounded by is a small part of what its weights are: 1/254 of the
largest of 32, where a weight is off by up to 1/30 of its group's range.
"""

from typing import Any, Final

import numba
from numba.extending import register_jitable
from numpy import float32, int8, int32, uint32

from chatbot.engine.compiled import bytes_at, called_fast, floats_at, whole_numbers_at
from chatbot.models.memory import INT4_GROUP

_MOST: Final = 127
"""Steps up and down."""

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
