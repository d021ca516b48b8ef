"""Results on their way from the device, which is given more work before they are looked at."""

from collections import deque
from typing import Final

import torch
from torch import Tensor

NUM_SLOTS: Final = 2
"""One result is looked at while the next one arrives."""


class Readback:
    """Tensors of one kind, received in the order in which they were sent."""

    def __init__(self, kind: Tensor) -> None:
        """Have room for tensors that are like ``kind``."""
        is_cuda = kind.device.type == "cuda"
        # The copy to memory that is not pinned would wait for all that was launched before.
        self._slots = [
            torch.zeros(kind.shape, dtype=kind.dtype, pin_memory=is_cuda) for _ in range(NUM_SLOTS)
        ]
        self._arrivals: list[torch.cuda.Event] = []
        if is_cuda:
            self._arrivals = [torch.cuda.Event() for _ in self._slots]  # type: ignore[no-untyped-call]
        self._waiting: deque[int] = deque()
        self._next = 0

    def send(self, values: Tensor) -> None:
        """Have ``values`` copied as they are when all that was launched before has run.

        Not more than ``NUM_SLOTS`` may be under way.
        """
        self._slots[self._next].copy_(values, non_blocking=True)
        if self._arrivals:
            self._arrivals[self._next].record()
        self._waiting.append(self._next)
        self._next = (self._next + 1) % NUM_SLOTS

    def receive(self) -> list[float]:
        """The oldest that was not received or dropped; waits for it, but for nothing later."""
        slot = self._waiting.popleft()
        if self._arrivals:
            self._arrivals[slot].synchronize()
        values: list[float] = self._slots[slot].tolist()
        return values

    def drop(self) -> None:
        """Forget what is under way."""
        self._waiting.clear()
