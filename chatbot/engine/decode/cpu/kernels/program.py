"""Does what instructions say, by several threads where it takes long. All is compiled code."""

from typing import Any, Final

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from chatbot.engine.compiled import compiled, floats_at, inlined, longs_at, shorts_at
from chatbot.engine.decode.cpu.kernels import between_products, routing
from chatbot.engine.decode.cpu.kernels.attention import (
    cut_attention,
    do_attention_part,
    put_together,
)
from chatbot.engine.decode.cpu.kernels.block_products import is_many
from chatbot.engine.decode.cpu.kernels.forms import Form
from chatbot.engine.decode.cpu.kernels.instructions import INSTRUCTION, Instructions, Kind
from chatbot.engine.decode.cpu.kernels.products import (
    NUM_LOOKS_OF_MANY,
    cut_product,
    cut_products,
    do_product_part,
    do_products_part,
)
from chatbot.engine.decode.cpu.kernels.rounding import cut_rounding, do_rounding_part
from chatbot.engine.decode.cpu.kernels.shared_work import PATIENCE, sharing
from chatbot.engine.decode.cpu.kernels.tiled_attention import cut_tiles, do_tile_part

Numbers = NDArray[np.int64]


_ROWS_OF_PART: Final = 16
"""Of what is done between products, where rows are many."""


@inlined  # type: ignore[untyped-decorator]
def _rows(address: Any, num_rows: Any, size: Any) -> Any:
    return numba.carray(floats_at(address), (num_rows, size))


@inlined  # type: ignore[untyped-decorator]
def _normalise(about: Any) -> None:
    num_rows, size = about.num_rows, about.num_inputs
    between_products.normalise(
        _rows(about.residual, num_rows, size),
        numba.carray(floats_at(about.weight), (size,)),
        about.epsilon,
        _rows(about.target, num_rows, about.target_size),
    )


@inlined  # type: ignore[untyped-decorator]
def _add_and_normalise(about: Any) -> None:
    num_rows, size = about.num_rows, about.num_inputs
    between_products.add_and_normalise(
        _rows(about.source, num_rows, size),
        numba.carray(floats_at(about.weight), (size,)),
        about.epsilon,
        _rows(about.residual, num_rows, size),
        _rows(about.target, num_rows, about.target_size),
    )


@inlined  # type: ignore[untyped-decorator]
def _normalise_heads(about: Any, first: Any, end: Any) -> None:
    between_products.normalise_heads(
        _rows(about.target, about.num_rows, about.target_size)[first:end],
        about.first_head,
        about.num_heads,
        numba.carray(floats_at(about.weight), (about.head_size,)),
        about.epsilon,
    )


