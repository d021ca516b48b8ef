"""Work that several threads share, for compiled code: it is cut into parts, and each thread takes
the next one that nobody has, until there is none.

A thread that comes late, or is busy elsewhere, costs nothing but its help: the others do its parts.
Knows numbers in memory that threads change one at a time; nothing of what the work is.
"""

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from chatbot.engine.compiled import inlined
from chatbot.engine.decode.cpu.kernels.vectors import IS_X86

STATE: Final = 0
"""The number of the work in the upper half, parts that nobody has taken in the lower one."""

DONE: Final = 8
"""Parts that are done. As far from the other as a processor's caches keep things together."""

PATIENCE: Final = 16
"""How often who helps looks for more before it leaves."""

WORK_SIZE: Final = 24
"""Numbers in all."""

_PARTS: Final = 0xFFFFFFFF

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
        if IS_X86:
            nothing = ir.FunctionType(ir.VoidType(), [])
            pause = builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), nothing)
            builder.call(pause, [])
        return context.get_dummy_value()

    return types.void(), generate


def sharing(do_part: Callable[..., None]) -> Any:
    """What shares work whose parts ``do_part`` does, which is compiled: it is given what the work
    is about, the number of the part and that of the thread. It must not fail: the others would
    wait for ever.

    Returns:
        A function that is given the state of the work, ``WORK_SIZE`` numbers, what it is about, in
        an array of one, how many parts it has, and the number of the thread. Who leads, thread 0,
        begins a work by it, and is done when all parts are; the others help until there has been
        nothing to do for a while. Call it at one place: all that is done becomes a part of it.
    """

    @inlined  # type: ignore[untyped-decorator]
    def share(work: Any, about: Any, num_parts: Any, thread: Any) -> None:
        if thread == 0:
            _store(work, DONE, 0)
            _store(work, STATE, (((_load(work, STATE) >> 32) + 1) << 32) | num_parts)
        looks = 0
        while True:
            state = _load(work, STATE)
            num_left = state & _PARTS
            if num_left:
                if _replace(work, STATE, state, state - 1):
                    # As long as this part is not done, no other work can begin.
                    do_part(about[0], num_left - 1, thread)
                    _add(work, DONE, 1)
                looks = 0
                continue
            if thread == 0 and _load(work, DONE) >= num_parts:
                return
            if thread and looks > _load(work, PATIENCE):
                return
            looks += 1
            if thread == 0 and looks % 1024 == 0:
                _give_way()
            else:
                _pause()

    return share
