"""Functions that Numba compiles, when they are first imported on a machine, which takes seconds;
afterwards they are in the cache folder. Those that are as short as a few tensor operations are
done sooner than torch, or numpy, has found out what each of these is.

They run on one thread, and write into the last of the arrays that they are given.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, ParamSpec

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy import float32, int32, uint32
from numpy.typing import NDArray

from chatbot.models import memory  # a constant of which is compiled in
from chatbot.paths import cache_dir

Floats = NDArray[np.float32]

FASTMATH: Final = {"reassoc", "contract", "arcp", "nsz"}
"""Sums may be made in another order, for the sake of vectors; NaN stays NaN."""

_P = ParamSpec("_P")


def _kernels_dir() -> Path:
    """Where compiled functions are kept: elsewhere for each version of the files that they are
    made of, since Numba looks at the one file of a function, and not at what it calls.
    """
    digest = hashlib.sha256(Path(memory.__file__).read_bytes())
    own = Path(__file__).parent
    for file in sorted(own.rglob("*.py")):
        content = file.read_bytes()
        is_compiled = b"numba" in content or b"engine.compiled" in content
        if is_compiled or "decode" in file.relative_to(own).parts:
            digest.update(content)
    return cache_dir() / "kernels" / digest.hexdigest()[:16]


if not numba.config.CACHE_DIR:
    numba.config.CACHE_DIR = str(_kernels_dir())

IS_FIRST_TIME: Final = not Path(numba.config.CACHE_DIR).exists()
"""Whether nothing was compiled on this machine yet, of this version."""


def compiled(
    *signatures: str | Sequence[Any], nogil: bool = False, fastmath: bool = True
) -> Callable[[Callable[_P, None]], Callable[_P, None]]:
    """Have a function compiled for arguments of the types in each of ``signatures``.

    Args:
        *signatures: as Numba writes them, or its types.
        nogil: whether other threads may go on meanwhile.
        fastmath: whether ``FASTMATH`` holds for it, and for all that it calls.
    """
    wanted = [
        f"void({signature})" if isinstance(signature, str) else types.void(*signature)
        for signature in signatures
    ]

    def by_numba(function: Callable[_P, None]) -> Callable[_P, None]:
        options: dict[str, Any] = {"error_model": "numpy", "nogil": nogil}
        options["fastmath"] = FASTMATH if fastmath else False
        result: Callable[_P, None]
        try:
            result = numba.njit(wanted, cache=True, **options)(function)
        except Exception:  # whatever is wrong with the cache: unreadable, damaged, disk full
            result = numba.njit(wanted, **options)(function)
        return result

    return by_numba


inlined: Final = numba.njit(inline="always", fastmath=FASTMATH)
"""Has a function become a part of those that call it, whose ``fastmath`` is what holds."""

called: Final = numba.njit(error_model="numpy")
"""Has a function compiled for whatever compiled functions call it with."""

called_fast: Final = numba.njit(error_model="numpy", fastmath=FASTMATH)
"""The same, with ``FASTMATH``."""


@inlined  # type: ignore[untyped-decorator]
def exp(x: Any) -> Any:
    """e to the power of ``x``, to within the last two bits of an fp32, in a form that becomes
    vectors; the approximation is that of the Cephes library (Moshier 1992).
    """
    x = min(max(x, float32(-87.3)), float32(88.0))
    whole = np.floor(x * float32(1.44269504) + float32(0.5))
    rest = x - whole * float32(0.693359375) + whole * float32(2.12194440e-4)
    series = float32(1.9875691500e-4)
    series = series * rest + float32(1.3981999507e-3)
    series = series * rest + float32(8.3334519073e-3)
    series = series * rest + float32(4.1665795894e-2)
    series = series * rest + float32(1.6666665459e-1)
    series = series * rest + float32(5.0000001201e-1)
    series = series * rest * rest + rest + float32(1)
    return series * int32((int32(whole) + int32(127)) << int32(23)).view(float32)


@inlined  # type: ignore[untyped-decorator]
def log(x: Any) -> Any:
    """The natural logarithm of ``x``, no smaller than the smallest normal fp32; see ``exp``."""
    bits = float32(x).view(uint32)
    exponent = float32(int32(bits >> uint32(23)) - int32(126))
    part = uint32((bits & uint32(0x7FFFFF)) | uint32(0x3F000000)).view(float32)
    is_low = part < float32(0.707106781186547524)
    exponent = exponent - float32(1) if is_low else exponent
    part = part + part - float32(1) if is_low else part - float32(1)
    square = part * part
    series = float32(7.0376836292e-2)
    series = series * part - float32(1.1514610310e-1)
    series = series * part + float32(1.1676998740e-1)
    series = series * part - float32(1.2420140846e-1)
    series = series * part + float32(1.4249322787e-1)
    series = series * part - float32(1.6668057665e-1)
    series = series * part + float32(2.0000714765e-1)
    series = series * part - float32(2.4999993993e-1)
    series = series * part + float32(3.3333331174e-1)
    series = series * part * square - exponent * float32(2.12194440e-4) - float32(0.5) * square
    return part + series + exponent * float32(0.693359375)


def _numbers_at(element: Any) -> Any:
    def typed(_context: Any, address: Any) -> Any:
        pointer = types.CPointer(element)

        def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            return builder.inttoptr(values[0], context.get_value_type(pointer))

        return pointer(types.int64), generate

    return intrinsic(typed)


floats_at: Final = _numbers_at(types.float32)
"""Numbers in fp32 from an address on, for compiled code; ``numba.carray`` gives them a shape."""

shorts_at: Final = _numbers_at(types.uint16)
"""The same of unsigned integers of 16 bits."""

bytes_at: Final = _numbers_at(types.int8)
"""The same of integers of 8 bits."""

whole_numbers_at: Final = _numbers_at(types.uint32)
"""The same of unsigned integers of 32 bits."""

longs_at: Final = _numbers_at(types.int64)
"""The same of integers of 64 bits."""
