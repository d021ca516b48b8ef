"""Captures a step on a GPU, so that one launch repeats all of its kernels.

The only module that speaks of CUDA graphs. Knows nothing of models.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[], Tensor]
Capture = Callable[[Step], Step]
"""Turns a step into another one that does the same to the same memory, faster."""


class CudaCapture:
    """Captures steps that never run at the same time and so share the memory in between."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Step) -> Step:
        """Capture ``step``, which must give the same when it is run twice.

        Raises:
            Exception: whatever torch raises where a kernel cannot be captured.
        """
        # What libraries set up at a first call on a stream must not be captured.
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            output = step()

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay
