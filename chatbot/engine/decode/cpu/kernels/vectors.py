"""Functions of vectors of numbers, written in LLVM's own language: what these consist of.

What Numba makes of loops is quick, but how it adds up is its own affair. Here it is said: a sum is
made in the same order however many others there are beside it, so that a few tokens at once come
to what each of them does alone, to the last bit.

Each is a function for compiled code that is given addresses. That code must not be compiled with
``fastmath``, which would be passed on to these. Knows how numbers lie in memory;
nothing of threads and of layers.
"""

import platform
from collections.abc import Callable, Sequence
from typing import Any, Final

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from chatbot.engine.compiled import inlined
from chatbot.engine.decode.cpu.kernels.forms import Form

FEATURES: Final = llvmlite.binding.get_host_cpu_features()
"""What this processor has."""

WIDTH: Final = 16 if FEATURES.get("avx512f") else 8
"""Numbers in a vector; processors with narrower ones take several for each."""

MOST_ROWS: Final = 3
"""Rows of activations that other numbers are read for at a time: their sums fill the registers of
AVX2."""

BYTE: Final = ir.IntType(8)
SHORT: Final = ir.IntType(16)
INT: Final = ir.IntType(32)
LONG: Final = ir.IntType(64)
FLOAT: Final = ir.FloatType()
VECTOR: Final = ir.VectorType(FLOAT, WIDTH)
INTS: Final = ir.VectorType(INT, WIDTH)

HAS_PAIRS: Final = WIDTH == 16 and bool(FEATURES.get("avx512bf16"))
"""Whether the products of pairs of numbers in bf16 are added to a sum in one operation."""

IS_X86: Final = platform.machine() in ("x86_64", "AMD64")
"""Whether it is one of the x86 family, with 64 bits."""

_FUSES: Final = not IS_X86 or bool(FEATURES.get("fma"))
"""Whether a product and a sum are one operation here, without which LLVM calls a library."""
_WIDENS_FP16: Final = not IS_X86 or bool(FEATURES.get("f16c"))


def function_of(write: Callable[[Any, Any], None], num_arguments: int) -> Any:
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


def by_number(make: Callable[[int], Any]) -> Any:
    """What ``make`` gives for 1 to ``MOST_ROWS`` as one function, for compiled code, of the number
    and of what each of them takes: seven whole numbers.
    """
    one, two, three = (make(number + 1) for number in range(MOST_ROWS))

    @inlined  # type: ignore[untyped-decorator]
    def chosen(number: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> None:
        if number == 3:
            three(a, b, c, d, e, f, g)
        elif number == 2:
            two(a, b, c, d, e, f, g)
        else:
            one(a, b, c, d, e, f, g)

    return chosen


class Loop:
    """A loop from 0 to ``end`` in steps; entered, it gives where it is."""

    def __init__(self, builder: Any, end: Any, step: int) -> None:
        self._range = cgutils.for_range_slice(builder, LONG(0), end, LONG(step), intp=LONG)

    def __enter__(self) -> Any:
        index, _ = self._range.__enter__()
        return index

    def __exit__(self, *exception: Any) -> None:
        self._range.__exit__(*exception)


def numbers_at(builder: Any, form: Form, row: Any, place: Any) -> Any:
    """A vector of a row, in fp32 but for the scale of int8: from the number at ``place`` on."""
    match form:
        case Form.BF16:
            short = builder.load(vector_at(builder, row, place, SHORT, 2), align=2)
            shifted = builder.shl(builder.zext(short, INTS), same(16))
            return builder.bitcast(shifted, VECTOR)
        case Form.FP16 if _WIDENS_FP16:
            half = builder.load(vector_at(builder, row, place, ir.HalfType(), 2), align=2)
            return builder.fpext(half, VECTOR)
        case Form.FP16:
            short = builder.load(vector_at(builder, row, place, SHORT, 2), align=2)
            return _half(builder, builder.zext(short, INTS))
        case Form.FP32:
            return builder.load(vector_at(builder, row, place, FLOAT, 4), align=4)
    steps = builder.load(vector_at(builder, row, place, BYTE, 1), align=1)
    return builder.sitofp(builder.sext(steps, INTS), VECTOR)


def _half(builder: Any, bits: Any) -> Any:
    """What the lower 16 bits of whole numbers are in fp16, in fp32."""
    # The exponent in its new place is 112 too small, of the smallest numbers too.
    placed = builder.bitcast(builder.shl(builder.and_(bits, same(0x7FFF)), same(13)), VECTOR)
    wide = builder.bitcast(builder.fmul(placed, VECTOR([2.0**112] * WIDTH)), INTS)
    exponent = builder.and_(bits, same(0x7C00))
    is_finite = builder.icmp_unsigned("!=", exponent, same(0x7C00))
    no_number = builder.or_(wide, same(0x7F800000))
    sign = builder.shl(builder.and_(bits, same(0x8000)), same(16))
    found = builder.or_(builder.select(is_finite, wide, no_number), sign)
    return builder.bitcast(found, VECTOR)


def same(number: int) -> Any:
    """A vector of a whole number."""
    return INTS([number] * WIDTH)


def vector_at(builder: Any, address: Any, place: Any, element: Any, size: int) -> Any:
    """Where a vector begins: at the element numbered ``place``, of so many bytes."""
    start = builder.add(address, builder.mul(place, LONG(size)))
    return builder.inttoptr(start, ir.VectorType(element, WIDTH).as_pointer())


def pointer_to(builder: Any, address: Any, element: Any) -> Any:
    """An address as LLVM takes it."""
    return builder.inttoptr(address, element.as_pointer())


def moved(builder: Any, address: Any, size: Any, number: int) -> Any:
    """The address that lies ``number`` rows of ``size`` bytes behind another."""
    return builder.add(address, builder.mul(size, LONG(number)))


def new_sum(builder: Any, width: int = WIDTH) -> Any:
    """A vector of sums that are zero; where it stands in a loop, again each time it is come by."""
    vector = ir.VectorType(FLOAT, width)
    place = cgutils.alloca_once(builder, vector)
    builder.store(vector([0.0] * width), place)
    return place


def add_product(builder: Any, total: Any, first: Any, second: Any) -> None:
    """Add to a sum of ``new_sum``."""
    builder.store(fused(builder, first, second, builder.load(total)), total)


def add_pairs(builder: Any, total: Any, first: Any, second: Any) -> None:
    """Add the products of pairs in bf16, each in the bits of a whole number, to a sum; where there
    is such an operation."""
    signature = ir.FunctionType(VECTOR, [VECTOR, INTS, INTS])
    name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * WIDTH}"
    dots = cgutils.get_or_insert_function(builder.module, signature, name)
    builder.store(builder.call(dots, [builder.load(total), first, second]), total)


