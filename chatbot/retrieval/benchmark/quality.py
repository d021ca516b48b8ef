"""What is found: the measures of each collection, beside those of simpler ways."""

import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from chatbot.retrieval.benchmark.collections import Answered, Collection
from chatbot.retrieval.benchmark.harness import Harness, by_meaning, by_words, subset
from chatbot.retrieval.benchmark.measures import covered_share, fuse_ranks, ndcg
from chatbot.retrieval.values import Passage
from chatbot.settings import Settings

NUM_FIRST: Final = 5
"""Passages that are looked at for an answer."""
_DEPTH: Final = 1000
"""Places that rank fusion sees of each ranking."""


class DocumentFigures(msgspec.Struct, frozen=True, kw_only=True):
    """nDCG@10 of documents, each as good as its best passage."""

    name: str
    num_documents: int
    num_queries: int
    ours: float
    bm25: float
    embeddings: float
    rank_fusion: float

    @property
    def ratio(self) -> float:
        """Ours to the embedding model alone."""
        return self.ours / self.embeddings if self.embeddings else 0.0


class AnswerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of questions with an answer in one of the first passages, and of those declined."""

    name: str
    num_answerable: int
    ours: float
    bm25: float
    embeddings: float
    ours_first: float
    """In the very first passage."""
    threshold: float
    kept: float
    """Answerable questions that find something relevant, half of the documents being indexed."""
    declined_other: float
    """Questions about the other documents that do not."""
    declined_near: float
    """Questions that the indexed documents come near to, but do not answer."""


class SpanFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Recall of the answering characters in the first passages."""

    name: str
    num_questions: int
    ours: float
    fixed: float
    """The same search over passages of a fixed size."""
    bm25: float
    embeddings: float
    num_passages: int
    num_fixed: int


def measure_documents(collection: Collection, harness: Harness) -> DocumentFigures:
    """For queries with graded documents."""
    passages = harness.index_passages(collection.documents)
    whole = harness.index_whole(collection.documents)
    rows: list[tuple[float, float, float, float]] = []
    for query in collection.judged:
        vector = harness.embedder.encode_query(query.text)
        words = [p.file for p in by_words(query.text, whole, _DEPTH)]
        meaning = [p.file for p in by_meaning(vector, whole, _DEPTH)]
        rankings = (
            harness.rank_documents(query.text, passages),
            words,
            meaning,
            fuse_ranks((words, meaning)),
        )
        ours, bm25, dense, fused = (ndcg(ranking, query.grades) for ranking in rankings)
        rows.append((ours, bm25, dense, fused))
    ours, bm25, dense, fused = (statistics.fmean(column) for column in zip(*rows, strict=True))
    return DocumentFigures(
        name=collection.name,
        num_documents=len(collection.documents),
        num_queries=len(rows),
        ours=ours,
        bm25=bm25,
        embeddings=dense,
        rank_fusion=fused,
    )


def measure_answers(collection: Collection, harness: Harness) -> AnswerFigures:
    """For questions with an answering paragraph."""
    folder = harness.index_passages(collection.documents)
    found: dict[str, list[bool]] = {"ours": [], "bm25": [], "embeddings": [], "first": []}
    for question in collection.answered:
        if not question.is_answerable:
            continue
        spans = _answer_spans(question, collection)
        vector = harness.embedder.encode_query(question.text)
        hits = harness.search(question.text, [folder], NUM_FIRST)
        ours = [hit.passage for hit in hits if hit.duplicate_of is None]
        found["ours"].append(_has_answer(ours, question.file, spans))
        found["first"].append(_has_answer(ours[:1], question.file, spans))
        words = by_words(question.text, folder, NUM_FIRST)
        found["bm25"].append(_has_answer(words, question.file, spans))
        meaning = by_meaning(vector, folder, NUM_FIRST)
        found["embeddings"].append(_has_answer(meaning, question.file, spans))
    kept, other, near = _measure_declining(collection, harness)
    return AnswerFigures(
        name=collection.name,
        num_answerable=len(found["ours"]),
        ours=statistics.fmean(found["ours"]),
        bm25=statistics.fmean(found["bm25"]),
        embeddings=statistics.fmean(found["embeddings"]),
        ours_first=statistics.fmean(found["first"]),
        threshold=Settings().relevance_threshold,
        kept=kept,
        declined_other=other,
        declined_near=near,
    )


def measure_spans(collection: Collection, harness: Harness) -> SpanFigures:
    """For questions with the characters that answer them."""
    folder = harness.index_passages(collection.documents)
    fixed = harness.index_fixed(collection.documents)
    shares: list[tuple[float, ...]] = []
    for question in collection.spanned:
        vector = harness.embedder.encode_query(question.text)
        found = (
            [hit.passage for hit in harness.search(question.text, [folder], NUM_FIRST)],
            [hit.passage for hit in harness.search(question.text, [fixed], NUM_FIRST)],
            by_words(question.text, folder, NUM_FIRST),
            by_meaning(vector, folder, NUM_FIRST),
        )
        shares.append(
            tuple(
                covered_share(
                    question.spans,
                    [(p.start, p.end) for p in passages[:NUM_FIRST] if p.file == question.file],
                )
                for passages in found
            )
        )
    ours, plain, words, meaning = (statistics.fmean(c) for c in zip(*shares, strict=True))
    return SpanFigures(
        name=collection.name,
        num_questions=len(shares),
        ours=ours,
        fixed=plain,
        bm25=words,
        embeddings=meaning,
        num_passages=folder.num_passages,
        num_fixed=fixed.num_passages,
    )


def _measure_declining(collection: Collection, harness: Harness) -> tuple[float, float, float]:
    """Kept, declined of other subjects, declined of the same; both halves of the documents."""
    files = sorted(collection.documents)
    threshold = Settings().relevance_threshold
    kept: list[bool] = []
    other: list[bool] = []
    near: list[bool] = []
    for half in (files[::2], files[1::2]):
        folder = harness.index_passages(subset(collection, half))
        for question in collection.answered:
            hits = harness.search(question.text, [folder], NUM_FIRST)
            is_found = any(hit.scores.relevance >= threshold for hit in hits)
            if question.file not in half:
                other.append(not is_found)
            elif question.is_answerable:
                kept.append(is_found)
            else:
                near.append(not is_found)
    kept_share, other_share, near_share = (
        statistics.fmean(row) if row else 0.0 for row in (kept, other, near)
    )
    return kept_share, other_share, near_share


def _answer_spans(question: Answered, collection: Collection) -> list[tuple[int, int]]:
    """Where the answers stand in the answering paragraph."""
    document = collection.documents.get(question.file)
    start = document.text.find(question.passage) if document else -1
    spans: list[tuple[int, int]] = []
    for answer in question.answers if start >= 0 else ():
        place = question.passage.find(answer)
        while place >= 0:
            spans.append((start + place, start + place + len(answer)))
            place = question.passage.find(answer, place + 1)
    return spans


def _has_answer(passages: Sequence[Passage], file: str, spans: Sequence[tuple[int, int]]) -> bool:
    return any(
        passage.file == file and passage.start <= start and end <= passage.end
        for passage in passages
        for start, end in spans
    )
