"""Products of activations with a weight in 4 bits, by parts of its outputs.

All is compiled code.
"""

from typing import Any

from chatbot.engine.compiled import called, floats_at
from chatbot.engine.decode.cpu.kernels.forms import BLOCK
from chatbot.engine.decode.cpu.kernels.level_vectors import MOST_LEVEL_ROWS, dot_levels
from chatbot.engine.decode.cpu.kernels.rounding import rounded_size

_dot_1, _dot_2, _dot_3 = (dot_levels(number + 1) for number in range(MOST_LEVEL_ROWS))


def room_for_levels(num_rows: int, num_inputs: int) -> int:
    """Numbers in fp32 that each thread needs room for: all rows, rounded, which the first thread
    has; then outputs of a block."""
    return num_rows * int(rounded_size(num_inputs)) // 4 + MOST_LEVEL_ROWS * BLOCK


@called  # type: ignore[untyped-decorator]
def do_level_part(
    about: Any, first: Any, end: Any, first_row: Any, num_rows: Any, start: Any, thread: Any
) -> None:
    """Make the outputs from ``first``, where a block begins, to ``end``, of ``num_rows`` of the
    rounded rows; from the address ``start`` on."""
    num_inputs, line = about.num_inputs, 4 * about.num_outputs
    row_size = rounded_size(num_inputs)
    aside = about.room + thread * about.room_size + about.num_rows * row_size
    for output in range(first, end, BLOCK):
        block = about.weight + output // BLOCK * about.weight_size
        rows, out = about.room + first_row * row_size, start + 4 * (output - first)
        left = num_rows
        num_own = min(end - output, BLOCK)
        while left > 0:
            number = min(left, MOST_LEVEL_ROWS)
            # Behind the last outputs of a row is the next row.
            place, size = (out, line) if num_own == BLOCK else (aside, 4 * BLOCK)
            if number == 3:
                _dot_3(block, rows, row_size, place, size, num_inputs)
            elif number == 2:
                _dot_2(block, rows, row_size, place, size, num_inputs)
            else:
                _dot_1(block, rows, row_size, place, size, num_inputs)
            if num_own < BLOCK:
                for row in range(number):
                    made, wanted = floats_at(aside + row * 4 * BLOCK), floats_at(out + row * line)
                    for own in range(num_own):
                        wanted[own] = made[own]
            rows, out, left = rows + number * row_size, out + number * line, left - number
