"""How far passages support the sentences of an answer. Knows nothing of conversations."""

from collections.abc import Sequence

from chatbot.retrieval.embedding import Embedder


def score_support(
    embedder: Embedder, sentences: Sequence[str], passages: Sequence[str]
) -> tuple[tuple[float, ...], ...]:
    """For each sentence, for each passage: how well it supports it, 0 to 1."""
    raise NotImplementedError
