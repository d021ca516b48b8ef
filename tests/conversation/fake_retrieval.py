"""A retrieval in the test's own process: passages by hand, scores by hand, gates to wait at."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chatbot.errors import ChatbotError, KnowledgeError
from chatbot.messages import SourceScores
from chatbot.retrieval.client import RetrievalStatus
from chatbot.retrieval.protocol import Found, Warmed
from chatbot.retrieval.values import (
    DocumentInfo,
    DocumentText,
    FolderMap,
    FolderStatus,
    Hit,
    IndexOptions,
    Passage,
)

FOLDER = "/folder"


def hit(
    text: str,
    relevance: float = 0.9,
    *,
    file: str = "notes.md",
    folder: str = FOLDER,
    headings: Sequence[str] = (),
    start_line: int = 1,
    page: int | None = None,
    duplicate_of: int | None = None,
) -> Hit:
    """A passage that is found."""
    passage = Passage(
        folder=folder,
        file=file,
        headings=tuple(headings),
        start_line=start_line,
        end_line=start_line + text.count("\n"),
        page=page,
        start=0,
        end=len(text),
        text=text,
    )
    scores = SourceScores(
        lexical=relevance * 10, dense=relevance, fused=relevance / 2, relevance=relevance
    )
    return Hit(passage=passage, scores=scores, duplicate_of=duplicate_of)


class FakeRetrieval:
    """Finds what it is told to, and supports what it is told to."""

    def __init__(self, *hits: Hit) -> None:
        """Make a retrieval that finds ``hits`` whatever is asked."""
        self.status = RetrievalStatus()
        self.hits: Sequence[Hit] = hits
        self.hits_by_query: Mapping[str, Sequence[Hit]] = {}
        """What is found for these queries instead."""
        self.notice = ""
        self.error: ChatbotError | None = None
        """Raised by every verb that waits, while it is set."""
        self.support_error: ChatbotError | None = None
        self.supported_by: Callable[[str, str], float] = lambda sentence, passage: float(
            sentence.rstrip(".") in passage
        )
        """How well a passage supports a sentence."""
        self.gate: asyncio.Event | None = None
        """What a search waits for."""
        self.support_gate: asyncio.Event | None = None
        self.documents: dict[str, DocumentText] = {}
        """By file."""
        self.infos: tuple[DocumentInfo, ...] = ()
        self.read_files: list[str] = []
        """Paths of the files that were read."""
        self.file_gate: asyncio.Event | None = None
        """What the reading of a file waits for."""
        self.queries: list[str] = []
        self.rerankers: list[str] = []
        """That of each search; empty for none."""
        self.searched: list[tuple[str, ...]] = []
        """The folders of each search."""
        self.scored: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.indexed: list[tuple[tuple[str, ...], bool]] = []
        """Folders of each ``index``, and whether they were to be watched."""
        self.pauses: list[str] = []
        self.num_warmed = 0
        self.forgotten: list[str] = []
        self._watchers: list[Callable[[RetrievalStatus], None]] = []
        self._index_end = asyncio.Event()

    def on_status(self, watcher: Callable[[RetrievalStatus], None]) -> None:
        self._watchers.append(watcher)

    def report(self, *statuses: FolderStatus, error: str = "") -> None:
        """Let the status be this."""
        self.status = RetrievalStatus(folders=statuses, error=error)
        for watcher in self._watchers:
            watcher(self.status)

    async def index(
        self, folders: Sequence[str], options: IndexOptions, *, watch: bool
    ) -> tuple[FolderStatus, ...]:
        self._index_end.set()  # an earlier one is over
        self._index_end = asyncio.Event()
        self.indexed.append((tuple(folders), watch))
        self._raise()
        self.report(*(FolderStatus(folder=f, stage="ready", num_files=1) for f in folders))
        if watch:
            await self._index_end.wait()
        return self.status.folders

    def cancel_index(self) -> None:
        self._index_end.set()

    async def search(
        self,
        query: str,
        folders: Sequence[str],
        options: IndexOptions,
        *,
        num_hits: int = 10,
        reranker: str = "",
    ) -> Found:
        self.queries.append(query)
        self.rerankers.append(reranker)
        self.searched.append(tuple(folders))
        if self.gate:
            await self.gate.wait()
        self._raise()
        hits = tuple(self.hits_by_query.get(query, self.hits))[:num_hits]
        return Found(request_id=1, hits=hits, notice=self.notice, search_seconds=0.25)

    async def score_support(
        self, sentences: Sequence[str], passages: Sequence[str], options: IndexOptions
    ) -> tuple[tuple[float, ...], ...]:
        self.scored.append((tuple(sentences), tuple(passages)))
        if self.support_gate:
            await self.support_gate.wait()
        if self.support_error:
            raise self.support_error
        return tuple(tuple(self.supported_by(s, p) for p in passages) for s in sentences)

    async def list_documents(self, folder: str) -> tuple[DocumentInfo, ...]:
        self._raise()
        return self.infos

    async def list_passages(self, folder: str, file: str) -> tuple[Passage, ...]:
        self._raise()
        return tuple(h.passage for h in self.hits if h.passage.file == file)

    async def read_document(self, folder: str, file: str) -> DocumentText:
        self._raise()
        return self.documents[file]

    async def read_file(self, path: str) -> DocumentText:
        """The real file, as text; one that is called ``broken…`` cannot be read."""
        self._raise()
        self.read_files.append(path)
        if self.file_gate:
            await self.file_gate.wait()
        file = Path(path)
        if file.name.startswith("broken"):
            raise KnowledgeError("It is broken.")
        return DocumentText(file=file.name, text=file.read_text("utf-8"), kind="Text")

    async def make_map(self, folder: str, options: IndexOptions) -> FolderMap:
        self._raise()
        return FolderMap(points=(), clusters=())

    async def warm(self, options: IndexOptions) -> Warmed:
        self.num_warmed += 1
        self._raise()
        return Warmed(request_id=1, dimensions=3, device="cpu")

    async def forget(self, folder: str) -> int:
        self._raise()
        self.forgotten.append(folder)
        return 1000

    def pause(self) -> None:
        self.pauses.append("pause")

    def resume(self) -> None:
        self.pauses.append("resume")

    def _raise(self) -> None:
        if self.error:
            raise self.error
