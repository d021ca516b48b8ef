"""Products of many rows of activations with a weight, which is made what both are multiplied in
once, a part at a time: fp32, or bf16 where the processor adds up pairs of such products.

An output adds up its products in the same order however many others there are, so that a row comes
to the same whatever is beside it. All is compiled code.
"""

from typing import Any, Final

from chatbot.engine.compiled import called, floats_at, inlined
from chatbot.engine.decode.cpu.kernels.forms import Form
from chatbot.engine.decode.cpu.kernels.instructions import Instructions
from chatbot.engine.decode.cpu.kernels.product_vectors import (
    DOT_FORMS,
    block,
    shorten,
    widen,
)
from chatbot.engine.decode.cpu.kernels.vectors import HAS_PAIRS, WIDTH

MAX_FEW: Final = 16
"""Rows of activations for which a weight is widened on its way into each product; for more, it is
widened once."""

MOST_WIDENED: Final = 48
"""Outputs in a part: that much of a weight stays in a core's cache."""

BLOCK_OUTPUTS: Final = 4 if WIDTH == 16 else 3
_BLOCK_ROWS: Final = 6 if WIDTH == 16 else 4
"""Products at a time: as many as AVX-512, or AVX2, has registers for."""


def rounds_in(form: Form) -> bool:
    """Whether activations can be rounded to bf16 for a weight in this form, which stays exact."""
    return HAS_PAIRS and form in (Form.BF16, Form.INT8)


def room_for_blocks(product: Instructions, num_rows: int) -> int:
    """Numbers in fp32 that each thread needs room for: where rows are rounded, all of them, which
    the first thread has; then a part of the weight."""
    num_inputs = int(product["num_inputs"][0])
    if product["rounds"][0]:
        return (num_rows * int(product["times"][0]) + MOST_WIDENED) * num_inputs // 2
    return (MOST_WIDENED + BLOCK_OUTPUTS) * num_inputs


@inlined  # type: ignore[untyped-decorator]
def is_many(about: Any) -> Any:
    """Whether a product is made by blocks: it goes by the new tokens, so that what one of them
    comes to is the same however many have the same expert."""
    return about.num_rows > MAX_FEW * about.times


def _blocks_in(form: Form) -> Any:
    """The products of rows with outputs of a weight, both of which are in ``form``."""
    outputs_of_rows, outputs_of_row = (block(form, BLOCK_OUTPUTS, n) for n in (_BLOCK_ROWS, 1))
    output_of_rows, output_of_row = (block(form, 1, n) for n in (_BLOCK_ROWS, 1))

    @called  # type: ignore[untyped-decorator]
    def multiply(
        weight: Any,
        weight_size: Any,
        num_outputs: Any,
        all_rows: Any,
        row_size: Any,
        num_rows: Any,
        start: Any,
        line: Any,
        num_inputs: Any,
    ) -> None:
        for row in range(0, num_rows, _BLOCK_ROWS):
            rows, out = all_rows + row * row_size, start + row * line
            own, left = weight, num_outputs
            is_whole = num_rows - row >= _BLOCK_ROWS
            while left >= BLOCK_OUTPUTS:
                if is_whole:
                    outputs_of_rows(own, weight_size, rows, row_size, out, line, num_inputs)
                else:
                    for n in range(num_rows - row):
                        one, place = rows + n * row_size, out + n * line
                        outputs_of_row(own, weight_size, one, row_size, place, line, num_inputs)
                own += BLOCK_OUTPUTS * weight_size
                out += BLOCK_OUTPUTS * 4
                left -= BLOCK_OUTPUTS
            while left > 0:
                if is_whole:
                    output_of_rows(own, weight_size, rows, row_size, out, line, num_inputs)
                else:
                    for n in range(num_rows - row):
                        one, place = rows + n * row_size, out + n * line
                        output_of_row(own, weight_size, one, row_size, place, line, num_inputs)
                own += weight_size
                out += 4
                left -= 1

    return multiply


_multiply_in_fp32 = _blocks_in(Form.FP32)
_multiply_in_bf16 = _blocks_in(Form.BF16) if HAS_PAIRS else _multiply_in_fp32
_widen_bf16, _widen_fp16, _widen_fp32, _widen_int8 = map(widen, DOT_FORMS)
_shorten_int8 = shorten(Form.INT8)


@inlined  # type: ignore[untyped-decorator]
def _widened(about: Any, number: Any, target: Any) -> None:
    form, num_inputs = about.form, about.num_inputs
    weight = about.weight + number * about.weight_size
    scales = about.scales + number * about.scales_size
    if form == Form.BF16.value:
        _widen_bf16(weight, scales, target, num_inputs)
    elif form == Form.FP16.value:
        _widen_fp16(weight, scales, target, num_inputs)
    elif form == Form.FP32.value:
        _widen_fp32(weight, scales, target, num_inputs)
    else:
        _widen_int8(weight, scales, target, num_inputs)


@called  # type: ignore[untyped-decorator]
def _do_rounded_part(
    about: Any, first: Any, end: Any, first_row: Any, num_rows: Any, start: Any, thread: Any
) -> None:
    num_inputs, num_outputs, line = about.num_inputs, end - first, 4 * about.num_outputs
    size = 2 * num_inputs
    rows = about.room + first_row * size
    weight, weight_size = about.weight + first * about.weight_size, about.weight_size
    if about.form == Form.INT8.value:
        short = about.room + thread * about.room_size + about.num_rows * size
        for number in range(num_outputs):
            _shorten_int8(weight + number * weight_size, short + number * size, num_inputs)
        weight, weight_size = short, size
    _multiply_in_bf16(
        weight, weight_size, num_outputs, rows, size, num_rows, start, line, num_inputs
    )
    if about.form == Form.INT8.value:
        scales = floats_at(about.scales + first * about.scales_size)  # one behind the other
        for row in range(num_rows):
            outputs = floats_at(start + row * line)
            for number in range(num_outputs):
                outputs[number] *= scales[number]


@called  # type: ignore[untyped-decorator]
def do_block_part(
    about: Any, first: Any, end: Any, first_row: Any, num_rows: Any, start: Any, thread: Any
) -> None:
    """Make the outputs from ``first`` to ``end`` of ``num_rows`` rows, where these are many; from
    the address ``start`` on."""
    if about.rounds != 0:
        _do_rounded_part(about, first, end, first_row, num_rows, start, thread)
        return
    num_inputs = about.num_inputs
    size, line = 4 * num_inputs, 4 * about.num_outputs
    wide = about.room + thread * about.room_size
    for number in range(first, end):
        _widened(about, number, wide + (number - first) * size)
    rows = about.source + first_row * size
    _multiply_in_fp32(wide, size, end - first, rows, size, num_rows, start, line, num_inputs)
