"""Products of activations with a weight as it lies in memory, by parts of its outputs.

A step of one token reads every weight once and does little else, so that a product is over when
its bytes have come; what a library does before it begins takes longer than that for a small
weight. Activations of few rows stay in fp32, but for weights in 4 bits. All is compiled code.
"""

from functools import partial
from typing import Any, Final

import numpy as np

from chatbot.engine.compiled import called, floats_at, inlined
from chatbot.engine.decode.cpu.kernels.block_products import (
    BLOCK_OUTPUTS,
    MAX_FEW,
    MOST_WIDENED,
    do_block_part,
    is_many,
    room_for_blocks,
    rounds_in,
)
from chatbot.engine.decode.cpu.kernels.forms import BLOCK, Form
from chatbot.engine.decode.cpu.kernels.instructions import Instructions, Kind, instruction
from chatbot.engine.decode.cpu.kernels.level_products import do_level_part, room_for_levels
from chatbot.engine.decode.cpu.kernels.product_vectors import DOT_FORMS, dot
from chatbot.engine.decode.cpu.kernels.routing import groups_at
from chatbot.engine.decode.cpu.kernels.shared_work import PATIENCE
from chatbot.engine.decode.cpu.kernels.vectors import MOST_ROWS, by_number

_FEW_PARTS: Final = 4
"""Parts for each thread, with few rows: one that begins late then takes fewer."""

_LEAST_OUTPUTS: Final = 16
"""Outputs in a part, with few rows."""

_NUM_LOOKS: Final = 20_000
"""How often a thread looks for work before it sleeps, with few rows: some half a millisecond, which
is longer than the time between two products of a step."""

NUM_LOOKS_OF_MANY: Final = 1_000
"""The same with many rows: between their products torch is at work too, whose own threads want the
processor."""


def product_of(
    form: Form,
    num_outputs: int,
    num_inputs: int,
    weight: tuple[int, int],
    scales: tuple[int, int] = (0, 0),
    bias: int = 0,
    *,
    rounds: bool = False,
) -> Instructions:
    """The product with a weight, but for what is multiplied and where to write.

    Args:
        form: how its numbers are kept.
        num_outputs: its rows.
        num_inputs: numbers in each, a multiple of ``forms.FILLED``, and in a row of activations.
        weight: the address of the first row, and the bytes from one to the next.
        scales: the same of its scales.
        bias: the address of what is added, fp32 [num_outputs]; 0: nothing is.
        rounds: whether activations of many rows may be rounded to bf16.
    """
    rounds = rounds and rounds_in(form)
    made = instruction(
        Kind.PRODUCT,
        form=form,
        num_outputs=num_outputs,
        num_inputs=num_inputs,
        weight=weight[0],
        weight_size=weight[1],
        scales=scales[0],
        scales_size=scales[1],
        bias=bias,
        rounds=rounds,
    )
    if form != Form.INT4 and not rounds:
        return made
    rounding = made.copy()
    rounding["kind"] = Kind.ROUNDING
    return np.concatenate((rounding, made))


def of_few(program: Instructions) -> Instructions:
    """What of a program there is to do where the new tokens are ``MAX_FEW`` at most."""
    is_idle = (program["kind"] == Kind.ROUNDING) & (program["rounds"] != 0)
    left: Instructions = program[~is_idle]
    return left


def room_for(product: Instructions, num_rows: int) -> int:
    """Numbers in fp32 that each thread needs room for, with ``num_rows`` new tokens."""
    num_inputs = int(product["num_inputs"][0])
    if product["form"][0] == Form.INT4:
        return room_for_levels(num_rows * int(product["times"][0]), num_inputs)
    return room_for_blocks(product, num_rows) if num_rows > MAX_FEW else 0


