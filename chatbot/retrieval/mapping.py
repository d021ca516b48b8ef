"""A folder's passages on a plane, near where they mean the like, in named clusters.

The same passages always give the same map. Knows nothing of how it is drawn.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from chatbot.function_words import FUNCTION_WORDS
from chatbot.retrieval.values import FolderMap, MapCluster, MapPoint
from chatbot.terminal_text import clean_line

MAX_POINTS: Final = 2000
"""Passages on a map; of a bigger folder, this many are drawn at random, always the same."""

NUM_KEYWORDS: Final = 5
_SEED: Final = 0
_NUM_COMPONENTS: Final = 32
"""Dimensions that the vectors are brought down to first."""
_MIN_FOR_NEIGHBOURS: Final = 12
"""Fewer points are laid out by their two main directions."""
_MAX_ANCHORS: Final = 500
"""Points that are laid out in full."""
_NUM_STEPS: Final = 500
"""Of the layout. In the first 250 scikit-learn exaggerates what draws points together, and they
lie as if by chance; after as many again they hardly move any more."""
_NUM_NEAREST: Final = 3
_FAR_OFF: Final = 0.02
"""Of the points, on each of the four sides, those that may lie far off."""
_MARGIN: Final = 0.05
"""What these take of the map on each side."""
_MAX_CLUSTERS: Final = 12
_MAX_KEYWORD_LENGTH: Final = 24
_WORD: Final = re.compile(r"[^\W\d_](?:[\w'’-]*\w)")
_PER_CLUSTER: Final = 12
"""Passages that a cluster has at the least, on average."""


class MappedPassage(msgspec.Struct, frozen=True, kw_only=True):
    """What a map needs of a passage beside its vector."""

    file: str
    start: int
    text: str


def choose_points(num_passages: int) -> NDArray[np.int64]:
    """Which passages of that many come onto the map: int64 [at most MAX_POINTS], ascending."""
    if num_passages <= MAX_POINTS:
        return np.arange(num_passages)
    generator = np.random.default_rng(_SEED)
    return np.sort(generator.choice(num_passages, MAX_POINTS, replace=False))


def make_map(vectors: NDArray[np.float32], passages: Sequence[MappedPassage]) -> FolderMap:
    """The map of these passages.

    Args:
        vectors: float32 [n, dimensions], of length 1; at most ``MAX_POINTS``.
        passages: the n they belong to.
    """
    if not len(passages):
        return FolderMap(points=(), clusters=())
    from threadpoolctl import threadpool_limits

    # One thread: several wait for each other longer than they work, where others are busy, and
    # sums in another order would give another map.
    with threadpool_limits(1):
        reduced = _reduce(vectors)
        plane = _lay_out(reduced)
        labels = _cluster(reduced)
    keywords = find_keywords([passage.text for passage in passages], labels)
    points = tuple(
        MapPoint(float(x), float(y), int(label), passage.file, passage.start)
        for (x, y), label, passage in zip(plane, labels, passages, strict=True)
    )
    clusters: list[MapCluster] = []
    for label, words in enumerate(keywords):
        own = plane[labels == label]
        # The median lies where the passages are, even when some have strayed.
        x, y = np.median(own, axis=0)
        clusters.append(MapCluster(words, len(own), float(x), float(y)))
    return FolderMap(points=points, clusters=tuple(clusters))


def find_keywords(texts: Sequence[str], labels: NDArray[np.int64]) -> list[tuple[str, ...]]:
    """For each cluster, the words that tell it from the others (class-based TF-IDF).

    A word counts by its share of the cluster's words, times ln(1 + A / f): A is the number of
    words of a cluster on average, f how often the word occurs in all of them.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    num_clusters = int(labels.max()) + 1
    joined = [
        " ".join(text for text, own in zip(texts, labels, strict=True) if own == label)
        for label in range(num_clusters)
    ]
    vectorizer = CountVectorizer(tokenizer=_words, token_pattern=None, lowercase=False)
    try:
        counts = vectorizer.fit_transform(joined).toarray().astype(np.float64)
    except ValueError:  # not one word in any of them
        return [()] * num_clusters
    words = vectorizer.get_feature_names_out()
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    scores = shares * np.log(1 + totals.mean() / counts.sum(axis=0))
    keywords: list[tuple[str, ...]] = []
    for row in scores:
        best = np.argsort(-row, kind="stable")[:NUM_KEYWORDS]
        keywords.append(tuple(clean_line(str(words[i])) for i in best if row[i] > 0))
    return keywords


