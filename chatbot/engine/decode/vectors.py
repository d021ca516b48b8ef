"""Products of a weight's rows with activations, written in LLVM's own language.

What Numba makes of loops is quick, but how it adds up is its own affair. Here it is said: a ``dot``
is made in the same order however many rows there are beside it, so that a few tokens at once come
to what each of them does alone, to the last bit.

Each is a function for compiled code that is given addresses. That code must not be compiled with
``fastmath``, which would be passed on to these. Knows how numbers lie in memory;
nothing of threads and of layers.
"""

import platform
from collections.abc import Callable
from typing import Any, Final

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from chatbot.engine.decode.forms import Form
from chatbot.models.memory import INT4_GROUP

_FEATURES: Final = llvmlite.binding.get_host_cpu_features()

WIDTH: Final = 16 if _FEATURES.get("avx512f") else 8
"""Numbers in a vector; processors with narrower ones take several for each."""

NUM_SUMS: Final = 4
"""Vectors that are summed up beside one another: one would wait for the other."""

STEP: Final = WIDTH * NUM_SUMS

MOST_ROWS: Final = 3
"""Rows of activations that a row of a weight is read for at a time: their sums fill the registers
of AVX2."""

_BYTE: Final = ir.IntType(8)
_SHORT: Final = ir.IntType(16)
_INT: Final = ir.IntType(32)
_LONG: Final = ir.IntType(64)
_FLOAT: Final = ir.FloatType()
_VECTOR: Final = ir.VectorType(_FLOAT, WIDTH)
_INTS: Final = ir.VectorType(_INT, WIDTH)

_IS_X86: Final = platform.machine() in ("x86_64", "AMD64")
_FUSES: Final = not _IS_X86 or bool(_FEATURES.get("fma"))
"""Whether a product and a sum are one operation here, without which LLVM calls a library."""
_WIDENS_FP16: Final = not _IS_X86 or bool(_FEATURES.get("f16c"))


def dot(form: Form, num_rows: int) -> Any:
    """A function that gives one output for each of ``num_rows`` rows of activations.

    It takes the addresses of the weight's row, of its scales, of the first row of activations,
    the bytes from one of these to the next, the address of the output for the first one, the
    bytes from one output to the next, and how many numbers a row has.
    """

    def write(builder: Any, arguments: Any) -> None:
        weight, scales, rows, row_size, outputs, output_size, num_inputs = arguments
        row_at = [_moved(builder, rows, row_size, row) for row in range(num_rows)]
        sums = [[_zeros(builder) for _ in range(NUM_SUMS)] for _ in row_at]
        with _steps(builder, num_inputs, STEP) as first:
            wide = _weights(builder, form, weight, scales, first)
            for row, own in zip(row_at, sums, strict=True):
                for number, (part, total) in enumerate(zip(wide, own, strict=True)):
                    numbers = _numbers(builder, row, first, number * WIDTH)
                    _add_product(builder, total, part, numbers)
        for row, own in enumerate(sums):
            first_pair, second_pair = (
                builder.fadd(builder.load(own[a]), builder.load(own[a + 1])) for a in (0, 2)
            )
            total = _sum_of(builder, builder.fadd(first_pair, second_pair))
            if form == Form.INT8:
                total = builder.fmul(total, builder.load(_pointer(builder, scales, _FLOAT)))
            place = _moved(builder, outputs, output_size, row)
            builder.store(total, _pointer(builder, place, _FLOAT))

    return _function(write, 7)


def widen(form: Form) -> Any:
    """A function that writes a row of a weight in fp32.

    It takes the addresses of the row, of its scales and of where to write, and how many numbers
    the row has.
    """

    def write(builder: Any, arguments: Any) -> None:
        weight, scales, target, num_inputs = arguments
        with _steps(builder, num_inputs, STEP) as first:
            for number, part in enumerate(_weights(builder, form, weight, scales, first)):
                if form == Form.INT8:
                    scale = builder.load(_pointer(builder, scales, _FLOAT))
                    part = builder.fmul(part, _spread(builder, scale))
                place = builder.add(first, _LONG(number * WIDTH))
                builder.store(part, _vector_at(builder, target, place, _FLOAT, 4), align=4)

    return _function(write, 4)


