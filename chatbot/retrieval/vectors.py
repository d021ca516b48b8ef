"""Search by meaning: every vector of a folder, in eight bits, in memory.

The scan goes over all of them, so that nothing is missed; whoever has the full vectors scores
the best again with those. Knows nothing of texts and of the disk. One thread may add while
another searches.
"""

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from chatbot.retrieval.scanning import choose_scan

_MIN_ROWS: Final = 1024
_GROWTH: Final = 8
"""Grows by one part in this many: more would cost memory, less would copy more often."""


class VectorIndex:
    """The vectors of one folder's passages.

    Each is kept as int8 with one scale, so that an entry takes a quarter of float32's memory.

    Args:
        dimensions: of each vector.
        device: ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(self, dimensions: int, device: str = "cpu") -> None:
        self.dimensions = dimensions
        self._scan = choose_scan(device, dimensions)
        self._lock = threading.Lock()
        self._num = 0
        self._ids = np.empty(0, np.int64)
        self._scales = torch.empty(0, dtype=torch.float32, device=device)
        self._matrix = torch.empty((0, dimensions), dtype=torch.int8, device=device)

    def __len__(self) -> int:
        return self._num

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        return self._ids.nbytes + self._scales.nbytes + self._matrix.nbytes

    def add(self, ids: Sequence[int] | NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add vectors of length 1; an id that is there is replaced.

        Args:
            ids: int64 [n], no two the same.
            vectors: float32 [n, dimensions].
        """
        new = np.asarray(ids, np.int64)
        if not new.size:
            return
        full = torch.from_numpy(np.ascontiguousarray(vectors, np.float32))
        scales = full.abs().amax(dim=1).clamp(min=1e-12) / 127
        rows = (full / scales[:, None]).round().to(torch.int8)
        with self._lock:
            self._delete(new)
            first, last = self._num, self._num + len(new)
            self._reserve(last)
            self._ids[first:last] = new
            self._scales[first:last] = scales.to(self._scales.device)
            self._matrix[first:last] = rows.to(self._matrix.device)
            self._num = last

    def delete(self, ids: Sequence[int] | NDArray[np.int64]) -> None:
        """Take vectors out; ids that are not there are passed over."""
        with self._lock:
            self._delete(np.asarray(ids, np.int64))

    def search(
        self, query: NDArray[np.float32], num: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids and approximate cosines of the ``num`` nearest, the nearest first.

        Args:
            query: float32 [dimensions], of length 1.
            num: how many; ask for some more than are wanted after the second scoring.
        """
        with self._lock:
            num = min(num, self._num)
            if num <= 0:
                return np.empty(0, np.int64), np.empty(0, np.float32)
            column = torch.from_numpy(np.ascontiguousarray(query, np.float32))
            scores = self._scan(
                self._matrix[: self._num],
                self._scales[: self._num],
                column.to(self._matrix.device),
            )
            if scores.device.type != "cpu":
                best, rows = scores.topk(num)
                return self._ids[rows.cpu().numpy()], best.cpu().numpy()
            # Faster than topk where the number is small: it sorts only what it keeps.
            found = scores.numpy()
            top = np.argpartition(-found, num - 1)[:num]
            top = top[np.argsort(-found[top], kind="stable")]
            return self._ids[top], found[top]

    def _delete(self, ids: NDArray[np.int64]) -> None:
        """Fill the holes with the last rows."""
        holes = np.flatnonzero(np.isin(self._ids[: self._num], ids))
        if not holes.size:
            return
        left = self._num - len(holes)
        is_hole = np.zeros(self._num, np.bool_)
        is_hole[holes] = True
        movers = torch.from_numpy(left + np.flatnonzero(~is_hole[left:]))
        targets = torch.from_numpy(holes[holes < left])
        self._ids[targets.numpy()] = self._ids[movers.numpy()]
        self._scales[targets] = self._scales[movers]
        self._matrix[targets] = self._matrix[movers]
        self._num = left

    def _reserve(self, num: int) -> None:
        capacity = len(self._ids)
        if num <= capacity:
            return
        capacity = max(num, capacity + capacity // _GROWTH, min(_MIN_ROWS, 2 * num))
        ids = np.empty(capacity, np.int64)
        scales = self._scales.new_empty(capacity)
        matrix = self._matrix.new_empty((capacity, self.dimensions))
        ids[: self._num] = self._ids[: self._num]
        scales[: self._num] = self._scales[: self._num]
        matrix[: self._num] = self._matrix[: self._num]
        self._ids, self._scales, self._matrix = ids, scales, matrix
