"""From a query to the passages that fit best, out of one folder or several.

Candidates come by words and by meaning; every one of them gets both scores; ``fusion`` makes one
of them. Says what it needs of an index, and knows nothing of how that is kept.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from chatbot.messages import SourceScores
from chatbot.retrieval.duplicates import find_duplicates
from chatbot.retrieval.fusion import NUM_FEEDBACK, draw_to, few, fill_cosines, fuse, smooth
from chatbot.retrieval.named_files import NAMED_FILE_BONUS, find_named
from chatbot.retrieval.query_weights import function_terms, inverse_frequency, weigh_terms
from chatbot.retrieval.relevance import coverage, relevance
from chatbot.retrieval.table_rows import row_bonus
from chatbot.retrieval.values import Hit, Passage
from chatbot.retrieval.words import find_terms

NUM_BY_WORDS: Final = 100
"""Candidates that each folder gives by words."""
NUM_BY_MEANING: Final = 60
"""And by meaning: fewer, since each of them has to be looked for by words once more."""
NUM_SMOOTHED: Final = 100
"""Best candidates whose scores are smoothed; what is below cannot come up anyway."""
NUM_RERANKED: Final = 30
_MAX_COMPARED: Final = 50
"""Best passages among which duplicates are looked for: each is compared with each."""
_SPARE: Final = 10
"""More passages are read than hits are wanted, since some will be duplicates."""


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
        """See ``LexicalIndex.search``. As all that concerns words, this may be called from another
        thread than what concerns vectors and passages, and at the same time."""
        ...

    def score_words(
        self, query: str, ids: Sequence[int], weights: Mapping[str, float]
    ) -> dict[int, float]:
        """See ``LexicalIndex.score``."""
        ...

    def find_terms_in(self, ids: Sequence[int], terms: Iterable[str]) -> dict[int, set[str]]:
        """See ``LexicalIndex.find_terms_in``."""
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


class _Candidates(msgspec.Struct):
    """What may be a hit, of all folders together: n rows in each array."""

    folders: NDArray[np.int64]
    """int64 [n]: index of the folder."""
    ids: NDArray[np.int64]
    lexical: NDArray[np.float32]
    """BM25; 0 where no word of the query is in it."""
    vectors: NDArray[np.float32]
    """float32 [n, d]; 0 where it is not embedded."""
    cosines: NDArray[np.float32]
    """With the query as it was asked; NaN where it is not embedded."""


def search(
    query: str,
    vector: NDArray[np.float32] | None,
    folders: Sequence[SearchedFolder],
    *,
    num_hits: int,
    reranker: Reranker | None = None,
    baseline: float = 0.0,
) -> list[Hit]:
    """The best passages of all folders together, best first.

    Near-duplicates are among them, each with ``duplicate_of``; they do not count for ``num_hits``.

    Args:
        query: any text.
        vector: its embedding, float32 [dimensions]; None searches by words alone.
        folders: their indexes.
        num_hits: how many.
        reranker: sorts the best of them anew.
        baseline: cosine of what is unrelated; see ``Embedder.baseline``.
    """
    terms = find_terms(query)
    counts = [folder.count_passages_with(list(set(terms))) for folder in folders]
    nums = [folder.num_passages for folder in folders]
    idle = function_terms(query)
    weights = weigh_terms(terms, idle, counts, nums)
    found = _find_candidates(query, vector, folders, weights)
    if not len(found.ids):
        return []
    scores = score_candidates(found.cosines, found.lexical, found.vectors, vector)
    num_read = max(num_hits + _SPARE, NUM_RERANKED)
    order = np.lexsort((found.ids, found.folders, -scores))[:num_read]
    importance = _importance(set(terms) - idle, counts, nums)
    looking = _helper().submit(_find_terms_in, folders, found, order.tolist(), importance)
    passages = _read(folders, found, order)
    named = find_named(query, {row: found.file for row, found in passages.items()})
    scores[list(named)] += NAMED_FILE_BONUS
    for row, passage in passages.items():
        scores[row] += row_bonus(passage.file, passage.text, importance)
    order = np.array([row for row in order if row in passages], np.int64)
    order = order[np.argsort(-scores[order], kind="stable")]
    reranked: dict[int, float] = {}
    if reranker and len(order):
        again = reranker.score(query, [passages[row].text for row in order])
        reranked = dict(zip(order.tolist(), again, strict=True))
        order = order[np.argsort([-reranked[row] for row in order], kind="stable")]
    chosen = _choose(order, passages, found, num_hits)
    present = looking.result()
    return [
        Hit(
            passage=passages[row],
            scores=_explain(
                found,
                row,
                fused=float(scores[row]),
                reranked=reranked.get(row),
                covered=coverage(present.get(row, ()), importance),
                baseline=baseline,
                is_named=row in named,
            ),
            duplicate_of=twin,
        )
        for row, twin in chosen
    ]


def score_candidates(
    cosines: NDArray[np.float32],
    lexical: NDArray[np.float32],
    vectors: NDArray[np.float32],
    query: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """The fused scores, float32 [n].

    Args:
        cosines: with the query, float32 [n]; NaN where there is no vector.
        lexical: BM25, float32 [n].
        vectors: float32 [n, d]; 0 where there is none.
        query: float32 [d]; None where there is none.
    """
    fused = fuse(fill_cosines(cosines, lexical), lexical)
    is_known = ~np.isnan(cosines)
    if query is None or not is_known.any():
        return fused
    num = few(NUM_FEEDBACK, len(fused))
    ranked = np.argsort(-fused, kind="stable")
    best = [row for row in ranked[: 2 * num] if is_known[row]][:num]
    drawn = np.where(is_known, vectors @ draw_to(query, vectors[best]), np.nan)
    # Everything is nearer to a drawn query; BM25 must not count for less because of that.
    drawn *= np.nanmax(cosines) / max(float(np.nanmax(drawn)), 1e-6)
    fused = fuse(fill_cosines(drawn.astype(np.float32), lexical), lexical)
    top = np.argsort(-fused, kind="stable")[:NUM_SMOOTHED]
    result = fused.copy()
    result[top] = smooth(fused[top], vectors[top])
    return result


def _find_candidates(
    query: str,
    vector: NDArray[np.float32] | None,
    folders: Sequence[SearchedFolder],
    weights: Sequence[Mapping[str, float]],
) -> _Candidates:
    dimensions = 0 if vector is None else len(vector)
    parts = [
        _find_in(index, folder, query, vector, own)
        for index, (folder, own) in enumerate(zip(folders, weights, strict=True))
    ]
    return _Candidates(
        folders=np.concatenate([[], *(part.folders for part in parts)]).astype(np.int64),
        ids=np.concatenate([[], *(part.ids for part in parts)]).astype(np.int64),
        lexical=np.concatenate([[], *(part.lexical for part in parts)]).astype(np.float32),
        vectors=np.concatenate(
            [np.empty((0, dimensions), np.float32), *(part.vectors for part in parts)]
        ),
        cosines=np.concatenate([[], *(part.cosines for part in parts)]).astype(np.float32),
    )


def _find_in(
    index: int,
    folder: SearchedFolder,
    query: str,
    vector: NDArray[np.float32] | None,
    weights: Mapping[str, float],
) -> _Candidates:
    """The candidates of one folder."""
    # Both at once: the one waits for memory, the other calculates.
    searching = _helper().submit(folder.search_words, query, NUM_BY_WORDS, weights)
    try:
        near = [] if vector is None else folder.search_vectors(vector, NUM_BY_MEANING)[0].tolist()
    finally:
        words = dict(searching.result())
    others = [identity for identity in near if identity not in words]
    ids = [*words, *others]
    dimensions = 0 if vector is None else len(vector)
    vectors = np.zeros((len(ids), dimensions), np.float32)
    cosines = np.full(len(ids), np.nan, np.float32)
    scoring = _helper().submit(folder.score_words, query, others, weights)
    try:
        if vector is not None and (known := folder.read_vectors(ids)):
            rows = [row for row, identity in enumerate(ids) if identity in known]
            vectors[rows] = np.stack([known[ids[row]] for row in rows])
            cosines[rows] = vectors[rows] @ vector
    finally:
        words.update(scoring.result())
    return _Candidates(
        folders=np.full(len(ids), index, np.int64),
        ids=np.array(ids, np.int64),
        lexical=np.array([words.get(identity, 0.0) for identity in ids], np.float32),
        vectors=vectors,
        cosines=cosines,
    )


@functools.cache
def _helper() -> ThreadPoolExecutor:
    """The thread that searches by words."""
    return ThreadPoolExecutor(1, "words")


def _read(
    folders: Sequence[SearchedFolder], found: _Candidates, rows: NDArray[np.int64]
) -> dict[int, Passage]:
    """The passages of these rows, by row."""
    passages: dict[int, Passage] = {}
    for index, folder in enumerate(folders):
        own = [row for row in rows.tolist() if found.folders[row] == index]
        read = folder.read_passages([int(found.ids[row]) for row in own])
        for row in own:
            if (passage := read.get(int(found.ids[row]))) is not None:
                passages[row] = passage
    return passages


def _choose(
    order: NDArray[np.int64], passages: Mapping[int, Passage], found: _Candidates, num_hits: int
) -> list[tuple[int, int | None]]:
    """The rows that become hits, each with the index of the hit that it says the same as."""
    compared = order[:_MAX_COMPARED]
    twins = find_duplicates([passages[row].text for row in compared], found.vectors[compared])
    twins += [None] * (len(order) - len(compared))
    chosen: list[tuple[int, int | None]] = []
    num_left = num_hits
    for row, twin in zip(order.tolist(), twins, strict=True):
        if twin is None and num_left == 0:
            break
        num_left -= twin is None
        chosen.append((row, twin))
    return chosen


def _find_terms_in(
    folders: Sequence[SearchedFolder], found: _Candidates, rows: Sequence[int], terms: Iterable[str]
) -> dict[int, set[str]]:
    """Which of the terms each row has."""
    present: dict[int, set[str]] = {}
    for index, folder in enumerate(folders):
        own = [row for row in rows if found.folders[row] == index]
        terms_of = folder.find_terms_in([int(found.ids[row]) for row in own], terms)
        present.update((row, terms_of.get(int(found.ids[row]), set())) for row in own)
    return present


def _importance(
    terms: Iterable[str], counts: Sequence[Mapping[str, int]], nums: Sequence[int]
) -> dict[str, float]:
    """How much each term says about what is asked."""
    return {
        term: inverse_frequency(sum(count.get(term, 0) for count in counts), sum(nums))
        for term in terms
    }


def _explain(
    found: _Candidates,
    row: int,
    *,
    fused: float,
    reranked: float | None,
    covered: float,
    baseline: float,
    is_named: bool,
) -> SourceScores:
    lexical, cosine = float(found.lexical[row]), float(found.cosines[row])
    dense = None if np.isnan(cosine) else cosine
    near = None if dense is None else (dense - baseline) / (1 - baseline)
    return SourceScores(
        lexical=lexical if lexical > 0 else None,
        dense=dense,
        fused=fused,
        reranked=reranked,
        relevance=1.0 if is_named else relevance(near, covered),
    )
