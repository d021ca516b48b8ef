"""Measures what the flags ask for, and prints a table or JSON."""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from chatbot.errors import ChatbotError
from chatbot.retrieval.benchmark.collections import Collection, find_collections, read_collection
from chatbot.retrieval.benchmark.harness import Harness
from chatbot.retrieval.benchmark.options import add_options
from chatbot.retrieval.benchmark.quality import measure_answers, measure_documents, measure_spans
from chatbot.retrieval.benchmark.report import Report, format_report
from chatbot.retrieval.benchmark.speed import measure_indexing, measure_search
from chatbot.terminal_text import clean


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit status is 0, or 1 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m chatbot.retrieval.benchmark")
    add_options(parser)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            report = measure(options, Path(scratch))
    except ChatbotError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(msgspec.json.encode(report).decode() if options.json else format_report(report))
    return 0


def measure(options: argparse.Namespace, scratch: Path) -> Report:
    """All that ``options`` ask for.

    Raises:
        KnowledgeError: a collection or the embedding model cannot be read.
    """
    folders = find_collections(Path(options.data), scratch)
    harness = Harness(options.embedding_model, scratch, _say)
    report = Report(embedding_model=options.embedding_model, device=harness.embedder.device)
    collections = []
    for folder in folders:
        _say(f"reading {folder.name}")
        collections.append(read_collection(folder))
    if not options.speed_only:
        for collection in collections:
            _add_quality(report, collection, harness)
        if report.documents:
            report.mean_ratio = statistics.fmean(f.ratio for f in report.documents)
    if not options.quality_only:
        _add_speed(report, collections, harness, scratch, options)
    return report


def _add_quality(report: Report, collection: Collection, harness: Harness) -> None:
    _say(f"measuring {collection.name}")
    if collection.judged:
        report.documents.append(measure_documents(collection, harness))
    if collection.answered:
        report.answers.append(measure_answers(collection, harness))
    if collection.spanned:
        report.spans.append(measure_spans(collection, harness))


def _add_speed(
    report: Report,
    collections: Sequence[Collection],
    harness: Harness,
    scratch: Path,
    options: argparse.Namespace,
) -> None:
    # The one with the longest texts: passages as they are in a folder of documents.
    longest = max(collections, key=_mean_length)
    folder = harness.index_passages(longest.documents)
    queries = [query.text for query in longest.judged]
    queries += [question.text for question in longest.answered]
    queries += [question.text for question in longest.spanned]
    report.search = measure_search(folder, queries, harness, scratch, options.num_passages)
    report.indexing = measure_indexing(longest, harness, options.embedding_model)
    report.indexing_ratio = report.indexing.ratio


def _mean_length(collection: Collection) -> float:
    lengths = [len(document.text) for document in collection.documents.values()]
    return statistics.fmean(lengths) if lengths else 0.0


def _say(what: str) -> None:
    """A line that the next one takes the place of; nothing where nobody looks."""
    if sys.stderr.isatty():
        print(f"\r\033[K{clean(what)[:79]}", end="", file=sys.stderr, flush=True)
