"""Products of a weight's rows with activations; see ``vectors``."""

from typing import Any, Final

from llvmlite import ir

from chatbot.engine.decode.cpu.kernels.forms import Form
from chatbot.engine.decode.cpu.kernels.vectors import (
    FLOAT,
    INT,
    LONG,
    SHORT,
    WIDTH,
    Loop,
    add_pairs,
    add_product,
    four_sums,
    function_of,
    moved,
    new_sum,
    numbers_at,
    pointer_to,
    shortened,
    spread,
    sum_of,
    vector_at,
)

NUM_SUMS: Final = 4
"""Vectors that are summed up beside one another: one would wait for the other."""

STEP: Final = WIDTH * NUM_SUMS

DOT_FORMS: Final = (Form.BF16, Form.FP16, Form.FP32, Form.INT8)
"""Of weights that are multiplied by activations in fp32."""


def dot(form: Form, num_rows: int) -> Any:
    """A function that gives one output for each of ``num_rows`` rows of activations.

    It takes the addresses of the weight's row, of its scales, of the first row of activations,
    the bytes from one of these to the next, the address of the output for the first one, the
    bytes from one output to the next, and how many numbers a row has.
    """

    def write(builder: Any, arguments: Any) -> None:
        weight, scales, rows, row_size, outputs, output_size, num_inputs = arguments
        row_at = [moved(builder, rows, row_size, row) for row in range(num_rows)]
        sums = [[new_sum(builder) for _ in range(NUM_SUMS)] for _ in row_at]
        with Loop(builder, num_inputs, STEP) as first:
            wide = _weights(builder, form, weight, first)
            for row, own in zip(row_at, sums, strict=True):
                for number, (part, total) in enumerate(zip(wide, own, strict=True)):
                    place = builder.add(first, LONG(number * WIDTH))
                    numbers = numbers_at(builder, Form.FP32, row, place)
                    add_product(builder, total, part, numbers)
        for row, own in enumerate(sums):
            first_pair, second_pair = (
                builder.fadd(builder.load(own[a]), builder.load(own[a + 1])) for a in (0, 2)
            )
            total = sum_of(builder, builder.fadd(first_pair, second_pair))
            if form == Form.INT8:
                total = builder.fmul(total, builder.load(pointer_to(builder, scales, FLOAT)))
            place = moved(builder, outputs, output_size, row)
            builder.store(total, pointer_to(builder, place, FLOAT))

    return function_of(write, 7)


def widen(form: Form) -> Any:
    """A function that writes a row of a weight in fp32.

    It takes the addresses of the row, of its scales and of where to write, and how many numbers
    the row has.
    """

    def write(builder: Any, arguments: Any) -> None:
        weight, scales, target, num_inputs = arguments
        with Loop(builder, num_inputs, STEP) as first:
            for number, part in enumerate(_weights(builder, form, weight, first)):
                if form == Form.INT8:
                    scale = builder.load(pointer_to(builder, scales, FLOAT))
                    part = builder.fmul(part, spread(builder, scale))
                place = builder.add(first, LONG(number * WIDTH))
                builder.store(part, vector_at(builder, target, place, FLOAT, 4), align=4)

    return function_of(write, 4)


def shorten(form: Form) -> Any:
    """A function that writes a row in bf16, which holds the steps of int8 as they are.

    It takes the addresses of the row and of where to write, which may be the same, and how many
    numbers the row has: they fill vectors.
    """

    def write(builder: Any, arguments: Any) -> None:
        row, target, size = arguments
        with Loop(builder, size, WIDTH) as first:
            short = shortened(builder, numbers_at(builder, form, row, first))
            builder.store(short, vector_at(builder, target, first, SHORT, 2), align=2)

    return function_of(write, 3)


def block(form: Form, num_outputs: int, num_rows: int) -> Any:
    """A function that gives ``num_outputs`` outputs for each of ``num_rows`` rows of activations,
    both of which are in ``form``: fp32, or bf16 where the processor ``HAS_PAIRS``.

    It takes the addresses of the weight's first row, the bytes from one to the next, then as
    ``dot`` does from the rows on; the outputs of a row lie beside one another.
    """

    def write(builder: Any, arguments: Any) -> None:
        weight, weight_size, rows, row_size, outputs, output_size, num_inputs = arguments
        weight_at = [moved(builder, weight, weight_size, n) for n in range(num_outputs)]
        row_at = [moved(builder, rows, row_size, n) for n in range(num_rows)]
        sums = [[new_sum(builder) for _ in weight_at] for _ in row_at]
        size, element, add = (4, FLOAT, add_product) if form == Form.FP32 else (2, INT, add_pairs)
        with Loop(builder, num_inputs, 4 * WIDTH // size) as first:

            def together(row: Any) -> Any:
                place = builder.add(row, builder.mul(first, LONG(size)))
                return builder.load(vector_at(builder, place, LONG(0), element, 4), align=size)

            parts = [together(place) for place in weight_at]
            for row, own in zip(row_at, sums, strict=True):
                numbers = together(row)
                for part, total in zip(parts, own, strict=True):
                    add(builder, total, part, numbers)
        for row, own in enumerate(sums):
            place = moved(builder, outputs, output_size, row)
            totals = [builder.load(total) for total in own]
            if num_outputs == 4:
                four = ir.VectorType(FLOAT, 4)
                builder.store(four_sums(builder, totals), pointer_to(builder, place, four), align=4)
                continue
            for number, total in enumerate(totals):
                target = builder.gep(pointer_to(builder, place, FLOAT), [LONG(number)])
                builder.store(sum_of(builder, total), target)

    return function_of(write, 7)


def _weights(builder: Any, form: Form, weight: Any, first: Any) -> list[Any]:
    """The next ``STEP`` numbers of a row, in fp32 but for the scale of int8."""
    places = [builder.add(first, LONG(number * WIDTH)) for number in range(NUM_SUMS)]
    return [numbers_at(builder, form, weight, place) for place in places]
