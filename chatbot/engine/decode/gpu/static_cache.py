"""Keys and values at fixed places in memory, of which a step looks at a leading part.

A captured graph repeats its kernels on the very same memory, so nothing may move while graphs
are in use. Knows tensors and transformers' caches; nothing of tokens and graphs.
"""

from typing import Any, Final

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

FIRST_BUCKET: Final = 256
"""Shortest part that a step looks at, in tokens."""


def bucket(num_tokens: int) -> int:
    """How much of the cache a step looks at that ends after ``num_tokens``.

    256, 384, 512, 768, 1024 and so on: each is a graph of its own, and attention to what is
    masked costs reading it.
    """
    length = FIRST_BUCKET
    while length < num_tokens:
        if length + length // 2 >= num_tokens:
            return length + length // 2
        length *= 2
    return length


class Place:
    """Where the tokens of the step that runs belong, for all layers."""

    def __init__(self, device: torch.device) -> None:
        self.positions = torch.zeros(1, dtype=torch.int64, device=device)
        """Of the new tokens, int64 [n]."""
        self.length = 0
        """How much of the cache is looked at, from its beginning."""
        self.capacity = 0
        """Tokens that there is room for."""


class PlacedLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's part of the cache, shaped [rows, kv heads, capacity, head size]."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self.keys: Any = None
        self.values: Any = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Reserve memory for keys and values of this kind."""
        self.keys = self._room(key_states)
        self.values = self._room(value_states)
        self.is_initialized = True

    def _room(self, states: Tensor) -> Tensor:
        shape = (*states.shape[:2], self._place.capacity, states.shape[3])
        # Zeros: what is masked is multiplied by nothing, and must not be NaN.
        return torch.zeros(shape, dtype=states.dtype, device=states.device)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """Put the new tokens in their places; returns the part that is looked at."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys.index_copy_(2, self._place.positions, key_states)
        self.values.index_copy_(2, self._place.positions, value_states)
        return self.keys[:, :, : self._place.length], self.values[:, :, : self._place.length]

    def grow(self, num_kept: int) -> None:
        """Move to a larger room; the first ``num_kept`` tokens come along."""
        if not self.is_initialized:
            return
        for name in ("keys", "values"):
            before = getattr(self, name)
            after = self._room(before)
            after[:, :, :num_kept] = before[:, :, :num_kept]
            setattr(self, name, after)

    def repeat(self, other: "PlacedLayer", num_rows: int, num_tokens: int) -> None:
        """Have the first ``num_tokens`` of ``other``, of one row, in each of ``num_rows``."""
        for name in ("keys", "values"):
            source = getattr(other, name)[:, :, :num_tokens]
            room = self._room(source.expand(num_rows, -1, -1, -1))
            room[:, :, :num_tokens] = source
            setattr(self, name, room)
        self.is_initialized = True

    def copy_row(self, source: int, target: int, num_tokens: int) -> None:
        """Have the first ``num_tokens`` of row ``source`` in row ``target`` as well."""
        for kept in (self.keys, self.values):
            kept[target, :, :num_tokens].copy_(kept[source, :, :num_tokens])

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """See transformers; ours is never asked, since masks are given."""
        return self._place.length, 0

    def get_seq_length(self) -> int:
        """See transformers; ours is never asked, since positions are given."""
        return 0

    def get_max_length(self) -> int:
        """Tokens that there is room for."""
        return self._place.capacity


class StaticCache(Cache):  # type: ignore[misc]
    """All layers."""

    def __init__(self, num_layers: int, device: torch.device) -> None:
        self.place = Place(device)
        self._placed = [PlacedLayer(self.place) for _ in range(num_layers)]
        super().__init__(layers=list(self._placed))

    @property
    def num_bytes(self) -> int:
        """Memory in use, room included."""
        layers = [layer for layer in self._placed if layer.is_initialized]
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)

    def reserve(self, num_tokens: int, num_kept: int, least: int = 4 * FIRST_BUCKET) -> bool:
        """Have room for ``num_tokens``; returns whether anything moved.

        Args:
            num_tokens: that will be in use.
            num_kept: the first ones, which come along.
            least: room that is worth reserving where any is.
        """
        if num_tokens <= self.place.capacity:
            return False
        self.place.capacity = bucket(max(num_tokens, least))
        for layer in self._placed:
            layer.grow(num_kept)
        return True

    def repeated(self, num_rows: int, num_tokens: int) -> "StaticCache":
        """One of its own with ``num_rows`` rows that begin with the first ``num_tokens``."""
        twin = StaticCache(len(self._placed), self.place.positions.device)
        twin.place.capacity = bucket(num_tokens + 1)
        for layer, own in zip(twin._placed, self._placed, strict=True):
            layer.repeat(own, num_rows, num_tokens)
        return twin

    def copy_row(self, source: int, target: int, num_tokens: int) -> None:
        """See ``PlacedLayer.copy_row``."""
        for layer in self._placed:
            layer.copy_row(source, target, num_tokens)
