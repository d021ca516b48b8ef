"""Products of a matrix of eight-bit rows with one vector, as fast as this machine can.

Which of torch's routines is fast, or there at all, depends on the processor and on torch's
version; so each is tried once, on a small matrix, and the fastest that is right is taken.
"""

import functools
import time
from collections.abc import Callable
from typing import Final

import torch

Scan = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""From int8 [n, d], the scale of each row, float32 [n], and float32 [d] to float32 [n]: the
products of the scaled rows with the vector, approximately."""

_BLOCK_ROWS: Final = 32768
_TRIAL_ROWS: Final = 16384
_REGISTER: Final = 64
_NUM_TRIALS: Final = 6
_TOLERANCE: Final = 0.02
"""Greatest error that is put up with, as a share of the greatest product."""


def scan_with_integers(
    matrix: torch.Tensor, scales: torch.Tensor, query: torch.Tensor
) -> torch.Tensor:
    """The query in eight bits, too: the fastest where the processor multiplies such numbers."""
    scale = query.abs().amax().clamp(min=1e-12) / 127
    column = (query / scale).round().to(torch.int8)[:, None]
    product: torch.Tensor = torch._int_mm(matrix, column)
    return torch.mul(product[:, 0], scales).mul_(scale)


def scan_with_bfloat16(
    matrix: torch.Tensor, scales: torch.Tensor, query: torch.Tensor
) -> torch.Tensor:
    """The query as bfloat16: torch's routine for quantised weights, vectorised on most.

    Raises:
        NotImplementedError: the routine would read past the end of rows that are not a whole
            number of registers long.
    """
    if matrix.shape[1] % _REGISTER:
        raise NotImplementedError
    row = query[None].to(torch.bfloat16)
    product: torch.Tensor = torch._weight_int8pack_mm(row, matrix, scales.to(torch.bfloat16))
    return product[0].float()


def scan_in_blocks(matrix: torch.Tensor, scales: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Block by block as floating point numbers: slower on a CPU, works on every device."""
    dtype = torch.float32 if matrix.device.type == "cpu" else torch.float16
    query = query.to(dtype)
    products = [block.to(dtype) @ query for block in torch.split(matrix, _BLOCK_ROWS)]
    return torch.cat(products).float().mul_(scales)


@functools.cache
def choose_scan(device: str, dimensions: int) -> Scan:
    """The fastest that is right on ``device`` (``cpu``, ``cuda``, ``mps``)."""
    if device != "cpu":
        return scan_in_blocks
    generator = torch.Generator().manual_seed(0)
    shape = (_TRIAL_ROWS, dimensions)
    matrix = torch.randint(-127, 128, shape, dtype=torch.int8, generator=generator)
    query = torch.randn(dimensions, generator=generator)
    query /= query.norm()
    scales = torch.rand(_TRIAL_ROWS, generator=generator) / 127
    exact = (matrix.float() @ query) * scales
    trial = matrix, scales, query
    usable = [s for s in (scan_with_integers, scan_with_bfloat16) if _is_right(s, trial, exact)]
    seconds = dict.fromkeys(usable, float("inf"))
    # In turns, and the best of several: other programs are busy, too.
    for _ in range(_NUM_TRIALS):
        for scan in usable:
            start = time.perf_counter()
            scan(*trial)
            seconds[scan] = min(seconds[scan], time.perf_counter() - start)
    return min(usable, key=seconds.__getitem__, default=scan_in_blocks)


def _is_right(
    scan: Scan, trial: tuple[torch.Tensor, torch.Tensor, torch.Tensor], exact: torch.Tensor
) -> bool:
    try:
        product = scan(*trial)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False  # a private routine of torch, which another version or processor may lack
    return bool((product - exact).abs().amax() < _TOLERANCE * exact.abs().amax())
