import numpy as np
import pytest
from numpy.typing import NDArray

from chatbot.retrieval.mapping import (
    MAX_POINTS,
    MappedPassage,
    choose_points,
    find_keywords,
    make_map,
)
from chatbot.terminal_text import is_safe

SUBJECTS = ("bread flour oven", "engine steam piston", "river delta lake")


def subjects(num: int) -> tuple[NDArray[np.float32], list[MappedPassage]]:
    """Three bundles of vectors, and passages with words to match."""
    generator = np.random.default_rng(0)
    middles = generator.standard_normal((3, 64))
    rows = middles[np.arange(num) % 3] + 0.4 * generator.standard_normal((num, 64))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    passages = [
        MappedPassage(file=f"{i}.md", start=i, text=f"What is the {SUBJECTS[i % 3]} of number {i}?")
        for i in range(num)
    ]
    return vectors, passages


def test_subjects_become_clusters_with_their_words() -> None:
    vectors, passages = subjects(150)
    found = make_map(vectors, passages)
    assert [(point.file, point.start) for point in found.points] == [
        (f"{i}.md", i) for i in range(150)
    ]
    assert all(0 <= point.x <= 1 and 0 <= point.y <= 1 for point in found.points)
    assert {len({found.points[i].cluster for i in range(k, 150, 3)}) for k in range(3)} == {1}
    words = {frozenset(cluster.keywords[:3]) for cluster in found.clusters}
    assert words == {frozenset(subject.split()) for subject in SUBJECTS}
    assert [cluster.num_passages for cluster in found.clusters] == [50, 50, 50]
    # Those of one subject lie nearer to each other than the subjects do.
    places = np.array([(point.x, point.y) for point in found.points])
    middles = [places[k::3].mean(axis=0) for k in range(3)]
    spread = max(np.linalg.norm(places[k::3] - middles[k], axis=1).mean() for k in range(3))
    assert spread < min(
        np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (0, 2), (1, 2))
    )


def test_the_nearest_on_the_map_mean_the_like() -> None:
    """Also where nothing parts the subjects: each is like those before and after it."""
    angles = np.arange(60) * (2 * np.pi / 60)
    ring = np.stack([f(k * angles) for k in (1, 2, 3) for f in (np.cos, np.sin)], axis=1)
    vectors = (ring / np.sqrt(3)).astype(np.float32)
    passages = [MappedPassage(file="a.md", start=i, text="x") for i in range(60)]
    places = np.array([(point.x, point.y) for point in make_map(vectors, passages).points])
    distances = np.linalg.norm(places[:, None] - places, axis=2) + np.eye(60) * 9
    apart = np.abs(distances.argmin(axis=1) - np.arange(60))
    assert np.mean(np.minimum(apart, 60 - apart) <= 2) > 0.9


def test_the_same_passages_give_the_same_map() -> None:
    vectors, passages = subjects(520)  # more than are laid out in full
    assert make_map(vectors, passages) == make_map(vectors, passages)


@pytest.mark.parametrize("num", [0, 1, 2, 3, 11, 12, 30])
def test_small_folders_have_a_map_too(num: int) -> None:
    vectors, passages = subjects(num)
    found = make_map(vectors, passages)
    assert len(found.points) == num
    assert sum(cluster.num_passages for cluster in found.clusters) == num


def test_the_same_passage_many_times() -> None:
    vectors, passages = subjects(1)
    found = make_map(np.repeat(vectors, 40, axis=0), passages * 40)
    assert len(found.clusters) == 1
    assert all(np.isfinite([point.x, point.y]).all() for point in found.points)


def test_keywords_are_by_class_based_tf_idf() -> None:
    # Words per cluster: 3 and 3, so A = 3. common: 1/3 ln(1 + 3/2); deep: 2/3 ln(1 + 3/2).
    words = find_keywords(["common deep deep", "common wide rest"], np.array([0, 1]))
    assert words[0] == ("deep", "common")
    # 1/3 ln(1 + 3/1) beats 1/3 ln(1 + 3/2).
    assert words[1] == ("rest", "wide", "common")
    assert find_keywords(["123 the", "!"], np.array([0, 1])) == [(), ()]


def test_keywords_are_safe_to_show() -> None:
    (words,) = find_keywords(["evil\x1b[31m\u202e bidi\u200b" * 3], np.array([0]))
    assert all(is_safe(word) for word in words)


def test_big_folders_are_sampled_alike_each_time() -> None:
    assert choose_points(5).tolist() == [0, 1, 2, 3, 4]
    chosen = choose_points(10 * MAX_POINTS)
    assert len(np.unique(chosen)) == MAX_POINTS
    assert (np.diff(chosen) > 0).all()
    assert (chosen == choose_points(10 * MAX_POINTS)).all()
