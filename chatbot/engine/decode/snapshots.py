"""What layers that cannot be cut at the end looked like earlier, to go back to.

A recurrent state holds all tokens at once, and a layer with a window only the last ones, so a cache
with such layers goes back only to places where they were copied. Knows caches of transformers;
nothing of tokens and models.
"""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import (
    CacheLayerMixin,
    DynamicIndexedLayer,
    DynamicLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionCacheLayerMixin,
)

from chatbot.models.memory import MOST_SNAPSHOT_BYTES, MOST_SNAPSHOTS

_CUT: Final = (DynamicLayer, DynamicIndexedLayer)
"""Layers that hold each token by itself, and from which the last can be taken."""

_GROWING: Final = ("keys", "values")
"""Of a layer that holds each token by itself and a state too, what is cut and not copied."""

_State = dict[str, Any]
"""Attributes of one layer."""


class Snapshots:
    """Copies at a few places of one sequence."""

    def __init__(self) -> None:
        """Begin with none."""
        self._states: dict[int, list[_State]] = {}
        """By how many tokens had been read, in rising order."""

    @property
    def num_bytes(self) -> int:
        """Memory of the copies."""
        return num_bytes(self._states)

    @torch.inference_mode()
    def take(self, cache: DynamicCache, length: int) -> None:
        """Copy what ``cache`` cannot cut, behind ``length`` tokens.

        Of more than there is room for, those are dropped that are missed least.
        """
        if length in self._states or length == 0:
            return
        size = num_bytes([_uncut(layer) for layer in cache.layers])
        while self._states and (
            len(self._states) >= MOST_SNAPSHOTS or self.num_bytes + size > MOST_SNAPSHOT_BYTES
        ):
            del self._states[self._missed_least(length)]
        self._states[length] = [_copied(_uncut(layer)) for layer in cache.layers]

    @torch.inference_mode()
    def go_back(self, cache: DynamicCache, length: int) -> int:
        """Have ``cache`` as it was behind ``length`` tokens, or behind the last ones before them
        that there is a copy of; copies of later places are dropped.

        Returns:
            How many tokens it holds now; 0: it is to be thrown away.
        """
        self.forget_behind(length)
        place = max(self._states, default=0)
        for layer, state in zip(cache.layers, self._states.get(place, ()), strict=False):
            vars(layer).update(_copied(state))
            _cut(layer, place)
        return place

    def forget_behind(self, length: int) -> None:
        """Drop the copies of later places."""
        self._states = {place: state for place, state in self._states.items() if place <= length}

    def _missed_least(self, end: int) -> int:
        """The place without which least is read again: so many tokens by whoever goes back to what
        follows it, which is done the more rarely, the farther it lies before ``end``.
        """
        places = [0, *self._states, end]
        return min(
            zip(places, places[1:], places[2:], strict=False),
            key=lambda three: (three[1] - three[0]) * (three[2] - three[1]) / (end - three[1]),
        )[1]


def is_cut(layer: Any) -> bool:
    """Whether ``layer`` holds each token by itself, and nothing else."""
    kinds = (CacheLayerMixin, LinearAttentionCacheLayerMixin)
    return type(layer) in _CUT or not isinstance(layer, kinds)  # others hold nothing


def num_bytes(value: Any) -> int:
    """Memory of the tensors in the attributes of a layer, or in several."""
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list):
        return 0
    return sum(map(num_bytes, value))


def _uncut(layer: Any) -> _State:
    """Of the attributes of ``layer`` those that hold more than one token each."""
    if is_cut(layer):
        return {}
    grown = _GROWING if isinstance(layer, LinearAttentionAndFullAttentionLayer) else ()
    return {name: value for name, value in vars(layer).items() if name not in grown}


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value


def _cut(layer: Any, length: int) -> None:
    """Have ``layer`` hold no more than ``length`` tokens by themselves."""
    holds_more = isinstance(layer, LinearAttentionAndFullAttentionLayer)
    if (type(layer) in _CUT or holds_more) and (excess := layer.get_seq_length() - length) > 0:
        (DynamicLayer if holds_more else type(layer)).crop(layer, -excess)
