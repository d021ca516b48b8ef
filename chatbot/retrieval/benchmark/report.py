"""The figures as a table for people; the JSON is the same ones."""

from collections.abc import Iterable, Sequence

import msgspec

from chatbot.retrieval.benchmark.quality import AnswerFigures, DocumentFigures, SpanFigures
from chatbot.retrieval.benchmark.speed import IndexingFigures, SearchFigures


class Report(msgspec.Struct, kw_only=True):
    """Everything that was measured."""

    embedding_model: str
    device: str
    documents: list[DocumentFigures] = []
    mean_ratio: float | None = None
    """Ours to the embedding model alone, on average over the collections."""
    answers: list[AnswerFigures] = []
    spans: list[SpanFigures] = []
    search: SearchFigures | None = None
    indexing: IndexingFigures | None = None
    indexing_ratio: float | None = None


def format_report(report: Report) -> str:
    """All of it as text."""
    parts = [f"Embedding model {report.embedding_model}, on {report.device}"]
    if report.documents:
        parts.append(_format_documents(report))
    parts += [_format_answers(figures) for figures in report.answers]
    parts += [_format_spans(figures) for figures in report.spans]
    if report.search:
        parts.append(_format_search(report.search))
    if report.indexing:
        parts.append(_format_indexing(report.indexing))
    return "\n\n".join(parts)


def _format_documents(report: Report) -> str:
    head = ("Documents, nDCG@10", "ours", "BM25", "embeddings", "rank fusion", "ratio")
    rows = [
        (
            f"{f.name} ({f.num_documents:,} documents, {f.num_queries} queries)",
            *(f"{value:.3f}" for value in (f.ours, f.bm25, f.embeddings, f.rank_fusion)),
            f"{f.ratio:.3f}",
        )
        for f in report.documents
    ]
    rows.append(("mean", "", "", "", "", f"{report.mean_ratio or 0:.3f}"))
    return _table(head, rows)


def _format_answers(f: AnswerFigures) -> str:
    head = (f"{f.name}: answer among the first 5", "ours", "BM25", "embeddings")
    shares = (f"{100 * value:.1f} %" for value in (f.ours, f.bm25, f.embeddings))
    table = _table(head, [(f"{f.num_answerable} answerable questions", *shares)])
    return (
        f"{table}\n"
        f"In the very first passage: {100 * f.ours_first:.1f} %. With half of the documents and "
        f"threshold {f.threshold:g}:\n"
        f"{100 * f.kept:.1f} % of the answerable questions kept, {100 * f.declined_other:.1f} % of "
        f"those on other subjects declined, {100 * f.declined_near:.1f} % of the unanswerable "
        "ones on the same."
    )


def _format_spans(f: SpanFigures) -> str:
    head = (
        f"{f.name}: answering characters in the first 5",
        "ours",
        "fixed size",
        "BM25",
        "embeddings",
    )
    shares = (f"{100 * value:.1f} %" for value in (f.ours, f.fixed, f.bm25, f.embeddings))
    row = (
        f"{f.num_questions} questions, {f.num_passages:,} passages ({f.num_fixed:,} fixed)",
        *shares,
    )
    return _table(head, [row])


def _format_search(f: SearchFigures) -> str:
    head = (f"Search over {f.num_passages:,} passages", "median")
    rows = [
        ("in all, beside the query's embedding", f"{f.search_ms:.1f} ms"),
        ("by words alone", f"{f.words_ms:.1f} ms"),
        ("by meaning alone, eight bits and rescored", f"{f.scan_ms:.1f} ms"),
        ("exact float32 scan", f"{f.float_scan_ms:.1f} ms"),
        ("recall@10 against the exact scan", f"{f.recall:.3f}"),
        ("memory, of float32's", f"{f.memory_share:.2f}"),
    ]
    return _table(head, rows)


def _format_indexing(f: IndexingFigures) -> str:
    head = (f"Indexing {f.num_files:,} files, {f.num_passages:,} passages", "")
    rows = [
        ("end to end", f"{f.index_seconds:.1f} s"),
        ("bare encoding of the same passages", f"{f.encode_seconds:.1f} s"),
        ("throughput, of bare encoding's", f"{f.ratio:.2f}"),
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
