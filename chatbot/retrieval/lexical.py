"""Search by words: a tantivy index on the disk, ranked by BM25.

A passage that was taken out stays in tantivy's files until it merges them, which for a small folder
may be never, and tantivy counts it all the while as if it could be found. How rare a term is would
so depend on how often a file was edited; here the terms are weighed by what can be found.

One process writes, any number may read at the same time. Knows nothing of documents and of
embeddings.
"""

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import tantivy

from chatbot.errors import KnowledgeError
from chatbot.retrieval.query_weights import inverse_frequency
from chatbot.retrieval.words import analyser, find_terms, prepare

LEXICAL_VERSION: Final = 3
"""Goes up whenever the same passages would be indexed otherwise: the index is then made anew."""

CONTEXT_WEIGHT: Final = 0.3
"""Of a word in a passage's title and headings, where one in its text counts 1."""
MAX_QUERY_TERMS: Final = 200
"""Different terms of a query that count: a whole document pasted in must not take seconds."""

_SPARE: Final = 100
"""Passages that are looked at beyond those that are wanted: equal ones come in the order of
tantivy's segments, which it merges when it finds time."""
_DIGITS: Final = 4
"""To which scores are equal: where a sum begins may be another in each segment."""
_TERMS_AT_ONCE: Final = 20
"""The sum of so many powers of two is exact in a score, which is float32."""
_HEAP_BYTES: Final = 64_000_000
_ANALYSER: Final = "words"
_IN_ALL: Final = "x"
"""A term that each passage has: how often it occurs is how many tantivy believes there are."""

_HINDRANCES: Final = (
    "writer was killed",
    "Too many open files",
    "No space left",
    "allocate memory",
)
"""What tantivy says when it could not write, though nothing is wrong with the files."""


class DamagedWordIndexError(KnowledgeError):
    """A word index on the disk is broken; whoever may write it makes it anew."""


class LexicalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A passage as the index takes it."""

    id: int
    """Not negative."""
    text: str
    context: str = ""
    """What stands above it: the document's name and title, and the headings."""


