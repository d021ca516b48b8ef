"""Work that several threads share, for compiled code: it is cut into parts, and each thread takes
the next one that nobody has, until there is none.

A thread that comes late, or is busy elsewhere, costs nothing but its help: the others do its parts.
Knows numbers in memory that threads change one at a time; nothing of what the work is.
"""

import platform
from collections.abc import Callable
from typing import Any, Final

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

STATE: Final = 0
"""The number of the work in the upper half, parts that nobody has taken in the lower one."""

DONE: Final = 8
"""Parts that are done. As far from the other as a processor's caches keep things together."""

PATIENCE: Final = 16
"""How often who helps looks for more before it leaves."""

WORK_SIZE: Final = 24
"""Numbers in all."""

_PARTS: Final = 0xFFFFFFFF
_HAS_PAUSE: Final = platform.machine() in ("x86_64", "AMD64")

_give_way = types.ExternalFunction("sched_yield", types.int32())


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    made = context.make_array(array_type)(context, builder, array)
    return builder.gep(made.data, [index])


@intrinsic  # type: ignore[untyped-decorator]
def _load(_context: Any, work: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _place(context, builder, signature.args[0], *values)
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(work, index), generate


@intrinsic  # type: ignore[untyped-decorator]
def _store(_context: Any, work: Any, index: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _place(context, builder, signature.args[0], *values[:2])
        builder.store_atomic(values[2], place, "release", 8)
        return context.get_dummy_value()

    return types.void(work, index, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _add(_context: Any, work: Any, index: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _place(context, builder, signature.args[0], *values[:2])
        return builder.atomic_rmw("add", place, values[2], "acq_rel")

    return types.int64(work, index, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _replace(_context: Any, work: Any, index: Any, old: Any, new: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _place(context, builder, signature.args[0], *values[:2])
        both = builder.cmpxchg(place, values[2], values[3], "acq_rel", "acquire")
        return builder.extract_value(both, 1)

    return types.boolean(work, index, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _pause(_context: Any) -> Any:
    """Let the other thread of a core work: this one waits."""

    def generate(context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
        if _HAS_PAUSE:
            nothing = ir.FunctionType(ir.VoidType(), [])
            pause = builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), nothing)
            builder.call(pause, [])
        return context.get_dummy_value()

    return types.void(), generate


def sharing(do_part: Callable[..., None]) -> tuple[Any, Any]:
    """What shares work whose parts ``do_part`` does, which is compiled: it is given what the work
    is about, the number of the part and that of the thread. It must not fail: the others would
    wait for ever.

    Returns:
        A function that begins a work of so many parts and returns when all is done; and one that
        helps until there has been nothing to do for a while. Both are given the state of the work,
        ``WORK_SIZE`` numbers, and, in an array of one, what it is about.
    """

    @numba.njit  # type: ignore[untyped-decorator]
    def take(work: Any, about: Any, thread: Any) -> Any:
        state = _load(work, STATE)
        num_left = state & _PARTS
        if num_left == 0:
            return False
        if _replace(work, STATE, state, state - 1):
            # As long as this part is not done, no other work can begin.
            do_part(about[0], num_left - 1, thread)
            _add(work, DONE, 1)
        return True

    @numba.njit  # type: ignore[untyped-decorator]
    def lead(work: Any, about: Any, num_parts: Any, thread: Any) -> None:
        _store(work, DONE, 0)
        _store(work, STATE, (((_load(work, STATE) >> 32) + 1) << 32) | num_parts)
        while take(work, about, thread):
            pass
        looks = 0
        while _load(work, DONE) < num_parts:
            looks += 1
            if looks % 1024:
                _pause()
            else:
                _give_way()

    @numba.njit  # type: ignore[untyped-decorator]
    def help_out(work: Any, about: Any, thread: Any) -> None:
        looks = 0
        while looks <= _load(work, PATIENCE):
            if take(work, about, thread):
                looks = 0
            else:
                looks += 1
                _pause()

    return lead, help_out