def _words(text: str) -> list[str]:
    words = (found.group().lower() for found in _WORD.finditer(text))
    return [w for w in words if len(w) <= _MAX_KEYWORD_LENGTH and w not in FUNCTION_WORDS]


def _reduce(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The main directions, float32 [n, at most _NUM_COMPONENTS]."""
    from sklearn.decomposition import PCA

    if len(vectors) < 2:
        return np.zeros((len(vectors), 1), np.float32)
    num = min(_NUM_COMPONENTS, *vectors.shape)
    pca = PCA(num, svd_solver="full" if len(vectors) < 500 else "randomized", random_state=_SEED)
    reduced: NDArray[np.float32] = np.nan_to_num(pca.fit_transform(vectors)).astype(np.float32)
    return reduced


def _lay_out(reduced: NDArray[np.float32]) -> NDArray[np.float32]:
    """A place on the plane for each, 0 to 1 both ways. float32 [n, 2]."""
    if len(reduced) < _MIN_FOR_NEIGHBOURS:
        plane = np.zeros((len(reduced), 2), np.float32)
        plane[:, : min(2, reduced.shape[1])] = reduced[:, :2]
    elif len(reduced) <= _MAX_ANCHORS:
        plane = _embed_neighbours(reduced)
    else:
        plane = _place_by_anchors(reduced)
    return np.stack([_spread(axis) for axis in plane.T], axis=1).astype(np.float32)


def _spread(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """From 0 to 1, by their places along a line: few that lie far off take a margin alone, or all
    others would be one heap. float64 [n].
    """
    ends = np.quantile(values, (0, _FAR_OFF, 1 - _FAR_OFF, 1))
    if ends[0] == ends[-1]:
        return np.full(len(values), 0.5)
    places = np.array((0, _MARGIN, 1 - _MARGIN, 1))
    is_apart = np.concatenate(([True], np.diff(ends) > 0))
    spread: NDArray[np.float64] = np.interp(values, ends[is_apart], places[is_apart])
    return spread


def _embed_neighbours(reduced: NDArray[np.float32]) -> NDArray[np.float32]:
    """t-SNE. float32 [n, 2]."""
    from sklearn.manifold import TSNE

    tsne = TSNE(
        perplexity=min(15.0, (len(reduced) - 1) / 3),
        init="pca",
        max_iter=_NUM_STEPS,
        random_state=_SEED,
    )
    plane: NDArray[np.float32] = tsne.fit_transform(reduced)
    return plane


def _place_by_anchors(reduced: NDArray[np.float32]) -> NDArray[np.float32]:
    """t-SNE of some of the points, and the others between those that they are nearest to.

    All of them would take ten times as long as a user waits for a picture.
    """
    generator = np.random.default_rng(_SEED)
    anchors = np.sort(generator.choice(len(reduced), _MAX_ANCHORS, replace=False))
    plane = np.zeros((len(reduced), 2), np.float32)
    plane[anchors] = _embed_neighbours(reduced[anchors])
    others = np.setdiff1d(np.arange(len(reduced)), anchors)
    distances = np.linalg.norm(reduced[others, None] - reduced[None, anchors], axis=2)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :_NUM_NEAREST]
    near = np.take_along_axis(distances, nearest, axis=1)
    weights = 1 / np.maximum(near, 1e-6) ** 4
    weights /= weights.sum(axis=1, keepdims=True)
    plane[others] = (plane[anchors][nearest] * weights[..., None]).sum(axis=1)
    return plane


def _cluster(reduced: NDArray[np.float32]) -> NDArray[np.int64]:
    """The cluster of each, int64 [n]: as many as tell the passages apart best."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    num = len(np.unique(reduced.round(4), axis=0))
    most = min(_MAX_CLUSTERS, len(reduced) // _PER_CLUSTER, num - 1)
    best = np.zeros(len(reduced), np.int64)
    best_score = 0.0
    for num_clusters in sorted({n for n in (2, 3, 4, 5, 6, 8, 10, most) if 2 <= n <= most}):
        labels = KMeans(num_clusters, n_init=1, random_state=_SEED).fit_predict(reduced)
        score = silhouette_score(
            reduced, labels, sample_size=min(len(reduced), 500), random_state=_SEED
        )
        if score > best_score:
            best, best_score = labels.astype(np.int64), score
    return best
