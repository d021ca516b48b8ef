"""Search by words: a tantivy index on the disk, ranked by BM25.

One process writes, any number may read at the same time. Knows nothing of documents and of
embeddings.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

LEXICAL_VERSION: Final = 1
"""Goes up whenever the same passages would be indexed otherwise: the index is then made anew."""


class LexicalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A passage as the index takes it."""

    id: int
    """Not negative."""
    text: str
    context: str = ""
    """What stands above it: the document's name and title, and the headings."""


class LexicalIndex:
    """The words of one folder's passages.

    Args:
        folder: where it is, or is to be made.
        is_writer: whether this one may change it; there can be one such at a time.

    Raises:
        KnowledgeError: the index is damaged, or another has it open for writing.
    """

    def __init__(self, folder: Path, *, is_writer: bool = False) -> None:
        raise NotImplementedError

    def add(self, entries: Iterable[LexicalEntry]) -> None:
        """Add passages; they are found after ``commit``."""
        raise NotImplementedError

    def delete(self, ids: Iterable[int]) -> None:
        """Take passages out, from ``commit`` on."""
        raise NotImplementedError

    def clear(self) -> None:
        """Take all passages out, from ``commit`` on."""
        raise NotImplementedError

    def commit(self) -> None:
        """Write what was added and deleted to the disk, and let searches see it."""
        raise NotImplementedError

    def reload(self) -> None:
        """Let searches see what another process has committed."""
        raise NotImplementedError

    def search(
        self, query: str, num: int, *, weights: Mapping[str, float] | None = None
    ) -> list[tuple[int, float]]:
        """Ids and BM25 scores of the passages that fit best, the best first.

        Args:
            query: any text at all.
            num: how many at most.
            weights: what to multiply each term's part of the score with; 1 where it is missing.
        """
        raise NotImplementedError

    def score(
        self, query: str, ids: Sequence[int], *, weights: Mapping[str, float] | None = None
    ) -> dict[int, float]:
        """BM25 scores of just these passages; those without a word of the query are left out."""
        raise NotImplementedError

    @property
    def num_passages(self) -> int:
        """How many can be found."""
        raise NotImplementedError

    def count_passages_with(self, terms: Sequence[str]) -> dict[str, int]:
        """In how many passages each term occurs."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the files; what was not committed is lost."""
        raise NotImplementedError
