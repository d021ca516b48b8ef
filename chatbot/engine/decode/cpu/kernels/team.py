"""Threads that do what instructions say, together."""

import threading
from typing import Final

import numpy as np

from chatbot.engine.decode.cpu.kernels.block_products import MAX_FEW
from chatbot.engine.decode.cpu.kernels.instructions import INSTRUCTION, Instructions
from chatbot.engine.decode.cpu.kernels.products import room_for
from chatbot.engine.decode.cpu.kernels.program import Numbers, run
from chatbot.engine.decode.cpu.kernels.shared_work import WORK_SIZE

_CACHE_LINE: Final = 64
"""Bytes."""

_NOTHING: Final = np.zeros(1, INSTRUCTION)


class _Helper(threading.Thread):
    """A thread that is there for a while after it was called, and then sleeps."""

    def __init__(self, work: Numbers, current: Instructions, number: int) -> None:
        super().__init__(daemon=True, name="decode")
        self.is_awake = False
        self._work, self._current, self._number = work, current, number
        self._is_called = threading.Event()
        self.start()

    def call(self) -> None:
        """Have it look for work."""
        self._is_called.set()

    def run(self) -> None:
        while True:
            self._is_called.wait()
            self._is_called.clear()
            self.is_awake = True
            run(self._work, self._current, self._number, _NOTHING, 0)
            self.is_awake = False


class Team:
    """Whoever asks for something is the first of its threads."""

    def __init__(self) -> None:
        self._work = np.zeros(WORK_SIZE, np.int64)
        self._current = np.zeros(1, INSTRUCTION)
        self._helpers: list[_Helper] = []
        self._room = np.empty((0, 0), np.float32)
        """Of each thread, to work in. No thread may fail in the midst of its work, so that it is
        there before."""
        self._one_by_one = threading.Lock()

    def multiply(
        self, product: Instructions, rows: int, num_rows: int, outputs: int, num_threads: int
    ) -> None:
        """Multiply rows of activations by a weight.

        Args:
            product: of ``product_of``.
            rows: the address of the rows, fp32 [num_rows, num_inputs].
            num_rows: how many.
            outputs: where to write, fp32 [num_rows, num_outputs].
            num_threads: that take part, with the one that asks.
        """
        if num_rows == 0 or product["num_outputs"][0] == 0:
            return
        program = product.copy()
        program["source"], program["target"] = rows, outputs
        self.run(program, num_rows, 0, room_for(product, num_rows), num_threads)

    def run(
        self, program: Instructions, num_rows: int, start: int, room_size: int, num_threads: int
    ) -> None:
        """Do what a program says.

        Args:
            program: its instructions.
            num_rows: rows that each of them is about.
            start: tokens that were read before.
            room_size: numbers in fp32 that a thread needs to work in.
            num_threads: that take part, with the one that asks.
        """
        with self._one_by_one:
            self._have_helpers(num_threads - 1)
            self._have_room(room_size)
            current = self._current
            current["num_rows"], current["start"] = num_rows, start
            # At the next multiple of a cache line, or half of all vectors would lie in two.
            current["room"] = self._room.ctypes.data + -self._room.ctypes.data % _CACHE_LINE
            current["room_size"] = self._room.strides[0]
            for helper in self._helpers[: num_threads - 1]:
                # One that is about to sleep may still seem to be awake.
                if num_rows > MAX_FEW or not helper.is_awake:
                    helper.call()
            run(self._work, current, 0, program, num_threads)

    def _have_helpers(self, number: int) -> None:
        while len(self._helpers) < number:
            try:
                self._helpers.append(_Helper(self._work, self._current, len(self._helpers) + 1))
            except RuntimeError:  # there are no more threads to be had: fewer do as well
                return

    def _have_room(self, size: int) -> None:
        num_threads, line = len(self._helpers) + 1, _CACHE_LINE // 4
        wanted = (-(-size // line) + 1) * line  # so that each thread's begins with a cache line
        if self._room.shape[0] < num_threads or self._room.shape[1] < wanted:
            self._room = np.empty((num_threads, wanted), np.float32)


TEAM: Final = Team()
"""All that is asked for is done by one, one after the other: each takes all threads."""
