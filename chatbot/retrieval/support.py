"""How far passages support the sentences of an answer. Knows nothing of conversations.

A sentence is held against each passage as a whole and against each of its sentences; the nearest
counts. Nearness is the cosine of the embeddings, so this says whether a passage speaks of the
same thing, not whether it is true: a changed number comes out as supported.
"""

from collections.abc import Sequence

import numpy as np

from chatbot.retrieval.embedding import Embedder, without_baseline
from chatbot.retrieval.sentences import split_sentences


def score_support(
    embedder: Embedder, sentences: Sequence[str], passages: Sequence[str]
) -> tuple[tuple[float, ...], ...]:
    """For each sentence, for each passage: how well it supports it, 0 to 1.

    ``values.SUPPORT_THRESHOLD`` tells the supported from the others.
    """
    if not sentences or not passages:
        return tuple(() for _ in sentences)
    texts = list(sentences)
    bounds: list[tuple[int, int]] = []
    for passage in passages:
        start = len(texts)
        texts += dict.fromkeys((passage, *split_sentences(passage)))
        bounds.append((start, len(texts)))
    vectors = embedder.encode_passages(texts)
    cosines = without_baseline(vectors[: len(sentences)] @ vectors.T, embedder.baseline)
    nearest = np.stack([cosines[:, start:end].max(axis=1) for start, end in bounds], axis=1)
    return tuple(tuple(float(score) for score in row) for row in np.clip(nearest, 0.0, 1.0))
