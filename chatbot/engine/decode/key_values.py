"""Keys and values of what was read, in memory that is reserved ahead.

Knows sizes and tensors; nothing of models and tokens.
"""

from typing import Final

import torch
from torch import Tensor

BUCKET: Final = 256
"""Tokens that room is made for at a time, at least; a half more than there were, if that is
more, so that a long text is not copied again and again."""


class KeyValues:
    """One tensor for each layer, in which a token has its fixed place."""

    def __init__(
        self, num_layers: int, num_kv_heads: int, head_size: int, dtype: torch.dtype
    ) -> None:
        self._shape = (2, 1, num_kv_heads, 0, head_size)
        self._dtype = dtype
        self._num_layers = num_layers
        self.capacity = 0
        """Tokens that there is room for."""
        self.keys: list[Tensor] = []
        """For each layer [1, kv heads, capacity, head size]."""
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
        empty = torch.empty(self._shape, dtype=self._dtype)
        self.keys = [empty[0]] * self._num_layers
        self.values = [empty[1]] * self._num_layers

    def reserve(self, num_tokens: int, num_kept: int) -> None:
        """Have room for ``num_tokens``, of which the first ``num_kept`` are there already."""
        if num_tokens <= self.capacity:
            return
        wanted = max(num_tokens, self.capacity + self.capacity // 2)
        capacity = -(-wanted // BUCKET) * BUCKET
        shape = (*self._shape[:3], capacity, self._shape[4])
        for index in range(self._num_layers):
            both = torch.empty(shape, dtype=self._dtype)
            both[0, :, :, :num_kept] = self.keys[index][:, :, :num_kept]
            both[1, :, :, :num_kept] = self.values[index][:, :, :num_kept]
            self.keys[index], self.values[index] = both[0], both[1]
        self.capacity = capacity
