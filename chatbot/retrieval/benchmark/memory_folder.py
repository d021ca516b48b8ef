"""A folder's index that lives as long as one measurement; only its words are on the disk."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chatbot.retrieval.lexical import LexicalEntry, LexicalIndex
from chatbot.retrieval.values import Passage
from chatbot.retrieval.vectors import VectorIndex


class MemoryFolder:
    """What ``ranking.SearchedFolder`` asks for, over passages with vectors.

    Args:
        folder: an empty one, for the words.
        passages: of all documents; their ids are their places here.
        vectors: float32 [n, dimensions].
        device: for the scan.
    """

    def __init__(
        self,
        folder: Path,
        passages: Sequence[Passage],
        vectors: NDArray[np.float32],
        device: str = "cpu",
    ) -> None:
        self.passages = passages
        self.vectors = vectors
        self.lexical = LexicalIndex(folder, is_writer=True)
        self.lexical.add(
            LexicalEntry(id=number, text=passage.text, context=context_of(passage))
            for number, passage in enumerate(passages)
        )
        self.lexical.commit()
        self.scanned = VectorIndex(vectors.shape[1], device)
        for start in range(0, len(vectors), 8192):
            block = vectors[start : start + 8192]
            self.scanned.add(np.arange(start, start + len(block)), block)

    @property
    def num_passages(self) -> int:
        """See ``SearchedFolder``."""
        return self.lexical.num_passages

    def count_passages_with(self, terms: Sequence[str]) -> dict[str, int]:
        """See ``SearchedFolder``."""
        return self.lexical.count_passages_with(terms)

    def search_words(
        self, query: str, num: int, weights: Mapping[str, float]
    ) -> list[tuple[int, float]]:
        """See ``SearchedFolder``."""
        return self.lexical.search(query, num, weights=weights)

    def score_words(
        self, query: str, ids: Sequence[int], weights: Mapping[str, float]
    ) -> dict[int, float]:
        """See ``SearchedFolder``."""
        return self.lexical.score(query, ids, weights=weights)

    def find_terms_in(self, ids: Sequence[int], terms: Iterable[str]) -> dict[int, set[str]]:
        """See ``SearchedFolder``."""
        return self.lexical.find_terms_in(ids, terms)

    def search_vectors(
        self, query: NDArray[np.float32], num: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See ``SearchedFolder``."""
        return self.scanned.search(query, num)

    def read_vectors(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """See ``SearchedFolder``."""
        return {number: self.vectors[number] for number in ids}

    def read_passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """See ``SearchedFolder``."""
        return {number: self.passages[number] for number in ids}

    def close(self) -> None:
        """Let go of the files."""
        self.lexical.close()


def context_of(passage: Passage) -> str:
    """What lexical search knows of a passage beside its text."""
    return " ".join((passage.file, *passage.headings))