class LexicalIndex:
    """The words of one folder's passages.

    Args:
        folder: where it is, or is to be made.
        is_writer: whether this one may change it; there can be one such at a time.

    Raises:
        DamagedWordIndexError: it cannot be used.
        KnowledgeError: another has it open for writing.
    """

    def __init__(self, folder: Path, *, is_writer: bool = False) -> None:
        self._schema = _make_schema()
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._index = tantivy.Index(self._schema, path=str(folder))
            self._index.register_tokenizer(_ANALYSER, analyser())
            self._index.config_reader("manual")
            # One thread: the order of equal passages must not depend on chance.
            self._writer = (
                self._index.writer(heap_size=_HEAP_BYTES, num_threads=1) if is_writer else None
            )
            if self._writer is not None:
                # A writer that was killed, or out of disk, as it noted deletions leaves a file that
                # this one would want to make under the same name when it is told the same again.
                self._writer.garbage_collect_files()
        self._folder = folder
        self.reload()

    def add(self, entries: Iterable[LexicalEntry]) -> None:
        """Add passages; they are found after ``commit``."""
        writer = self._writing()
        with _explained(self._folder):
            for entry in entries:
                # Not by keywords: the writer dies of an id that is not given as unsigned.
                document = tantivy.Document()
                document.add_unsigned("id", entry.id)
                document.add_text("text", prepare(entry.text))
                document.add_text("context", prepare(entry.context))
                document.add_text("all", _IN_ALL)
                writer.add_document(document)

    def delete(self, ids: Iterable[int]) -> None:
        """Take passages out, from ``commit`` on."""
        writer = self._writing()
        with _explained(self._folder):
            # By a query: deletion by term takes the number for a signed one and finds nothing.
            gone = tantivy.Query.term_set_query(self._schema, "id", list(ids))
            writer.delete_documents_by_query(gone)

    def clear(self) -> None:
        """Take all passages out, from ``commit`` on."""
        with _explained(self._folder):
            self._writing().delete_all_documents()

    def commit(self) -> None:
        """Write what was added and deleted to the disk, and let searches see it."""
        with _explained(self._folder):
            self._writing().commit()
        self.reload()

    def reload(self) -> None:
        """Let searches see what another process has committed."""
        with _explained(self._folder):
            self._index.reload()
            self._searcher = self._index.searcher()
            self._num_kept = self._searcher.doc_freq("all", _IN_ALL)
            self._counts: dict[tuple[str, str], int] = {}

    def search(
        self, query: str, num: int, *, weights: Mapping[str, float] | None = None
    ) -> list[tuple[int, float]]:
        """Ids and BM25 scores of the passages that fit best, the best first, equal ones by id.

        Args:
            query: any text at all.
            num: how many at most.
            weights: what to multiply each term's part of the score with; 1 where it is missing.
        """
        hits = self._run(self._scored(query, weights), num + _SPARE)
        hits.sort(key=lambda hit: (-round(hit[1], _DIGITS), hit[0]))
        return hits[:num]

    def score(
        self, query: str, ids: Sequence[int], *, weights: Mapping[str, float] | None = None
    ) -> dict[int, float]:
        """BM25 scores of just these passages; those without a word of the query are left out."""
        if not ids:
            return {}
        both = _both(self._among(ids), self._scored(query, weights))
        return dict(self._run(both, len(ids)))

    def find_terms_in(self, ids: Sequence[int], terms: Iterable[str]) -> dict[int, set[str]]:
        """Which of the terms each of these passages has, in its text or above it."""
        found: dict[int, set[str]] = {identity: set() for identity in ids}
        among = self._among(ids)
        for some in _in_batches(terms, _TERMS_AT_ONCE) if ids else ():
            # Each term that is there adds a power of two of its own, so that one search finds all.
            parts = [self._anywhere(term, float(1 << bit)) for bit, term in enumerate(some)]
            any_of_them = tantivy.Query.boolean_query([(tantivy.Occur.Should, p) for p in parts])
            for identity, sum_of_powers in self._run(_both(among, any_of_them), len(ids)):
                bits = int(sum_of_powers)
                found[identity].update(t for bit, t in enumerate(some) if bits >> bit & 1)
        return found

    @property
    def num_passages(self) -> int:
        """How many can be found."""
        return self._searcher.num_docs

    def count_passages_with(self, terms: Sequence[str]) -> dict[str, int]:
        """In how many of the passages that can be found each term occurs."""
        return {term: self._count("text", term) for term in terms}

    def close(self) -> None:
        """Let go of the files; what was not committed is lost."""
        if self._writer is not None:
            with contextlib.suppress(KnowledgeError), _explained(self._folder):
                self._writer.rollback()
            self._writer = None

    def _writing(self) -> tantivy.IndexWriter:
        if self._writer is None:
            raise RuntimeError("This index was opened for reading only.")
        return self._writer

    def _scored(self, query: str, weights: Mapping[str, float] | None) -> tantivy.Query:
        """Any of the query's terms, in the text or above it."""
        counts = Counter(find_terms(query)).most_common(MAX_QUERY_TERMS)
        parts: list[tuple[tantivy.Occur, tantivy.Query]] = []
        for term, count in counts:
            weight = count * (weights.get(term, 1.0) if weights else 1.0)
            for field, share in (("text", 1.0), ("context", CONTEXT_WEIGHT)):
                if not self._count(field, term):
                    continue  # it would only make every search slower
                boost = weight * share * self._correction(field, term)
                boosted = tantivy.Query.boost_query(self._term(field, term), boost)
                parts.append((tantivy.Occur.Should, boosted))
        return tantivy.Query.boolean_query(parts) if parts else tantivy.Query.empty_query()

    def _count(self, field: str, term: str) -> int:
        """In how many of the passages that can be found the term is."""
        if self._num_kept == self._searcher.num_docs:
            return self._searcher.doc_freq(field, term)
        found = self._counts.get((field, term))
        if found is None:
            with _explained(self._folder):
                result = self._searcher.search(self._term(field, term), limit=1, count=True)
            # Its stubs leave the count out.
            found = self._counts[field, term] = int(result.count)  # type: ignore[attr-defined]
        return found

    def _correction(self, field: str, term: str) -> float:
        """What makes of tantivy's weight of a term the one among what can be found."""
        if self._num_kept == self._searcher.num_docs:
            return 1.0
        weight = inverse_frequency(self._count(field, term), self._searcher.num_docs)
        return weight / inverse_frequency(self._searcher.doc_freq(field, term), self._num_kept)

    def _term(self, field: str, term: str) -> tantivy.Query:
        return tantivy.Query.term_query(self._schema, field, term, index_option="freq")

    def _anywhere(self, term: str, score: float) -> tantivy.Query:
        """The term in the text or above it, or in both: adds ``score`` once."""
        places = [(tantivy.Occur.Should, self._term(field, term)) for field in ("text", "context")]
        return tantivy.Query.const_score_query(tantivy.Query.boolean_query(places), score)

    def _among(self, ids: Sequence[int]) -> tantivy.Query:
        """Just these passages; adds nothing to a score.

        One query for each id: a set of terms would go through all passages first.
        """
        wanted = [tantivy.Query.term_query(self._schema, "id", identity) for identity in ids]
        any_of_them = tantivy.Query.boolean_query([(tantivy.Occur.Should, one) for one in wanted])
        return tantivy.Query.const_score_query(any_of_them, 0.0)

    def _run(self, query: tantivy.Query, num: int) -> list[tuple[int, float]]:
        with _explained(self._folder):
            hits = self._searcher.search(query, limit=max(num, 1), count=False).hits
            ids = self._searcher.fast_field_values("id", [address for _, address in hits])
        return [(int(i), score) for i, (score, _) in zip(ids, hits, strict=True) if i is not None]


def _in_batches(terms: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(dict.fromkeys(terms))
    while some := list(itertools.islice(rest, size)):
        yield some


def _both(first: tantivy.Query, second: tantivy.Query) -> tantivy.Query:
    return tantivy.Query.boolean_query([(tantivy.Occur.Must, first), (tantivy.Occur.Must, second)])


def _make_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("id", indexed=True, fast=True)
    for field in ("text", "context"):
        builder.add_text_field(field, tokenizer_name=_ANALYSER, index_option="freq")
    builder.add_text_field("all", tokenizer_name="raw", index_option="basic")
    return builder.build()


def _is_of_tantivy(error: BaseException) -> bool:
    """Whether tantivy raised it; what its own code gives up with is no ``Exception``, and cannot be
    imported."""
    return isinstance(error, ValueError | OSError) or type(error).__name__ == "PanicException"


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn what tantivy raises into an error that says what to do.

    Raises:
        DamagedWordIndexError: the files cannot be used.
        KnowledgeError: another program uses them, or the system does not let them be written.
    """
    try:
        yield
    except BaseException as error:
        if not _is_of_tantivy(error):
            raise
        if "LockBusy" in str(error):
            raise KnowledgeError(
                f"Another program is indexing into {folder}; wait until it has finished."
            ) from error
        if any(words in str(error) for words in _HINDRANCES):
            raise KnowledgeError(
                f"The word index in {folder} cannot be written now ({error}); try again."
            ) from error
        raise DamagedWordIndexError(
            f"The word index in {folder} cannot be used ({error}); delete that folder, and it "
            "is made anew."
        ) from error
