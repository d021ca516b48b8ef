"""What a matrix product with a weight is, on any device."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Projection(ABC):
    """A weight, [num_outputs, num_inputs], with its bias."""

    num_outputs: int
    num_inputs: int
    num_bytes: int
    """What it takes in memory."""
    row_cost: float
    """See ``Decoder`` (measured on weights of 135M, two cores)."""
    rounds = False
    """Whether activations of many rows are rounded, and a library multiplies them."""
    work_dtype: torch.dtype | None = None
    """What activations are best kept in; None: the weight's own dtype."""

    @abstractmethod
    def __call__(self, rows: Tensor) -> Tensor:
        """``rows`` [n, num_inputs] times the weight: [n, num_outputs] in the same dtype."""

    def add_to(self, residual: Tensor, rows: Tensor) -> Tensor:
        """``residual`` [n, num_outputs] and the product of ``rows``, rounded as two steps."""
        return residual + self(rows)