def shortened(builder: Any, vector: Any) -> Any:
    """A vector in bf16, in the bits of short whole numbers: rounded to the nearest, and to the even
    of two."""
    bits = builder.bitcast(vector, INTS)
    odd = builder.and_(builder.lshr(bits, same(16)), same(1))
    nearest = builder.lshr(builder.add(bits, builder.add(odd, same(0x7FFF))), same(16))
    is_number = builder.fcmp_ordered("ord", vector, vector)
    shorts = ir.VectorType(SHORT, WIDTH)
    return builder.trunc(builder.select(is_number, nearest, same(0x7FC0)), shorts)


def fused(builder: Any, first: Any, second: Any, third: Any) -> Any:
    """``first`` times ``second`` and ``third``."""
    if not _FUSES:
        return builder.fadd(builder.fmul(first, second), third)
    vector = first.type
    signature = ir.FunctionType(vector, [vector] * 3)
    name = f"llvm.fma.v{vector.count}f32"
    fma = cgutils.get_or_insert_function(builder.module, signature, name)
    return builder.call(fma, [first, second, third])


def spread(builder: Any, number: Any) -> Any:
    """A vector that is the same number all over."""
    one = builder.insert_element(ir.VectorType(number.type, WIDTH)(ir.Undefined), number, INT(0))
    return builder.shuffle_vector(one, one, same(0))


def shuffled(builder: Any, first: Any, second: Any, places: Sequence[int]) -> Any:
    """The numbers at these places of two vectors that lie one behind the other."""
    mask = ir.VectorType(INT, len(places))(list(places))
    return builder.shuffle_vector(first, second, mask)


def halved(builder: Any, vector: Any, width: int) -> Any:
    """The sum of a vector's halves, and of the halves of that, until there are ``width`` sums."""
    size = vector.type.count
    while size > width:
        size //= 2
        lower = shuffled(builder, vector, vector, range(size))
        upper = shuffled(builder, vector, vector, range(size, 2 * size))
        vector = builder.fadd(lower, upper)
    return vector


def sum_of(builder: Any, vector: Any) -> Any:
    """The sum of a vector's numbers."""
    return builder.extract_element(halved(builder, vector, 1), INT(0))


def four_sums(builder: Any, vectors: list[Any]) -> Any:
    """The sums of four vectors' numbers, each added up as ``sum_of`` does."""
    fours = [halved(builder, vector, 4) for vector in vectors]
    twos = []
    for first, second in (fours[:2], fours[2:]):
        lower = shuffled(builder, first, second, (0, 4, 1, 5))
        upper = shuffled(builder, first, second, (2, 6, 3, 7))
        twos.append(builder.fadd(lower, upper))
    first, second = twos
    lower = shuffled(builder, first, second, (0, 1, 4, 5))
    upper = shuffled(builder, first, second, (2, 3, 6, 7))
    return builder.fadd(lower, upper)
