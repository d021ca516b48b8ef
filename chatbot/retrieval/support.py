"""How far passages support the sentences of an answer. Knows nothing of conversations.

A sentence is held against each passage as a whole and against each of its sentences; the nearest
counts. Nearness is the cosine of the embeddings, which says whether a passage speaks of the same
thing. Whether it says the same is looked at word by word, as far as rules can: a sentence with a
denial, a number or a name that the passage has not is not supported by it.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from chatbot.retrieval.claims import claims_more
from chatbot.retrieval.embedding import Embedder, without_baseline
from chatbot.retrieval.sentences import split_sentences

_SHARE_OF_OTHERS: Final = 0.4
"""Of its nearness, what a passage gives to a sentence that claims more than it: never enough."""
_HEADING: Final = re.compile(r"^ {0,3}#{1,6}[^\S\n].*$", re.MULTILINE)


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
        texts += dict.fromkeys((passage, *_find_claims(passage)))
        bounds.append((start, len(texts)))
    vectors = embedder.encode_passages(texts)
    cosines = without_baseline(vectors[: len(sentences)] @ vectors.T, embedder.baseline)
    rows: list[tuple[float, ...]] = []
    for number, sentence in enumerate(sentences):
        row: list[float] = []
        for passage, (start, end) in zip(passages, bounds, strict=True):
            near = cosines[number, start:end]
            # The first is the whole passage, which is no sentence to compare with unless alone.
            inner = near[1:] if len(near) > 1 else near
            nearest = texts[end - len(inner) + int(np.argmax(inner))]
            score = float(np.clip(near.max(), 0.0, 1.0))
            row.append(score * (_SHARE_OF_OTHERS if claims_more(sentence, nearest, passage) else 1))
        rows.append(tuple(row))
    return tuple(rows)


def _find_claims(passage: str) -> list[str]:
    """The sentences of a passage, without headings and questions, which claim nothing."""
    sentences = split_sentences(_HEADING.sub("\n", passage))
    return [sentence for sentence in sentences if not sentence.endswith(("?", "？"))]