def block(num_outputs: int, num_rows: int) -> Any:
    """A function that gives ``num_outputs`` outputs for each of ``num_rows`` rows of activations,
    by a weight in fp32.

    It takes the addresses of the weight's first row, the bytes from one to the next, then as
    ``dot`` does from the rows on; the outputs of a row lie beside one another.
    """

    def write(builder: Any, arguments: Any) -> None:
        weight, weight_size, rows, row_size, outputs, output_size, num_inputs = arguments
        weight_at = [_moved(builder, weight, weight_size, n) for n in range(num_outputs)]
        row_at = [_moved(builder, rows, row_size, n) for n in range(num_rows)]
        sums = [[_zeros(builder) for _ in weight_at] for _ in row_at]
        with _steps(builder, num_inputs, WIDTH) as first:
            parts = [_numbers(builder, place, first, 0) for place in weight_at]
            for row, own in zip(row_at, sums, strict=True):
                numbers = _numbers(builder, row, first, 0)
                for part, total in zip(parts, own, strict=True):
                    _add_product(builder, total, part, numbers)
        for row, own in enumerate(sums):
            place = _moved(builder, outputs, output_size, row)
            for number, total in enumerate(own):
                target = builder.gep(_pointer(builder, place, _FLOAT), [_LONG(number)])
                builder.store(_sum_of(builder, builder.load(total)), target)

    return _function(write, 7)


