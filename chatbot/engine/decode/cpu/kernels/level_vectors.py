"""Products of weights in 4 bits with activations in 8, in whole numbers but for their scales;
see ``vectors``.

The weight lies in blocks of ``BLOCK`` outputs and a group of inputs, in ``BLOCK_BYTES``. First come
levels: of the bytes of 8 inputs, 4 for each output, the lower halves are the first 4 inputs', the
upper halves the others'. Then, for each output in bf16, the distance of two levels, and the value
of level 8.
"""

from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils

from chatbot.engine.decode.cpu.kernels.forms import BLOCK
from chatbot.engine.decode.cpu.kernels.vectors import (
    BYTE,
    FEATURES,
    FLOAT,
    INT,
    LONG,
    SHORT,
    Loop,
    add_product,
    function_of,
    fused,
    moved,
    new_sum,
    pointer_to,
    shuffled,
)
from chatbot.models.memory import INT4_GROUP

BLOCK_BYTES: Final = BLOCK * (INT4_GROUP // 2 + 4)

MOST_LEVEL_ROWS: Final = 3
"""Rows that a block is read for at a time: with more, sums do not stay in registers of AVX2."""

_TOGETHER: Final = 4
"""Inputs of an output that lie beside one another."""

_HAS_FOURS: Final = bool(
    FEATURES.get("avxvnni") or (FEATURES.get("avx512vnni") and FEATURES.get("avx512vl"))
)
"""Whether four products are added to a sum in one operation."""

_HAS_PAIRS: Final = bool(FEATURES.get("avx2"))
"""Whether there are sums of pairs of products in one operation. Else LLVM finds what there is."""

_BYTES: Final = ir.VectorType(BYTE, BLOCK * _TOGETHER)
_SHORTS: Final = ir.VectorType(SHORT, BLOCK * _TOGETHER // 2)
_INTS: Final = ir.VectorType(INT, BLOCK)
_FLOATS: Final = ir.VectorType(FLOAT, BLOCK)


def dot_levels(num_rows: int) -> Any:
    """A function that gives the outputs of a row of blocks for each of ``num_rows`` rows of
    activations, which ``round_row`` has made.

    It takes the addresses of the first block and of the first row, the bytes from one row to the
    next, the address of the outputs for the first row, the bytes to those for the next one, and
    how many inputs there are.
    """

    def write(builder: Any, arguments: Any) -> None:
        blocks, rows, row_size, outputs, output_size, num_inputs = arguments
        scales_size = builder.udiv(num_inputs, LONG(INT4_GROUP // 4))
        row_at = [moved(builder, rows, row_size, row) for row in range(num_rows)]
        sizes_at = [builder.add(row, num_inputs) for row in row_at]
        sums_at = [builder.add(sizes, scales_size) for sizes in sizes_at]
        totals = [new_sum(builder, BLOCK) for _ in row_at]
        with Loop(builder, num_inputs, INT4_GROUP) as first:
            group = builder.udiv(first, LONG(INT4_GROUP))
            block = builder.add(blocks, builder.mul(group, LONG(BLOCK_BYTES)))
            wholes = _wholes(builder, block, [builder.add(row, first) for row in row_at])
            scales = builder.add(block, LONG(BLOCK * INT4_GROUP // 2))
            distances = _wide(builder, scales)
            middles = _wide(builder, builder.add(scales, LONG(2 * BLOCK)))
            lowest = fused(builder, distances, _FLOATS([-8.0] * BLOCK), middles)
            for row, whole in enumerate(wholes):
                size, total = (
                    _everywhere(builder, builder.add(place, builder.mul(group, LONG(4))), FLOAT)
                    for place in (sizes_at[row], sums_at[row])
                )
                add_product(builder, totals[row], lowest, total)
                factors = builder.fmul(distances, size)
                add_product(builder, totals[row], builder.sitofp(whole, _FLOATS), factors)
        for row in range(num_rows):
            place = moved(builder, outputs, output_size, row)
            builder.store(builder.load(totals[row]), pointer_to(builder, place, _FLOATS), align=4)

    return function_of(write, 6)


def _wholes(builder: Any, block: Any, rows: list[Any]) -> list[Any]:
    """What levels and steps of a group come to, for each row: whole numbers, one an output."""
    zero = (_INTS if _HAS_FOURS else _SHORTS)(None)
    sums: list[Any] = [zero] * len(rows)
    for number in range(INT4_GROUP // _TOGETHER // 2):
        place = builder.add(block, LONG(number * _BYTES.count))
        both = builder.load(pointer_to(builder, place, _BYTES), align=1)
        halves = (
            builder.and_(both, _BYTES([15] * _BYTES.count)),
            builder.lshr(both, _BYTES([4] * _BYTES.count)),
        )
        for half, levels in enumerate(halves):
            at = LONG((2 * number + half) * _TOGETHER)
            for index, row in enumerate(rows):
                steps = _everywhere(builder, builder.add(row, at), INT)
                sums[index] = _added(builder, sums[index], levels, steps)
    return sums if _HAS_FOURS else [_sums_of_shorts(builder, found) for found in sums]


def _everywhere(builder: Any, address: Any, element: Any) -> Any:
    """A vector that is the number at an address all over."""
    vector = ir.VectorType(element, BLOCK)
    number = builder.load(pointer_to(builder, address, element), align=4)
    one = builder.insert_element(vector(ir.Undefined), number, INT(0))
    return shuffled(builder, one, one, [0] * BLOCK)


def _wide(builder: Any, address: Any) -> Any:
    """A number in bf16 for each output, in fp32."""
    shorts = ir.VectorType(SHORT, BLOCK)
    short = builder.load(pointer_to(builder, address, shorts), align=2)
    return builder.bitcast(builder.shl(builder.zext(short, _INTS), _INTS([16] * BLOCK)), _FLOATS)


def _added(builder: Any, sums: Any, levels: Any, steps: Any) -> Any:
    """``sums`` and the products of levels with steps, four of these in each whole number."""
    if _HAS_FOURS:
        levels = builder.bitcast(levels, _INTS)
        return _call(builder, "llvm.x86.avx512.vpdpbusd.256", _INTS, sums, levels, steps)
    # Eight pairs stay below 2^15.
    return builder.add(sums, _sums_of_pairs(builder, levels, builder.bitcast(steps, _BYTES)))


def _sums_of_pairs(builder: Any, levels: Any, steps: Any) -> Any:
    """The sums of the products of each two."""
    if _HAS_PAIRS:
        return _call(builder, "llvm.x86.avx2.pmadd.ub.sw", _SHORTS, levels, steps)
    wide = ir.VectorType(SHORT, _BYTES.count)
    products = builder.mul(builder.zext(levels, wide), builder.sext(steps, wide))
    return _added_in_pairs(builder, products)


def _sums_of_shorts(builder: Any, shorts: Any) -> Any:
    if _HAS_PAIRS:
        ones = _SHORTS([1] * _SHORTS.count)
        return _call(builder, "llvm.x86.avx2.pmadd.wd", _INTS, shorts, ones)
    return _added_in_pairs(builder, builder.sext(shorts, ir.VectorType(INT, _SHORTS.count)))


def _added_in_pairs(builder: Any, numbers: Any) -> Any:
    size = numbers.type.count
    even = shuffled(builder, numbers, numbers, range(0, size, 2))
    return builder.add(even, shuffled(builder, numbers, numbers, range(1, size, 2)))


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)
