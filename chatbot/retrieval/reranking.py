"""A cross-encoder that reads query and passage together, by name.

Slower than ranking by far, and not always better: only for users who name one.
"""

from collections.abc import Sequence


class CrossEncoderReranker:
    """A cross-encoder of sentence-transformers, loaded.

    Raises:
        KnowledgeError: on making one: it cannot be found, fetched or loaded.
    """

    def __init__(self, reference: str, device: str | None = None) -> None:
        raise NotImplementedError

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the query, 0 to 1."""
        raise NotImplementedError
