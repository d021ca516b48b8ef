"""Keys and values of what was read, in memory that is reserved ahead.

Knows sizes and tensors; nothing of models and tokens.
"""

from collections.abc import Sequence
from typing import Final, Self

import torch
from torch import Tensor

BUCKET: Final = 256
"""Tokens that room is made for at a time, at least; a half more than there were, if that is
more, so that a long text is not copied again and again."""


class KeyValues:
    """One tensor for each layer, in which a token has its fixed place."""

    def __init__(
        self,
        num_layers: int,
        num_kv_heads: int,
        head_size: int,
        dtype: torch.dtype,
        num_rows: int = 1,
    ) -> None:
        self.num_rows = num_rows
        """Sequences of one length, each with keys and values of its own."""
        self._shape = (num_kv_heads, head_size)
        self._dtype = dtype
        self._num_layers = num_layers
        self.capacity = 0
        """Tokens that there is room for."""
        self.keys: list[Tensor] = []
        """For each layer [rows, kv heads, capacity, head size]."""
        self.values: list[Tensor] = []
        """As ``keys``."""
        self.clear()

    @property
    def num_bytes(self) -> int:
        """Memory in use, room included."""
        return 2 * sum(keys.nbytes for keys in self.keys)

    def clear(self) -> None:
        """Give the memory back."""
        self.capacity = 0
        empty = self._empty(0)
        self.keys = [empty[0]] * self._num_layers
        self.values = [empty[1]] * self._num_layers

    def reserve(self, num_tokens: int, num_kept: int) -> None:
        """Have room for ``num_tokens``, of which the first ``num_kept`` are there already.

        Raises:
            RuntimeError: there is no memory; all is forgotten then, or layers would differ.
        """
        if num_tokens <= self.capacity:
            return
        wanted = max(num_tokens, self.capacity + self.capacity // 2)
        capacity = -(-wanted // BUCKET) * BUCKET
        try:
            for index in range(self._num_layers):
                both = self._empty(capacity)
                both[0, :, :, :num_kept] = self.keys[index][:, :, :num_kept]
                both[1, :, :, :num_kept] = self.values[index][:, :, :num_kept]
                self.keys[index], self.values[index] = both[0], both[1]
        except RuntimeError:
            self.clear()
            raise
        self.capacity = capacity

    def branch(self, num_rows: int, num_tokens: int) -> Self:
        """A copy with so many rows, each beginning with the first ``num_tokens`` of the only row
        here.
        """
        num_kv_heads, head_size = self._shape
        other = type(self)(self._num_layers, num_kv_heads, head_size, self._dtype, num_rows)
        other.capacity = -(-(num_tokens + 1) // BUCKET) * BUCKET
        for index in range(self._num_layers):
            both = other._empty(other.capacity)
            both[0, :, :, :num_tokens] = self.keys[index][:, :, :num_tokens]
            both[1, :, :, :num_tokens] = self.values[index][:, :, :num_tokens]
            other.keys[index], other.values[index] = both[0], both[1]
        return other

    def select(self, rows: Sequence[int], num_shared: int, num_tokens: int) -> None:
        """Keep these rows, in this order.

        Args:
            rows: indices, not more than there are rows.
            num_shared: tokens that all rows begin with, which stay where they are.
            num_tokens: tokens of each row.
        """
        if list(rows) != list(range(len(rows))):
            chosen = torch.tensor(rows)
            for tensor in (*self.keys, *self.values):
                own = tensor.narrow(2, num_shared, num_tokens - num_shared)
                own[: len(rows)].copy_(own.index_select(0, chosen))
        if len(rows) < self.num_rows:
            self.num_rows = len(rows)
            self.keys = [keys[: len(rows)] for keys in self.keys]
            self.values = [values[: len(rows)] for values in self.values]

    def _empty(self, capacity: int) -> Tensor:
        """Keys and values of a layer, without content."""
        num_kv_heads, head_size = self._shape
        shape = (2, self.num_rows, num_kv_heads, capacity, head_size)
        return torch.empty(shape, dtype=self._dtype)