def _few_for(form: Form) -> Any:
    dots = by_number(partial(dot, form))

    @called  # type: ignore[untyped-decorator]
    def few(about: Any, first: Any, end: Any, first_row: Any, num_rows: Any, start: Any) -> None:
        num_inputs = about.num_inputs
        row_size, line = 4 * num_inputs, 4 * about.num_outputs
        for number in range(first, end):
            weight = about.weight + number * about.weight_size
            scales = about.scales + number * about.scales_size
            rows, out = about.source + first_row * row_size, start + 4 * (number - first)
            left = num_rows
            while left > 0:
                together = min(left, MOST_ROWS)
                dots(together, weight, scales, rows, row_size, out, line, num_inputs)
                rows, out = rows + together * row_size, out + together * line
                left -= together

    return few


_few_bf16, _few_fp16, _few_fp32, _few_int8 = map(_few_for, DOT_FORMS)


@inlined  # type: ignore[untyped-decorator]
def _cut(about: Any, work: Any, num_threads: Any, num_weights: Any) -> Any:
    """How many parts each of so many weights has, which ``about`` is told the size of."""
    num_outputs = about.num_outputs
    if is_many(about):
        work[PATIENCE] = NUM_LOOKS_OF_MANY
        part = min(-(-num_weights * num_outputs // (2 * num_threads)), MOST_WIDENED)
        part = -(-part // BLOCK_OUTPUTS) * BLOCK_OUTPUTS
    else:
        work[PATIENCE] = _NUM_LOOKS
        part = max(-(-num_weights * num_outputs // (_FEW_PARTS * num_threads)), _LEAST_OUTPUTS)
    if about.form == Form.INT4.value:
        part = -(-part // BLOCK) * BLOCK
    about.part = part
    return -(-num_outputs // part)


@inlined  # type: ignore[untyped-decorator]
def cut_product(about: Any, work: Any, num_threads: Any) -> Any:
    """How many parts a product has."""
    return _cut(about, work, num_threads, 1)


@inlined  # type: ignore[untyped-decorator]
def cut_products(about: Any, work: Any, num_threads: Any) -> Any:
    """How many parts the products of all experts that were chosen have."""
    num_groups = groups_at(about)[0, about.num_experts]
    return num_groups * _cut(about, work, num_threads, num_groups)


@called  # type: ignore[untyped-decorator]
def _multiply(
    about: Any, first: Any, end: Any, first_row: Any, num_rows: Any, start: Any, thread: Any
) -> None:
    """Multiply ``num_rows`` rows by the outputs of a weight from ``first`` to ``end``; what the
    first row comes to is written from the address ``start`` on."""
    form = about.form
    if form == Form.INT4.value:
        do_level_part(about, first, end, first_row, num_rows, start, thread)
    elif is_many(about):
        do_block_part(about, first, end, first_row, num_rows, start, thread)
    elif form == Form.BF16.value:
        _few_bf16(about, first, end, first_row, num_rows, start)
    elif form == Form.FP16.value:
        _few_fp16(about, first, end, first_row, num_rows, start)
    elif form == Form.FP32.value:
        _few_fp32(about, first, end, first_row, num_rows, start)
    else:
        _few_int8(about, first, end, first_row, num_rows, start)
    if about.bias:
        bias = floats_at(about.bias)
        for row in range(num_rows):
            outputs = floats_at(start + 4 * about.num_outputs * row)
            for output in range(end - first):
                outputs[output] += bias[first + output]


@inlined  # type: ignore[untyped-decorator]
def do_product_part(about: Any, number: Any, thread: Any) -> None:
    """Make the outputs of one part."""
    first = number * about.part
    end = min(first + about.part, about.num_outputs)
    _multiply(about, first, end, 0, about.num_rows, about.target + 4 * first, thread)


@inlined  # type: ignore[untyped-decorator]
def do_products_part(about: Any, number: Any, thread: Any) -> None:
    """Make some of the outputs of one expert, of all rows that are its own."""
    num_outputs = about.num_outputs
    num_parts = -(-num_outputs // about.part)
    group = number // num_parts
    first = (number - group * num_parts) * about.part
    end = min(first + about.part, num_outputs)
    groups = groups_at(about)
    first_row = groups[2, group]
    num_rows = groups[2, group + 1] - first_row
    weights = groups[1, group] * num_outputs
    start = about.target + 4 * (first_row * num_outputs + first)
    _multiply(about, weights + first, weights + end, first_row, num_rows, start, thread)
