"""What a step does between its matrix products, each as one compiled function.

For a small model torch spends more time on finding out what each of some forty tiny operations
in a layer is than on doing it: a third of a step (measured, 135M, two cores). All arrays are fp32,
but for keys and values: these may be bf16, given as the unsigned integers of the same bits, since
NumPy has no bf16. Knows nothing of models.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import types
from numba.extending import overload
from numpy import float32, uint16, uint32
from numpy.typing import NDArray

from chatbot.engine.compiled import Floats, called_fast, exp, inlined

Kept = Floats | NDArray[np.uint16]
"""Keys or values."""

_NAN: Final = 0x7FC0


def widened(number: Any) -> Any:
    """A number of ``Kept`` in fp32."""
    raise NotImplementedError  # the overload below is what is compiled


@overload(widened, strict=False)  # type: ignore[untyped-decorator]
def _choose_widened(number: Any) -> Callable[[Any], Any]:
    if number == types.uint16:
        return lambda number: uint32(uint32(number) << uint32(16)).view(float32)
    return lambda number: number


def _narrowed(number: Any, kept: Any) -> Any:
    """A number in fp32 as ``kept`` has it, rounded to the nearest, and to the even of two."""
    raise NotImplementedError


@overload(_narrowed, strict=False)  # type: ignore[untyped-decorator]
def _choose_narrowed(number: Any, kept: Any) -> Callable[[Any, Any], Any]:
    if kept.dtype != types.uint16:
        return lambda number, kept: number

    def narrowed(number: Any, kept: Any) -> Any:
        bits = float32(number).view(uint32)
        rounded = bits + uint32(0x7FFF) + ((bits >> uint32(16)) & uint32(1))
        return uint16(rounded >> uint32(16)) if number == number else uint16(_NAN)

    return narrowed


@inlined  # type: ignore[untyped-decorator]
def _normalise(numbers: Any, weight: Any, epsilon: Any, normalised: Any) -> None:
    """``numbers`` [size], divided by their root mean square; they may be written over."""
    size = numbers.shape[0]
    total = float32(0)
    for i in range(size):
        total += numbers[i] * numbers[i]
    factor = float32(1 / np.sqrt(total / size + epsilon))
    for i in range(size):
        normalised[i] = numbers[i] * factor * weight[i]


@called_fast  # type: ignore[untyped-decorator]
def normalise(rows: Floats, weight: Floats, epsilon: float, normalised: Floats) -> None:
    """``rows`` [n, size], each divided by its root mean square, times ``weight`` [size]."""
    for row in range(rows.shape[0]):
        _normalise(rows[row], weight, epsilon, normalised[row])


@called_fast  # type: ignore[untyped-decorator]
def add_and_normalise(
    product: Floats, weight: Floats, epsilon: float, residual: Floats, normalised: Floats
) -> None:
    """Add ``product`` [n, size] to ``residual``, and normalise the sum as ``normalise`` does."""
    num_rows, size = product.shape
    for row in range(num_rows):
        for i in range(size):
            residual[row, i] += product[row, i]
        _normalise(residual[row], weight, epsilon, normalised[row])


@called_fast  # type: ignore[untyped-decorator]
def normalise_heads(
    projected: Floats, first: int, num_heads: int, weight: Floats, epsilon: float
) -> None:
    """Normalise heads of ``projected`` [n, all heads * size], in place, those from the one
    numbered ``first`` on, by ``weight`` [size].
    """
    size = weight.shape[0]
    for row in range(projected.shape[0]):
        for head in range(first, first + num_heads):
            numbers = projected[row, head * size : (head + 1) * size]
            _normalise(numbers, weight, epsilon, numbers)


@inlined  # type: ignore[untyped-decorator]
def _place(head: Any, rotations: Any, is_rotated: Any, target: Any) -> None:
    """``head`` [size], turned by ``rotations`` [size / 2, 2] or as it is, into ``target``."""
    half = target.shape[0] // 2
    if is_rotated:
        for i in range(half):
            real, imaginary = head[i], head[half + i]
            cosine, sine = rotations[i, 0], rotations[i, 1]
            target[2 * i] = _narrowed(real * cosine - imaginary * sine, target)
            target[2 * i + 1] = _narrowed(imaginary * cosine + real * sine, target)
    else:
        for i in range(2 * half):
            target[i] = _narrowed(head[i], target)


@called_fast  # type: ignore[untyped-decorator]
def place_heads(
    projected: Floats,
    rotations: Floats,
    start: int,
    is_rotated: bool,
    queries: Floats,
    keys: Kept,
    values: Kept,
) -> None:
    """Turn queries and keys to their positions, and put keys and values into the cache.

    Args:
        projected: [n, all heads * size]: queries, keys, values.
        rotations: [positions, size / 2, 2]: cosine and sine.
        start: the position of the first token, and the others' in a cache of several rows.
        is_rotated: whether positions are told by rotation.
        queries: [n, heads, size], written. The two halves of a turned head come out alternating.
        keys: [rows, kv heads, tokens, size], written where the new tokens belong.
        values: as ``keys``.
    """
    num_new, num_heads, size = queries.shape
    num_kv_heads = keys.shape[1]
    for row in range(num_new):
        own = 0 if keys.shape[0] == 1 else row
        at = start + row if keys.shape[0] == 1 else start
        for head in range(num_heads):
            own_head = projected[row, head * size : (head + 1) * size]
            _place(own_head, rotations[at], is_rotated, queries[row, head])
        for head in range(num_kv_heads):
            first = (num_heads + head) * size
            own_head = projected[row, first : first + size]
            _place(own_head, rotations[at], is_rotated, keys[own, head, at])
            first += num_kv_heads * size
            value = values[own, head, at]
            for i in range(size):
                value[i] = _narrowed(projected[row, first + i], value)


@inlined  # type: ignore[untyped-decorator]
def _as_it_is(x: Any) -> Any:
    return x


@inlined  # type: ignore[untyped-decorator]
def _bent(x: Any) -> Any:
    """Of what the sigmoid is gelu, approximated by tanh."""
    return x * (float32(1.5957691216) + float32(0.0713548128) * x * x)


def _gating_by(bent: Any) -> Callable[[Floats, Floats], None]:
    """What takes the halves of ``both`` [n, 2 * size], the first one times the sigmoid of what
    ``bent`` makes of it, times one another, into ``gated`` [n, size].
    """

    @called_fast  # type: ignore[untyped-decorator]
    def gate(both: Floats, gated: Floats) -> None:
        num_rows, size = both.shape[0], both.shape[1] // 2
        for row in range(num_rows):
            for i in range(size):
                value = both[row, i]
                gated[row, i] = value / (float32(1) + exp(-bent(value))) * both[row, size + i]

    result: Callable[[Floats, Floats], None] = gate
    return result


gate, gate_by_gelu = _gating_by(_as_it_is), _gating_by(_bent)
