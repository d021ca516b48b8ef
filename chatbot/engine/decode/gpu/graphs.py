"""Captures a step on a GPU, so that one launch repeats all of its kernels.

The only module that speaks of CUDA graphs. Knows nothing of models.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Step = Callable[[], Tensor]
Capture = Callable[[Step], Step]
"""Turns a step into another one that does the same to the same memory, faster."""


class CudaCapture:
    """Captures steps that never run at the same time and so share the memory in between."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._anchor: torch.cuda.CUDAGraph | None = None
        """Keeps the pool alive while no step's graph does: what a library had there cannot be
        given back, and torch (seen in 2.11) refuses to begin a pool anew that still has some."""

    def __call__(self, step: Step) -> Step:
        """Capture ``step``, which runs once for that.

        Raises:
            Exception: whatever torch raises where a kernel cannot be captured.
        """
        stream = torch.cuda.current_stream()
        # What libraries set up at a first call on a stream must not be captured.
        side = _side_stream(stream.device)
        side.wait_stream(stream)
        try:
            with torch.cuda.stream(side), _waiting_refused():
                step()
        finally:
            stream.wait_stream(side)
        if self._anchor is None:
            self._anchor, _ = self._captured(lambda: torch.zeros(1, device=stream.device))
        graph, output = self._captured(step)

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay

    def _captured(self, step: Step) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """The graph, and what it writes to."""
        stream = torch.cuda.current_stream()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                return graph, step()
        finally:
            # A capture that fails leaves its own stream in use.
            torch.cuda.set_stream(stream)


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all captures: a library's room on each stream that it was called on is kept."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _waiting_refused() -> Iterator[None]:
    """Have torch raise where it would wait for the device.

    In a capture that is an error as well, but one after which torch's own books of memory are not
    in order.
    """
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
