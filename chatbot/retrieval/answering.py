"""Carries out what needs the embedding model: searches, support, maps. For one thread.

Where nothing is embedded yet, or the model cannot be loaded, a search goes by words alone and
says so; it never waits for a model that could not help.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from chatbot.errors import KnowledgeError, NotIndexedError
from chatbot.retrieval import ranking
from chatbot.retrieval.embedders import Embedders
from chatbot.retrieval.embedding import Embedder
from chatbot.retrieval.index import reading
from chatbot.retrieval.index.preparing import embedding_identity
from chatbot.retrieval.index.searching import SearchedIndex
from chatbot.retrieval.named_files import find_named
from chatbot.retrieval.protocol import (
    Forget,
    Found,
    MakeMap,
    MapMade,
    ScoreSupport,
    Search,
    SupportScored,
)
from chatbot.terminal_text import clean_line
from chatbot.worker.protocol import Event, Request

if TYPE_CHECKING:
    from chatbot.retrieval.reranking import CrossEncoderReranker

_MAX_HITS: Final = 1000
_MAX_UNREAD: Final = 3
"""Files of one name of which it is said why they cannot be searched."""

_UNUSED_SECONDS: Final = 600.0
"""After which the index of a folder that is not searched is closed."""


class Searching:
    """Open indexes, and the models that search them."""

    def __init__(self, embedders: Embedders) -> None:
        self._embedders = embedders
        self._indexes: dict[str, SearchedIndex] = {}
        self._used_at: dict[str, float] = {}
        """When each of them was searched last, by ``time.monotonic``."""
        self._reranker: tuple[str, CrossEncoderReranker] | None = None

    def answer(self, request: Request) -> Event | None:
        """Carry out a request; None where it is answered elsewhere.

        Raises:
            KnowledgeError: it cannot be.
        """
        self._close_unused()
        match request:
            case Search():
                return self._search(request)
            case ScoreSupport():
                return self._score_support(request)
            case MakeMap():
                return self._make_map(request)
            case Forget(folder=folder):
                self._close(Path(folder).resolve())
                return None
        raise KnowledgeError("This program's two halves are of different versions; restart it.")

    # -- searching

    def _search(self, request: Search) -> Found:
        started = time.perf_counter()
        notices: list[str] = []
        indexes = self._open_all(request.folders, notices)
        began_embedding = time.perf_counter()
        vector, baseline = self._embed_query(request, indexes, notices)
        embedding_seconds = time.perf_counter() - began_embedding
        notices += _unread(request.query, indexes)
        reranker = self._load_reranker(request.reranker, notices)
        hits = ranking.search(
            request.query,
            vector,
            indexes,
            num_hits=max(1, min(request.num_hits, _MAX_HITS)),
            reranker=reranker,
            baseline=baseline,
        )
        return Found(
            request_id=request.id,
            hits=tuple(hits),
            notice=" ".join(dict.fromkeys(notices)),
            embedding_seconds=embedding_seconds,
            search_seconds=time.perf_counter() - started - embedding_seconds,
        )

    def _open_all(self, folders: Sequence[str], notices: list[str]) -> list[SearchedIndex]:
        """The indexes that can be searched; of the others, why not.

        Raises:
            KnowledgeError: none of them can, nor will in a moment.
        """
        indexes: list[SearchedIndex] = []
        has_failed = False
        # Two names of one folder would give everything twice.
        for name in {Path(folder).resolve(): folder for folder in reversed(folders)}.values():
            try:
                indexes.append(self._open(name))
            except NotIndexedError as error:
                notices.append(str(error))
            except KnowledgeError as error:
                has_failed = True
                notices.insert(0, str(error))
        if has_failed and not indexes:
            raise KnowledgeError(notices[0])
        return indexes

    def _open(self, name: str) -> SearchedIndex:
        folder = Path(name).resolve()
        if not folder.is_dir():
            raise KnowledgeError(
                f"The folder {clean_line(name)} is not there; check its name, or take it out."
            )
        self._used_at[name] = time.monotonic()
        if index := self._indexes.get(name):
            try:
                index.refresh()
                return index
            except KnowledgeError:
                index.close()
                del self._indexes[name]
        index = self._indexes[name] = SearchedIndex(folder, name)
        return index

    def _close(self, folder: Path) -> None:
        """Let go of a folder, by whatever names: what is open keeps its space on the disk."""
        for name in [name for name, index in self._indexes.items() if index.folder == folder]:
            self._indexes.pop(name).close()

    def _close_unused(self) -> None:
        """Let go of folders that nobody searches any more: their vectors are in memory."""
        oldest = time.monotonic() - _UNUSED_SECONDS
        for name in [name for name in self._indexes if self._used_at[name] < oldest]:
            self._indexes.pop(name).close()

    def _embed_query(
        self, request: Search, indexes: Sequence[SearchedIndex], notices: list[str]
    ) -> tuple[NDArray[np.float32] | None, float]:
        """The query's vector, where there are vectors to compare it with, and the baseline."""
        for index in indexes:
            index.use_vectors(None, "cpu")
        reference = request.options.embedding_model
        identity = embedding_identity(reference)
        embedded = [index for index in indexes if index.has_vectors]
        if any(index.num_passages and index not in embedded for index in indexes):
            notices.append("Found by words only where nothing is embedded yet.")
        usable = [index for index in embedded if index.embedding == identity]
        if len(usable) < len(embedded):
            notices.append(
                "Found by words only where another embedding model was used: index it again."
            )
        if not usable:
            return None, 0.0
        try:
            embedder = self._embedders.get(reference).result()
        except KnowledgeError as error:
            notices.append(f"Found by words only. {error}")
            return None, 0.0
        for index in usable:
            index.use_vectors(identity, embedder.device)
        vector: NDArray[np.float32] = embedder.encode_query(request.query)
        return vector, embedder.baseline

    def _load_reranker(self, reference: str, notices: list[str]) -> "CrossEncoderReranker | None":
        if not reference:
            self._reranker = None
            return None
        if self._reranker is None or self._reranker[0] != reference:
            from chatbot.retrieval.reranking import CrossEncoderReranker

            self._reranker = None
            try:
                self._reranker = reference, CrossEncoderReranker(reference)
            except KnowledgeError as error:
                notices.append(f"Not reranked. {error}")
                return None
        return self._reranker[1]

    # -- the rest

    def _score_support(self, request: ScoreSupport) -> SupportScored:
        embedder = self._model(request.options.embedding_model)
        from chatbot.retrieval.support import score_support

        scores = score_support(embedder, request.sentences, request.passages)
        return SupportScored(request_id=request.id, scores=scores)

    def _make_map(self, request: MakeMap) -> MapMade:
        index = self._open(request.folder)
        if index.embedding != embedding_identity(request.options.embedding_model):
            raise KnowledgeError(
                "The folder was embedded with another model; index it again to see its map."
            )
        index.use_vectors(index.embedding, "cpu")
        from chatbot.retrieval.mapping import MappedPassage, choose_points, make_map

        embedded = reading.embedded_ids(index.connection)
        if not embedded.size:
            raise KnowledgeError("Nothing of the folder is embedded yet; wait a little.")
        ids = embedded[choose_points(len(embedded))].tolist()
        vectors, passages = index.read_vectors(ids), index.read_passages(ids)
        there = [number for number in ids if number in vectors and number in passages]
        found = make_map(
            np.stack([vectors[number] for number in there]),
            [
                MappedPassage(
                    file=passages[number].file,
                    start=passages[number].start,
                    text=passages[number].text,
                )
                for number in there
            ],
        )
        return MapMade(request_id=request.id, map=found)

    def _model(self, reference: str) -> Embedder:
        return self._embedders.get(reference).result()


def _unread(query: str, indexes: Sequence[SearchedIndex]) -> list[str]:
    """Of files that the query names and that are not in an index, why not."""
    if "." not in query:
        return []
    problems = [row for index in indexes for row in reading.list_problems(index.connection)]
    named = find_named(query, {number: file for number, (file, _) in enumerate(problems)})
    found = [problems[number] for number in sorted(named)[:_MAX_UNREAD]]
    return [f"{clean_line(file)} is not searched. {problem}" for file, problem in found]
