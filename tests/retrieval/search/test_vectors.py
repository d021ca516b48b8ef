import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from chatbot.retrieval import scanning
from chatbot.retrieval.benchmark.speed import make_vectors
from chatbot.retrieval.vectors import VectorIndex


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return result


def clustered(num: int, dimensions: int = 384) -> NDArray[np.float32]:
    """Vectors in clusters, as those of documents are."""
    generator = np.random.default_rng(1)
    middles = unit(generator.standard_normal((max(num // 50, 2), dimensions), dtype=np.float32))
    return make_vectors(middles, num, generator)


def test_the_nearest_come_first() -> None:
    vectors = np.eye(8, dtype=np.float32)
    index = VectorIndex(8)
    index.add([10, 11, 12], vectors[:3])
    query = unit(np.array([[0.2, 1, 0.5, 0, 0, 0, 0, 0]], np.float32))[0]
    ids, scores = index.search(query, 2)
    assert ids.tolist() == [11, 12]
    assert scores == pytest.approx(query[[1, 2]], abs=0.01)


def test_recall_after_rescoring_and_memory() -> None:
    vectors = clustered(20_000)
    index = VectorIndex(384)
    for start in range(0, len(vectors), 1000):
        index.add(np.arange(start, start + 1000), vectors[start : start + 1000])
    assert index.num_bytes <= vectors.nbytes / 3
    recalled = 0
    queries = make_vectors(vectors, 50, np.random.default_rng(2))
    for query in queries:
        exact = set(np.argsort(-(vectors @ query))[:10].tolist())
        ids, _ = index.search(query, 100)
        again = ids[np.argsort(-(vectors[ids] @ query))][:10]
        recalled += len(exact & set(again.tolist()))
    assert recalled / 500 >= 0.99


def test_vectors_go_and_are_replaced() -> None:
    vectors = clustered(300, 32)
    index = VectorIndex(32)
    index.add(np.arange(300), vectors)
    index.delete([*range(0, 300, 2), 999])
    index.add([1, 1000], vectors[[0, 2]])
    assert len(index) == 151
    left = {number: vectors[number] for number in range(3, 300, 2)}
    left |= {1: vectors[0], 1000: vectors[2]}
    for number in (1, 3, 151, 299, 1000):
        ids, scores = index.search(left[number], 151)
        assert ids[0] == number
        assert set(ids.tolist()) == set(left)
        exact = [float(left[i] @ left[number]) for i in ids.tolist()]
        assert scores == pytest.approx(exact, abs=0.03)


def test_an_empty_index_finds_nothing() -> None:
    index = VectorIndex(16)
    ids, scores = index.search(np.ones(16, np.float32) / 4, 5)
    assert len(ids) == len(scores) == 0
    index.add([], np.empty((0, 16), np.float32))
    index.delete([3])
    assert len(index) == 0


@pytest.mark.parametrize("dimensions", [8, 100, 384])
@pytest.mark.parametrize(
    "scan", [scanning.scan_with_integers, scanning.scan_with_bfloat16, scanning.scan_in_blocks]
)
def test_each_way_of_scanning_gives_the_products(scan: scanning.Scan, dimensions: int) -> None:
    generator = torch.Generator().manual_seed(3)
    matrix = torch.randint(-127, 128, (500, dimensions), dtype=torch.int8, generator=generator)
    query = torch.randn(dimensions, generator=generator)
    scales = torch.rand(500, generator=generator)
    exact = (matrix.float() @ query) * scales
    try:
        product = scan(matrix, scales, query)
    except (RuntimeError, NotImplementedError):
        pytest.skip("this processor or this torch does not have it")
    assert (product - exact).abs().max() < 0.02 * exact.abs().max()


def test_a_scan_that_is_wrong_or_missing_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(matrix: torch.Tensor, scales: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(matrix))

    def missing(matrix: torch.Tensor, scales: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    monkeypatch.setattr(scanning, "scan_with_integers", wrong)
    monkeypatch.setattr(scanning, "scan_with_bfloat16", missing)
    scanning.choose_scan.cache_clear()
    try:
        assert scanning.choose_scan("cpu", 24) is scanning.scan_in_blocks
    finally:
        scanning.choose_scan.cache_clear()
