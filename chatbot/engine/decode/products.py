"""Products of activations with a weight as it lies in memory, by several threads.

A step of one token reads every weight once and does little else, so that a product is over when
its bytes have come; what a library does before it begins takes longer than that for a small
weight. Activations stay in fp32.
"""

import threading
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from chatbot.engine.compiled import compiled
from chatbot.engine.decode.forms import Form
from chatbot.engine.decode.shared_work import ABOUT, PATIENCE, sharing
from chatbot.engine.decode.vectors import MOST_ROWS, block, dot, widen

MAX_FEW: Final = 16
"""Rows of activations for which a weight is widened on its way into each product; for more, it is
widened once, a part at a time."""

_FEW_PARTS: Final = 4
"""Parts for each thread, with few rows: one that begins late then takes fewer."""

_LEAST_OUTPUTS: Final = 16
_MOST_WIDENED: Final = 48
"""Outputs in a part, with many rows: that much of a weight stays in a core's cache."""

_BLOCK_OUTPUTS: Final = 3
_BLOCK_ROWS: Final = 4
"""Products at a time, with many rows: as many as there are registers of AVX2 for."""

_FORM, _NUM_OUTPUTS, _NUM_INPUTS = ABOUT, ABOUT + 1, ABOUT + 2
_WEIGHT, _WEIGHT_SIZE, _SCALES, _SCALES_SIZE = (ABOUT + n for n in range(3, 7))
_ROWS, _NUM_ROWS, _OUTPUTS, _PART = (ABOUT + n for n in range(7, 11))
_ROOM, _ROOM_SIZE = ABOUT + 11, ABOUT + 12
_LENGTH: Final = ABOUT + 16

_CACHE_LINE: Final = 64
"""Bytes."""

_NUM_LOOKS: Final = 20_000
"""How often a thread looks for work before it sleeps, with few rows: some half a millisecond, which
is longer than the time between two products of a step."""

_NUM_LOOKS_OF_MANY: Final = 1_000
"""The same with many rows: what is between their products is torch's, whose own threads want the
processor."""
Numbers = NDArray[np.int64]


def _few_for(form: Form) -> Any:
    one, two, three = (dot(form, number) for number in range(1, MOST_ROWS + 1))

    @numba.njit  # type: ignore[untyped-decorator]
    def few(work: Any, first: Any, end: Any) -> None:
        num_inputs, num_rows = work[_NUM_INPUTS], work[_NUM_ROWS]
        row_size, line = 4 * num_inputs, 4 * work[_NUM_OUTPUTS]
        for number in range(first, end):
            weight = work[_WEIGHT] + number * work[_WEIGHT_SIZE]
            scales = work[_SCALES] + number * work[_SCALES_SIZE]
            rows, out, left = work[_ROWS], work[_OUTPUTS] + 4 * number, num_rows
            while left >= 3:
                three(weight, scales, rows, row_size, out, line, num_inputs)
                rows, out, left = rows + 3 * row_size, out + 3 * line, left - 3
            if left == 2:
                two(weight, scales, rows, row_size, out, line, num_inputs)
            elif left == 1:
                one(weight, scales, rows, row_size, out, line, num_inputs)

    return few


_few_bf16, _few_fp16, _few_fp32, _few_int8, _few_int4 = map(_few_for, Form)
_widen_bf16, _widen_fp16, _widen_fp32, _widen_int8, _widen_int4 = map(widen, Form)
_block_34, _block_31 = block(_BLOCK_OUTPUTS, _BLOCK_ROWS), block(_BLOCK_OUTPUTS, 1)
_block_14, _block_11 = block(1, _BLOCK_ROWS), block(1, 1)


@numba.njit  # type: ignore[untyped-decorator]
def _widened(work: Any, number: Any, target: Any) -> None:
    form, num_inputs = work[_FORM], work[_NUM_INPUTS]
    weight = work[_WEIGHT] + number * work[_WEIGHT_SIZE]
    scales = work[_SCALES] + number * work[_SCALES_SIZE]
    if form == Form.BF16.value:
        _widen_bf16(weight, scales, target, num_inputs)
    elif form == Form.FP16.value:
        _widen_fp16(weight, scales, target, num_inputs)
    elif form == Form.FP32.value:
        _widen_fp32(weight, scales, target, num_inputs)
    elif form == Form.INT8.value:
        _widen_int8(weight, scales, target, num_inputs)
    else:
        _widen_int4(weight, scales, target, num_inputs)


@numba.njit  # type: ignore[untyped-decorator]
def _many(work: Any, first: Any, end: Any, thread: Any) -> None:
    num_inputs, num_rows = work[_NUM_INPUTS], work[_NUM_ROWS]
    size, line = 4 * num_inputs, 4 * work[_NUM_OUTPUTS]
    wide = work[_ROOM] + thread * work[_ROOM_SIZE]
    for number in range(first, end):
        _widened(work, number, wide + (number - first) * size)
    for row in range(0, num_rows, _BLOCK_ROWS):
        rows = work[_ROWS] + row * size
        out = work[_OUTPUTS] + row * line + 4 * first
        weight, number = wide, end - first
        is_whole = num_rows - row >= _BLOCK_ROWS
        while number >= _BLOCK_OUTPUTS:
            if is_whole:
                _block_34(weight, size, rows, size, out, line, num_inputs)
            else:
                for n in range(num_rows - row):
                    _block_31(weight, size, rows + n * size, size, out + n * line, line, num_inputs)
            weight += _BLOCK_OUTPUTS * size
            out += _BLOCK_OUTPUTS * 4
            number -= _BLOCK_OUTPUTS
        while number > 0:
            if is_whole:
                _block_14(weight, size, rows, size, out, line, num_inputs)
            else:
                for n in range(num_rows - row):
                    _block_11(weight, size, rows + n * size, size, out + n * line, line, num_inputs)
            weight += size
            out += 4
            number -= 1


