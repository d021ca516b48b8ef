"""From a query to the passages that fit best, out of one folder or several.

Words and meaning are fused; see ``fuse``. Says what it needs of an index, and knows nothing of
how that is kept.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chatbot.retrieval.values import Hit, Passage


class SearchedFolder(Protocol):
    """What ranking needs of one folder's index. Ids are the folder's own."""

    @property
    def num_passages(self) -> int:
        """How many can be found by words."""
        ...

    def count_passages_with(self, terms: Sequence[str]) -> dict[str, int]:
        """See ``LexicalIndex``."""
        ...

    def search_words(
        self, query: str, num: int, weights: Mapping[str, float]
    ) -> list[tuple[int, float]]:
        """See ``LexicalIndex.search``."""
        ...

    def score_words(
        self, query: str, ids: Sequence[int], weights: Mapping[str, float]
    ) -> dict[int, float]:
        """See ``LexicalIndex.score``."""
        ...

    def search_vectors(
        self, query: NDArray[np.float32], num: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See ``VectorIndex.search``."""
        ...

    def read_vectors(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """The full vectors, float32 [dimensions]; without those that are not embedded yet."""
        ...

    def read_passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """The passages, text included; without those that have gone meanwhile."""
        ...


class Reranker(Protocol):
    """Something that reads query and passage together."""

    def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """How well each text answers the query, 0 to 1."""
        ...


def search(
    query: str,
    vector: NDArray[np.float32] | None,
    folders: Sequence[SearchedFolder],
    *,
    num_hits: int,
    reranker: Reranker | None = None,
) -> list[Hit]:
    """The best passages of all folders together, best first.

    Near-duplicates are among them, each with ``duplicate_of``; they do not count for ``num_hits``.

    Args:
        query: any text.
        vector: its embedding, float32 [dimensions]; None searches by words alone.
        folders: their indexes.
        num_hits: how many.
        reranker: sorts the best of them anew.
    """
    raise NotImplementedError