@inlined  # type: ignore[untyped-decorator]
def _place_heads(about: Any, first: Any, end: Any) -> None:
    num_rows, size, num_kv_heads = about.num_rows, about.head_size, about.num_kv_heads
    heads = _rows(about.source, num_rows, (about.num_heads + 2 * num_kv_heads) * size)[first:end]
    turns = numba.carray(floats_at(about.turns), (about.start + num_rows, size // 2, 2))
    queries = numba.carray(floats_at(about.target), (num_rows, about.num_heads, size))[first:end]
    kept = (about.num_texts, num_kv_heads, about.capacity, size)
    start, text, last_text = about.start, first, end
    if about.num_texts == 1:
        start, text, last_text = start + first, 0, 1
    is_rotated = about.is_rotated != 0
    if about.kept_form == Form.BF16.value:
        short_keys = numba.carray(shorts_at(about.keys), kept)[text:last_text]
        short_values = numba.carray(shorts_at(about.values), kept)[text:last_text]
        between_products.place_heads(
            heads, turns, start, is_rotated, queries, short_keys, short_values
        )
    else:
        keys = numba.carray(floats_at(about.keys), kept)[text:last_text]
        values = numba.carray(floats_at(about.values), kept)[text:last_text]
        between_products.place_heads(heads, turns, start, is_rotated, queries, keys, values)


@inlined  # type: ignore[untyped-decorator]
def _gate(about: Any, first: Any, end: Any) -> None:
    num_rows = about.num_rows
    both = _rows(about.source, num_rows, 2 * about.num_inputs)
    gated = _rows(about.target, num_rows, about.target_size)
    if about.kind == Kind.GATE.value:
        between_products.gate(both[first:end], gated[first:end])
    else:
        between_products.gate_by_gelu(both[first:end], gated[first:end])


@inlined  # type: ignore[untyped-decorator]
def _choose(about: Any, first: Any, end: Any) -> None:
    num_rows, num_chosen = about.num_rows, about.num_chosen
    routing.choose(
        _rows(about.source, num_rows, about.num_experts)[first:end],
        about.sums_to_one != 0,
        numba.carray(longs_at(about.chosen), (num_rows, num_chosen))[first:end],
        _rows(about.shares, num_rows, num_chosen)[first:end],
    )


@inlined  # type: ignore[untyped-decorator]
def _group(about: Any) -> None:
    size = about.num_rows * about.num_chosen
    routing.group(
        numba.carray(longs_at(about.chosen), (size,)),
        routing.groups_at(about),
        numba.carray(longs_at(about.places), (size,)),
    )


@inlined  # type: ignore[untyped-decorator]
def _spread(about: Any, first: Any, end: Any) -> None:
    num_rows, num_chosen, size = about.num_rows, about.num_chosen, about.target_size
    routing.spread(
        _rows(about.source, num_rows, size)[first:end],
        numba.carray(longs_at(about.places), (num_rows, num_chosen))[first:end],
        _rows(about.target, num_rows * num_chosen, size),
    )


@inlined  # type: ignore[untyped-decorator]
def _collect(about: Any, first: Any, end: Any) -> None:
    num_rows, num_chosen, size = about.num_rows, about.num_chosen, about.target_size
    routing.collect(
        _rows(about.source, num_rows * num_chosen, size),
        numba.carray(longs_at(about.places), (num_rows, num_chosen))[first:end],
        _rows(about.shares, num_rows, num_chosen)[first:end],
        _rows(about.target, num_rows, size)[first:end],
    )


@inlined  # type: ignore[untyped-decorator]
def _do_rows(about: Any, first: Any, end: Any) -> None:
    """Do what is between products to the rows from ``first`` to ``end``."""
    if about.kind == Kind.NORMALISE_HEADS.value:
        _normalise_heads(about, first, end)
    elif about.kind == Kind.PLACE_HEADS.value:
        _place_heads(about, first, end)
    elif about.kind == Kind.CHOOSE.value:
        _choose(about, first, end)
    elif about.kind == Kind.SPREAD.value:
        _spread(about, first, end)
    elif about.kind == Kind.COLLECT.value:
        _collect(about, first, end)
    else:
        _gate(about, first, end)


@inlined  # type: ignore[untyped-decorator]
def _begin_rows(about: Any, work: Any) -> Any:
    """Do what is between products to all rows, or give the number of parts, where they are many."""
    if not is_many(about):
        _do_rows(about, 0, about.num_rows)
        return 0
    work[PATIENCE] = NUM_LOOKS_OF_MANY
    return -(-about.num_rows // _ROWS_OF_PART)


@inlined  # type: ignore[untyped-decorator]
def _do_part(about: Any, number: Any, thread: Any) -> None:
    if about.kind == Kind.PRODUCT.value:
        do_product_part(about, number, thread)
    elif about.kind == Kind.PRODUCTS.value:
        do_products_part(about, number, thread)
    elif about.kind == Kind.ROUNDING.value:
        do_rounding_part(about, number)
    elif about.kind == Kind.TILED_ATTENTION.value:
        do_tile_part(about, number, thread)
    elif about.kind == Kind.ATTENTION.value:
        do_attention_part(about, number, thread)
    else:
        first = number * _ROWS_OF_PART
        _do_rows(about, first, min(first + _ROWS_OF_PART, about.num_rows))


_share = sharing(_do_part)


@inlined  # type: ignore[untyped-decorator]
def _begin(about: Any, work: Any, num_threads: Any) -> Any:
    """Do what an instruction says, or give the number of parts in which it is to be done."""
    kind = about.kind
    if kind == Kind.PRODUCT.value:
        return cut_product(about, work, num_threads)
    if kind == Kind.PRODUCTS.value:
        return cut_products(about, work, num_threads)
    if kind == Kind.ROUNDING.value:
        return cut_rounding(about)
    if kind == Kind.ATTENTION.value:
        return cut_attention(about)
    if kind == Kind.TILED_ATTENTION.value:
        return cut_tiles(about, work)
    if kind == Kind.NORMALISE.value:
        _normalise(about)
    elif kind == Kind.ADD_AND_NORMALISE.value:
        _add_and_normalise(about)
    elif kind == Kind.GROUP.value:
        _group(about)
    else:
        return _begin_rows(about, work)
    return 0


_RECORDS: Final = numba.from_dtype(INSTRUCTION)[::1]
_STATE: Final = types.int64[::1]


@compiled((_STATE, _RECORDS, types.int64, _RECORDS, types.int64), nogil=True, fastmath=False)
def run(
    work: Numbers, current: Instructions, thread: int, program: Instructions, num_threads: int
) -> None:
    """Do what ``program`` says, or help with it.

    Args:
        work: the state of what is shared; the same for all threads.
        current: one instruction, which is written over; the same for all threads. It tells each
            instruction's ``num_rows``, ``start``, ``room`` and ``room_size``.
        thread: 0 leads; others help until there has been nothing to do for a while.
        program: for who leads; to the others, one instruction that does not matter.
        num_threads: for so many is the work cut.
    """
    about = current[0]
    num_rows, start, room, room_size = about.num_rows, about.start, about.room, about.room_size
    for number in range(program.shape[0]):
        num_parts = 0
        if thread == 0:
            current[0] = program[number]
            about.num_rows, about.start = num_rows * about.times, start
            about.room, about.room_size = room, room_size
            num_parts = _begin(about, work, num_threads)
        if thread or num_parts:
            _share(work, current, num_parts, thread)
        if thread == 0 and about.kind == Kind.ATTENTION.value:
            put_together(about)
