from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from chatbot.retrieval import ranking
from chatbot.retrieval.benchmark.memory_folder import MemoryFolder
from chatbot.retrieval.embedding import Embedder
from chatbot.retrieval.values import Hit, Passage

TEXTS = {
    "baking.md": "Knead the dough for ten minutes and let the bread rise in a warm place.",
    "rivers.md": "The Danube flows through ten countries before it reaches the Black Sea.",
    "rivers copy.md": "The Danube flows through ten countries before it reaches the Black Sea .",
    "engines.md": "A steam engine turns the heat of boiling water into motion.",
    "python.md": "The function sum adds up the numbers of a list.",
}


def passage(file: str, text: str) -> Passage:
    return Passage(
        folder="/f", file=file, start_line=1, end_line=1, start=0, end=len(text), text=text
    )


class Folder(MemoryFolder):
    """One in which some passages are not embedded yet."""

    not_embedded: frozenset[int] = frozenset()

    def search_vectors(
        self, query: NDArray[np.float32], num: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ids, scores = super().search_vectors(query, num)
        kept = ~np.isin(ids, list(self.not_embedded))
        return ids[kept], scores[kept]

    def read_vectors(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        return super().read_vectors([number for number in ids if number not in self.not_embedded])


def make(folder: Path, embedder: Embedder, texts: dict[str, str]) -> Folder:
    passages = [passage(file, text) for file, text in texts.items()]
    return Folder(folder, passages, embedder.encode_passages(list(texts.values())))


def files(hits: Sequence[Hit]) -> list[str]:
    return [hit.passage.file for hit in hits]


def test_found_by_words_and_by_meaning(tmp_path: Path, embedder: Embedder) -> None:
    folder = make(tmp_path, embedder, TEXTS)
    for query, file in [
        ("Danube", "rivers.md"),
        ("how is a locomotive powered", "engines.md"),  # not a word in common but "a"
        ("sum", "python.md"),
        ("making loaves", "baking.md"),
    ]:
        hits = ranking.search(query, embedder.encode_query(query), [folder], num_hits=3)
        assert hits[0].passage.file == file
        fused = [hit.scores.fused for hit in hits]
        assert fused == sorted(fused, reverse=True)


def test_scores_say_why(tmp_path: Path, embedder: Embedder) -> None:
    folder = make(tmp_path, embedder, TEXTS)
    vector = embedder.encode_query("boiling water")
    hits = ranking.search("boiling water", vector, [folder], num_hits=5)
    best = hits[0].scores
    assert best.dense == pytest.approx(float(folder.vectors[3] @ vector), abs=1e-5)
    assert best.lexical == pytest.approx(
        folder.search_words("boiling water", 1, {})[0][1], rel=1e-5
    )
    assert best.relevance > 0.5
    others = [hit.scores for hit in hits if hit.passage.file == "python.md"]
    assert others[0].lexical is None
    assert others[0].relevance < 0.1


def test_a_file_that_is_named_comes_first_and_is_relevant(
    tmp_path: Path, embedder: Embedder
) -> None:
    folder = make(tmp_path, embedder, TEXTS)

    def search(query: str) -> list[Hit]:
        return ranking.search(query, embedder.encode_query(query), [folder], num_hits=5)

    for query in ("What does Engines.md say of the Danube?", "danube, (notes/engines.md)"):
        hits = search(query)
        assert hits[0].passage.file == "engines.md"
        assert hits[0].scores.relevance == 1.0
        assert [hit.scores.relevance for hit in hits].count(1.0) == 1
    for query in ("Danube engines", "Danube steam-engines.md", "Danube engines.mdx", "Danube .md"):
        assert all(hit.scores.relevance < 1.0 for hit in search(query))


def test_the_row_that_has_the_words_comes_before_rows_that_share_them(tmp_path: Path) -> None:
    apart = "Ada Hopper,1900\nAlan Turing,1900\nEmmy Lovelace,1900"
    row = "Joan Clarke,1917\nAlan Turing,1912\nGrace Hopper,1906\nAda Lovelace,1815"
    query = "When was Ada Lovelace born?"
    for ending, best in (("csv", "row"), ("txt", "apart")):  # the lines of a text are no rows
        passages = [passage(f"apart.{ending}", apart), passage(f"row.{ending}", row)]
        folder = MemoryFolder(tmp_path / ending, passages, np.zeros((2, 1), np.float32))
        hits = ranking.search(query, None, [folder], num_hits=2)
        assert files(hits)[0] == f"{best}.{ending}"


@pytest.mark.parametrize("num_folders", [1, 2])
def test_deleted_files_change_no_score(
    tmp_path: Path, embedder: Embedder, num_folders: int
) -> None:
    notes = {f"{number}.md": f"The ferry budget is {number} euros." for number in range(5)}
    before = make(tmp_path / "before", embedder, notes)
    before.lexical.delete([1, 2, 3, 4])
    before.lexical.commit()
    never = make(tmp_path / "never", embedder, {"0.md": notes["0.md"]})
    other = make(tmp_path / "other", embedder, TEXTS)
    query = "What is the ferry budget?"
    vector = embedder.encode_query(query)
    scores = [
        ranking.search(query, vector, [folder, other][:num_folders], num_hits=9)[0].scores
        for folder in (before, never)
    ]
    assert scores[0].relevance > 0.5
    for name in ("lexical", "relevance"):
        assert getattr(scores[0], name) == pytest.approx(getattr(scores[1], name), rel=1e-5)


def test_duplicates_are_marked_and_do_not_count(tmp_path: Path, embedder: Embedder) -> None:
    folder = make(tmp_path, embedder, TEXTS)
    query = "Through how many countries does the Danube flow?"
    hits = ranking.search(query, embedder.encode_query(query), [folder], num_hits=2)
    assert set(files(hits[:2])) == {"rivers.md", "rivers copy.md"}
    assert [hit.duplicate_of for hit in hits] == [None, 0, None]


def test_words_alone_serve_without_a_vector(tmp_path: Path, embedder: Embedder) -> None:
    folder = make(tmp_path, embedder, TEXTS)
    hits = ranking.search("steam and dough", None, [folder], num_hits=9)
    assert set(files(hits)) == {"engines.md", "baking.md"}
    assert all(hit.scores.dense is None for hit in hits)
    assert ranking.search("zzzz", None, [folder], num_hits=9) == []
    assert ranking.search("", None, [folder], num_hits=9) == []


def test_a_passage_without_a_vector_is_neither_last_nor_always_first(
    tmp_path: Path, embedder: Embedder
) -> None:
    folder = make(tmp_path, embedder, TEXTS)
    folder.not_embedded = frozenset({3})
    query = "How does a steam engine turn heat into motion?"
    hits = ranking.search(query, embedder.encode_query(query), [folder], num_hits=5)
    assert hits[0].passage.file == "engines.md"
    assert hits[0].scores.dense is None
    query = "What is a function that adds up a list?"
    hits = ranking.search(query, embedder.encode_query(query), [folder], num_hits=5)
    assert hits[0].passage.file == "python.md"
    assert hits[0].scores.dense is not None


def test_folders_make_one_ranking(tmp_path: Path, embedder: Embedder) -> None:
    # "engine" is in every passage of the first folder, so it says little there; alone, that folder
    # would weigh "steam" by itself, and the second "engine".
    crowd = {f"{i}.md": f"An engine of kind {i} with a steam valve." for i in range(30)}
    first = make(tmp_path / "a", embedder, crowd)
    second = make(tmp_path / "b", embedder, TEXTS)
    query = "steam engine heat boiling water"
    hits = ranking.search(query, embedder.encode_query(query), [first, second], num_hits=3)
    assert hits[0].passage.file == "engines.md"
    # The order of the folders does not matter.
    again = ranking.search(query, embedder.encode_query(query), [second, first], num_hits=3)
    assert files(again) == files(hits)
    assert [h.scores.fused for h in again] == pytest.approx([h.scores.fused for h in hits])


def test_one_folder_in_two_is_ranked_as_whole(tmp_path: Path, embedder: Embedder) -> None:
    texts = list(TEXTS.items())
    whole = make(tmp_path / "w", embedder, TEXTS)
    parts = [
        make(tmp_path / "a", embedder, dict(texts[:2])),
        make(tmp_path / "b", embedder, dict(texts[2:])),
    ]
    query = "ten minutes in the Black Sea"
    vector = embedder.encode_query(query)
    one = ranking.search(query, vector, [whole], num_hits=9)
    two = ranking.search(query, vector, parts, num_hits=9)
    assert files(two)[:2] == files(one)[:2]


def test_the_reranker_has_the_last_word(tmp_path: Path, embedder: Embedder) -> None:
    class Longest:
        def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
            return [len(text) / 1000 for text in texts]

    folder = make(tmp_path, embedder, TEXTS)
    hits = ranking.search(
        "Danube", embedder.encode_query("Danube"), [folder], num_hits=5, reranker=Longest()
    )
    lengths = [len(hit.passage.text) for hit in hits]
    assert lengths == sorted(lengths, reverse=True)
    assert hits[0].scores.reranked == pytest.approx(lengths[0] / 1000)


def test_passages_that_went_meanwhile_are_left_out(tmp_path: Path, embedder: Embedder) -> None:
    class Shrinking(Folder):
        def read_passages(self, ids: Sequence[int]) -> dict[int, Passage]:
            return super().read_passages([number for number in ids if number != 3])

    passages = [passage(file, text) for file, text in TEXTS.items()]
    folder = Shrinking(tmp_path, passages, embedder.encode_passages(list(TEXTS.values())))
    hits = ranking.search("steam", embedder.encode_query("steam"), [folder], num_hits=5)
    assert "engines.md" not in files(hits)


def test_no_folder_and_an_empty_folder(tmp_path: Path, embedder: Embedder) -> None:
    vector = embedder.encode_query("x")
    assert ranking.search("x", vector, [], num_hits=5) == []
    empty = MemoryFolder(tmp_path, [], np.empty((0, embedder.dimensions), np.float32))
    assert ranking.search("x", vector, [empty], num_hits=5) == []