@numba.njit  # type: ignore[untyped-decorator]
def _do_part(work: Any, number: Any, thread: Any) -> None:
    first = number * work[_PART]
    end = min(first + work[_PART], work[_NUM_OUTPUTS])
    if work[_NUM_ROWS] > MAX_FEW:
        _many(work, first, end, thread)
        return
    form = work[_FORM]
    if form == Form.BF16.value:
        _few_bf16(work, first, end)
    elif form == Form.FP16.value:
        _few_fp16(work, first, end)
    elif form == Form.FP32.value:
        _few_fp32(work, first, end)
    elif form == Form.INT8.value:
        _few_int8(work, first, end)
    else:
        _few_int4(work, first, end)


_lead, _help_out = sharing(_do_part)


@compiled("i8[::1], i8, i8[::1], i8, i8, i8, i8", nogil=True, fastmath=False)
def _work(
    work: Numbers,
    thread: int,
    weight: Numbers,
    rows: int,
    num_rows: int,
    outputs: int,
    num_threads: int,
) -> None:
    """Make a product with so many threads, or, but for the first one, help with it."""
    if thread:
        _help_out(work, thread)
        return
    work[_FORM : _SCALES_SIZE + 1] = weight
    work[_ROWS], work[_NUM_ROWS], work[_OUTPUTS] = rows, num_rows, outputs
    num_outputs = work[_NUM_OUTPUTS]
    if num_rows > MAX_FEW:
        work[PATIENCE] = _NUM_LOOKS_OF_MANY
        part = min(-(-num_outputs // (2 * num_threads)), _MOST_WIDENED)
        part = -(-part // _BLOCK_OUTPUTS) * _BLOCK_OUTPUTS
    else:
        work[PATIENCE] = _NUM_LOOKS
        part = max(-(-num_outputs // (_FEW_PARTS * num_threads)), _LEAST_OUTPUTS)
    work[_PART] = part
    _lead(work, -(-num_outputs // part), thread)


def described(
    form: Form,
    num_outputs: int,
    num_inputs: int,
    weight: tuple[int, int],
    scales: tuple[int, int] = (0, 0),
) -> Numbers:
    """A weight, as ``Team.multiply`` is told of it.

    Args:
        form: how its numbers are kept.
        num_outputs: its rows.
        num_inputs: numbers in each, a multiple of ``forms.FILLED``.
        weight: the address of the first row, and the bytes from one to the next.
        scales: the same of its scales.
    """
    return np.array([form, num_outputs, num_inputs, *weight, *scales], np.int64)


class _Helper(threading.Thread):
    """A thread that is there for a while after it was called, and then sleeps."""

    def __init__(self, work: Numbers, number: int) -> None:
        super().__init__(daemon=True, name="products")
        self.is_awake = False
        self._work, self._number = work, number
        self._is_called = threading.Event()
        self._no_weight = np.zeros(_SCALES_SIZE + 1 - _FORM, np.int64)
        self.start()

    def call(self) -> None:
        """Have it look for work."""
        self._is_called.set()

    def run(self) -> None:
        while True:
            self._is_called.wait()
            self._is_called.clear()
            self.is_awake = True
            _work(self._work, self._number, self._no_weight, 0, 0, 0, 0)
            self.is_awake = False


class Team:
    """Threads that make products together; whoever asks for one is the first of them."""

    def __init__(self) -> None:
        self._work = np.zeros(_LENGTH, np.int64)
        self._helpers: list[_Helper] = []
        self._room = np.empty((0, 0), np.float32)
        """Of each thread, where it widens a part of a weight. No thread may fail in the midst of a
        product, so that it is there before."""
        self._one_by_one = threading.Lock()

    def multiply(
        self, weight: Numbers, rows: int, num_rows: int, outputs: int, num_threads: int
    ) -> None:
        """Multiply rows of activations by a weight.

        Args:
            weight: see ``described``.
            rows: the address of the rows, fp32 [num_rows, num_inputs].
            num_rows: how many.
            outputs: where to write, fp32 [num_rows, num_outputs].
            num_threads: that take part, with the one that asks.
        """
        if weight[_NUM_OUTPUTS - _FORM] == 0 or num_rows == 0:
            return
        with self._one_by_one:
            self._have_helpers(num_threads - 1)
            if num_rows > MAX_FEW:
                self._have_room(int(weight[_NUM_INPUTS - _FORM]))
            for helper in self._helpers[: num_threads - 1]:
                # One that is about to sleep may still seem to be awake.
                if num_rows > MAX_FEW or not helper.is_awake:
                    helper.call()
            _work(self._work, 0, weight, rows, num_rows, outputs, num_threads)

    def _have_helpers(self, number: int) -> None:
        while len(self._helpers) < number:
            try:
                self._helpers.append(_Helper(self._work, len(self._helpers) + 1))
            except RuntimeError:  # there are no more threads to be had: fewer do as well
                return

    def _have_room(self, num_inputs: int) -> None:
        size = (_MOST_WIDENED + _BLOCK_OUTPUTS) * num_inputs
        if len(self._room) <= len(self._helpers) or self._room.shape[1] < size:
            self._room = np.empty((len(self._helpers) + 1, size + _CACHE_LINE // 4), np.float32)
        # At the next multiple of a cache line, or half of all vectors would lie in two of them.
        self._work[_ROOM] = self._room.ctypes.data + -self._room.ctypes.data % _CACHE_LINE
        self._work[_ROOM_SIZE] = self._room.strides[0]


TEAM: Final = Team()
"""All products are made by one, one after the other: each of them takes all threads."""