def _function(write: Callable[[Any, Any], None], num_arguments: int) -> Any:
    """What compiled code calls with so many whole numbers, and ``write`` writes."""

    def typed(_context: Any, *arguments: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            write(builder, values)
            return context.get_dummy_value()

        return types.void(*[types.int64] * num_arguments), generate

    # Numba asks for the names of the arguments.
    names = ", ".join(f"a{number}" for number in range(num_arguments))
    scope: dict[str, Any] = {"typed": typed}
    exec(f"def function(context, {names}): return typed(context, {names})", scope)
    return intrinsic(scope["function"])


def _steps(builder: Any, num_inputs: Any, step: int) -> Any:
    """A loop over the numbers of a row."""
    return _Loop(builder, num_inputs, step)


class _Loop:
    def __init__(self, builder: Any, end: Any, step: int) -> None:
        self._range = cgutils.for_range_slice(builder, _LONG(0), end, _LONG(step), intp=_LONG)

    def __enter__(self) -> Any:
        index, _ = self._range.__enter__()
        return index

    def __exit__(self, *exception: Any) -> None:
        self._range.__exit__(*exception)


def _weights(builder: Any, form: Form, weight: Any, scales: Any, first: Any) -> list[Any]:
    """The next ``STEP`` numbers of a row, in fp32 but for the scale of int8."""
    if form == Form.INT4:
        return _levels(builder, weight, scales, first)
    places = [builder.add(first, _LONG(number * WIDTH)) for number in range(NUM_SUMS)]
    return [_weight(builder, form, weight, place) for place in places]


def _weight(builder: Any, form: Form, weight: Any, place: Any) -> Any:
    match form:
        case Form.BF16:
            short = builder.load(_vector_at(builder, weight, place, _SHORT, 2), align=2)
            shifted = builder.shl(builder.zext(short, _INTS), _same(16))
            return builder.bitcast(shifted, _VECTOR)
        case Form.FP16 if _WIDENS_FP16:
            half = builder.load(_vector_at(builder, weight, place, ir.HalfType(), 2), align=2)
            return builder.fpext(half, _VECTOR)
        case Form.FP16:
            short = builder.load(_vector_at(builder, weight, place, _SHORT, 2), align=2)
            return _half(builder, builder.zext(short, _INTS))
        case Form.FP32:
            return builder.load(_vector_at(builder, weight, place, _FLOAT, 4), align=4)
    steps = builder.load(_vector_at(builder, weight, place, _BYTE, 1), align=1)
    return builder.sitofp(builder.sext(steps, _INTS), _VECTOR)


def _half(builder: Any, bits: Any) -> Any:
    """What the lower 16 bits of whole numbers are in fp16, in fp32."""
    # The exponent in its new place is 112 too small, of the smallest numbers too.
    placed = builder.bitcast(builder.shl(builder.and_(bits, _same(0x7FFF)), _same(13)), _VECTOR)
    wide = builder.bitcast(builder.fmul(placed, _VECTOR([2.0**112] * WIDTH)), _INTS)
    exponent = builder.and_(bits, _same(0x7C00))
    is_finite = builder.icmp_unsigned("!=", exponent, _same(0x7C00))
    no_number = builder.or_(wide, _same(0x7F800000))
    sign = builder.shl(builder.and_(bits, _same(0x8000)), _same(16))
    found = builder.or_(builder.select(is_finite, wide, no_number), sign)
    return builder.bitcast(found, _VECTOR)


def _same(number: int) -> Any:
    return _INTS([number] * WIDTH)


def _levels(builder: Any, weight: Any, scales: Any, first: Any) -> list[Any]:
    """As ``_weights``, of int4."""
    half = INT4_GROUP // 2
    found = []
    for start in range(0, STEP, INT4_GROUP):
        place = builder.add(first, _LONG(start))
        group = builder.udiv(place, _LONG(INT4_GROUP))
        both = builder.load(builder.gep(_pointer(builder, scales, _INT), [group]), align=4)
        distance = builder.bitcast(builder.shl(both, _INT(16)), _FLOAT)
        middle = builder.bitcast(builder.and_(both, _INT(0xFFFF0000)), _FLOAT)
        lowest = builder.fsub(middle, builder.fmul(distance, _FLOAT(8.0)))
        distances, lowests = _spread(builder, distance), _spread(builder, lowest)
        pairs = []
        for number in range(0, half, WIDTH):
            offset = builder.add(builder.mul(group, _LONG(half)), _LONG(number))
            short = builder.load(_vector_at(builder, weight, offset, _BYTE, 1), align=1)
            pairs.append(builder.zext(short, _INTS))
        lower = [builder.and_(pair, _same(15)) for pair in pairs]
        upper = [builder.lshr(pair, _same(4)) for pair in pairs]
        for level in (*lower, *upper):
            wide = builder.sitofp(level, _VECTOR)  # below 16: unsigned ones take many times as long
            found.append(_fused(builder, wide, distances, lowests))
    return found


def _numbers(builder: Any, row: Any, first: Any, offset: int) -> Any:
    """A vector of a row in fp32."""
    place = builder.add(first, _LONG(offset))
    return builder.load(_vector_at(builder, row, place, _FLOAT, 4), align=4)


def _vector_at(builder: Any, address: Any, place: Any, element: Any, size: int) -> Any:
    """Where a vector begins: at the element numbered ``place``, of so many bytes."""
    moved = builder.add(address, builder.mul(place, _LONG(size)))
    return builder.inttoptr(moved, ir.VectorType(element, WIDTH).as_pointer())


def _pointer(builder: Any, address: Any, element: Any) -> Any:
    return builder.inttoptr(address, element.as_pointer())


def _moved(builder: Any, address: Any, size: Any, number: int) -> Any:
    return builder.add(address, builder.mul(size, _LONG(number)))


def _zeros(builder: Any) -> Any:
    """A sum that is zero; where it stands in a loop, again each time it is come by."""
    place = cgutils.alloca_once(builder, _VECTOR)
    builder.store(_VECTOR([0.0] * WIDTH), place)
    return place


def _add_product(builder: Any, total: Any, first: Any, second: Any) -> None:
    builder.store(_fused(builder, first, second, builder.load(total)), total)


def _fused(builder: Any, first: Any, second: Any, third: Any) -> Any:
    """``first`` times ``second`` and ``third``."""
    if not _FUSES:
        return builder.fadd(builder.fmul(first, second), third)
    signature = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    fma = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.v{WIDTH}f32")
    return builder.call(fma, [first, second, third])


def _spread(builder: Any, number: Any) -> Any:
    """A vector that is the same number all over."""
    one = builder.insert_element(_VECTOR(ir.Undefined), number, _INT(0))
    return builder.shuffle_vector(one, one, _same(0))


def _sum_of(builder: Any, vector: Any) -> Any:
    """The sum of a vector's numbers, halves first."""
    width = WIDTH
    while width > 1:
        width //= 2
        halves = ir.VectorType(_INT, width)
        lower = builder.shuffle_vector(vector, vector, halves(list(range(width))))
        upper = builder.shuffle_vector(vector, vector, halves(list(range(width, 2 * width))))
        vector = builder.fadd(lower, upper)
    return builder.extract_element(vector, _INT(0))
