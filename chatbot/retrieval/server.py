"""Carries out the requests of the protocol, several kinds of them at the same time.

Indexing, searching, looking things up and drawing maps each have a thread, so that none waits
for another. Imports no torch by itself: the threads do when they need it.
"""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from chatbot.errors import KnowledgeError
from chatbot.paths import index_dir
from chatbot.retrieval.answering import Searching
from chatbot.retrieval.documents.reader import Reader
from chatbot.retrieval.embedders import Embedders, LoadEmbedder
from chatbot.retrieval.embedding import Embedder
from chatbot.retrieval.index import reading
from chatbot.retrieval.index.failures import explained
from chatbot.retrieval.index.opening import WriteLock
from chatbot.retrieval.index.reading_ahead import DocumentReader
from chatbot.retrieval.index.searching import SearchedIndex
from chatbot.retrieval.index.tally import folder_bytes
from chatbot.retrieval.indexing import Indexing
from chatbot.retrieval.lanes import Lane, Send, failure
from chatbot.retrieval.protocol import (
    Cancel,
    DocumentRead,
    Documents,
    Forget,
    Forgotten,
    Index,
    ListDocuments,
    ListPassages,
    MakeMap,
    Passages,
    Pause,
    ReadDocument,
    ReadFile,
    Resume,
    RetrievalRequest,
    ScoreSupport,
    Search,
    Warm,
    Warmed,
)
from chatbot.retrieval.values import DocumentText
from chatbot.terminal_text import clean_line
from chatbot.worker.protocol import Event, Request


class Server:
    """Everything that the retrieval process does.

    Args:
        send: where events go; safe from any thread.
        load_embedder: makes an embedding model; tests pass a fast one.
        make_reader: starts a reader of documents.
    """

    def __init__(
        self,
        send: Send,
        load_embedder: LoadEmbedder = Embedder,
        make_reader: Callable[[], DocumentReader] = Reader,
    ) -> None:
        self._send = send
        self._embedders = Embedders(load_embedder)
        self._indexing = Indexing(send, self._embedders, make_reader)
        self._look_ups = LookUps(self._indexing, make_reader)
        self._searches = Lane("searching", Searching(self._embedders).answer, send)
        self._maps = Lane("mapping", Searching(self._embedders).answer, send)
        self._others = Lane("looking up", self._look_up, send)

    def accept(self, request: RetrievalRequest) -> None:
        """Take a request. Returns at once; the answer is sent when it is there."""
        try:
            self._hand_on(request)
        except Exception as error:
            self._send(failure(request, error))

    def _hand_on(self, request: RetrievalRequest) -> None:
        match request:
            case Index():
                self._indexing.start(request)
            case Cancel(target=target):
                self._indexing.cancel(target)
            case Pause():
                self._indexing.pause(True)
            case Resume():
                self._indexing.pause(False)
            case Warm():
                self._warm(request)
            case Search() | ScoreSupport():
                self._searches.put(request)
            case MakeMap():
                self._maps.put(request)
            case _:
                self._others.put(request)

    def _look_up(self, request: Request) -> Event:
        event = self._look_ups.answer(request)
        if isinstance(request, Forget):
            # Not before: a search that comes in between would open the index again.
            self._searches.put(request)
            self._maps.put(request)
        return event

    def _warm(self, request: Warm) -> None:
        def tell(future: "Future[Embedder]") -> None:
            if error := future.exception():
                self._send(failure(request, error))
                return
            embedder = future.result()
            self._send(
                Warmed(
                    request_id=request.id,
                    dimensions=embedder.dimensions,
                    device=embedder.device,
                )
            )

        self._embedders.get(request.options.embedding_model).add_done_callback(tell)


class LookUps:
    """What needs neither words nor vectors: lists, documents, and forgetting. For one thread."""

    def __init__(self, indexing: Indexing, make_reader: Callable[[], DocumentReader]) -> None:
        self._indexing = indexing
        self._make_reader = make_reader

    def answer(self, request: Request) -> Event:
        """Carry out a request.

        Raises:
            KnowledgeError: it cannot be.
        """
        match request:
            case ListDocuments(id=number, folder=folder):
                with _Open(folder) as index:
                    documents = reading.list_documents(index.connection)
                return Documents(request_id=number, documents=documents)
            case ListPassages(id=number, folder=folder, file=file):
                with _Open(folder) as index:
                    passages = reading.list_passages(index.connection, folder, file)
                return Passages(request_id=number, passages=passages)
            case ReadDocument(id=number, folder=folder, file=file):
                return DocumentRead(request_id=number, document=self._read(folder, file))
            case ReadFile(id=number, path=path):
                # Links are followed here: the user named this very file.
                place, name = os.path.split(os.path.realpath(path))
                return DocumentRead(request_id=number, document=self._text(Path(place), name))
            case Forget(id=number, folder=folder):
                return Forgotten(request_id=number, num_bytes=self._forget(Path(folder).resolve()))
        raise KnowledgeError("This program's two halves are of different versions; restart it.")

    def _read(self, folder: str, file: str) -> DocumentText:
        """A document as it is now, which may be another than was indexed."""
        with _Open(folder) as index:
            reading.require_file(index.connection, folder, file)
        place = Path(folder).resolve()
        path = Path(os.path.realpath(place / file))
        if not path.is_relative_to(place) or not path.is_file():
            raise KnowledgeError(f"{clean_line(file)} is not in the folder any more.")
        return self._text(place, file)

    def _text(self, folder: Path, file: str) -> DocumentText:
        reader = self._make_reader()
        try:
            document = reader.read(folder, file)
        finally:
            reader.close()
        return DocumentText(
            file=file, text=document.text, page_starts=document.page_starts, kind=document.kind
        )

    def _forget(self, folder: Path) -> int:
        place = index_dir(folder)
        lock = WriteLock(folder)
        is_ours = self._indexing.is_writing(folder)
        if is_ours:
            self._indexing.leave(folder)
        if not lock.acquire():
            raise KnowledgeError(
                f"Another running chatbot keeps the index of {clean_line(str(folder))}; close it "
                "and try again."
            )
        try:
            if not is_ours:  # it may wait for the lock that we have now
                self._indexing.leave(folder)
            num_bytes = folder_bytes(place)
            with explained(folder):
                if place.exists():
                    shutil.rmtree(place)
            return num_bytes
        finally:
            lock.release()


class _Open:
    """An index for the time of one look-up."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder).resolve()
        self._name = folder

    def __enter__(self) -> SearchedIndex:
        self._index = SearchedIndex(self._folder, self._name)
        return self._index

    def __exit__(self, *error: object) -> None:
        self._index.close()
