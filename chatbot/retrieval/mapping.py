"""A folder's passages on a plane, near where they mean the like, in named clusters."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from chatbot.retrieval.values import FolderMap

MAX_POINTS = 2000
"""Passages on a map; of a bigger folder, this many are drawn at random, always the same."""


class MappedPassage(msgspec.Struct, frozen=True, kw_only=True):
    """What a map needs of a passage beside its vector."""

    file: str
    start: int
    text: str


def choose_points(num_passages: int) -> NDArray[np.int64]:
    """Which passages of that many come onto the map: int64 [at most MAX_POINTS], ascending."""
    raise NotImplementedError


def make_map(vectors: NDArray[np.float32], passages: Sequence[MappedPassage]) -> FolderMap:
    """The map of these passages.

    Args:
        vectors: float32 [n, dimensions], of length 1; at most ``MAX_POINTS``.
        passages: the n they belong to.
    """
    raise NotImplementedError
