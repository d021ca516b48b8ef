"""Search by meaning: every vector of a folder, in eight bits, in memory.

The scan goes over all of them, so that nothing is missed; whoever has the full vectors scores
the best again with those. Knows nothing of texts and of the disk.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class VectorIndex:
    """The vectors of one folder's passages.

    Args:
        dimensions: of each vector.
        device: ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(self, dimensions: int, device: str = "cpu") -> None:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        raise NotImplementedError

    def add(self, ids: Sequence[int] | NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add vectors of length 1; an id that is there is replaced.

        Args:
            ids: int64 [n].
            vectors: float32 [n, dimensions].
        """
        raise NotImplementedError

    def delete(self, ids: Sequence[int] | NDArray[np.int64]) -> None:
        """Take vectors out; ids that are not there are passed over."""
        raise NotImplementedError

    def search(
        self, query: NDArray[np.float32], num: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids and approximate cosines of the ``num`` nearest, the nearest first.

        Args:
            query: float32 [dimensions], of length 1.
            num: how many; ask for some more than are wanted after the second scoring.
        """
        raise NotImplementedError
