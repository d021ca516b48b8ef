"""A retrieval process without a model or an index: speaks the real protocol, counts words.

Started by tests in place of ``python -m chatbot.retrieval``. Each paragraph of a ``.md`` or
``.txt`` file is a passage, and its relevance to a query is the share of the query's words
(of four letters or more) that it holds, a quarter of that where it holds a single one. The
environment is its script: ``SCRIPT_SEARCH_SECONDS`` is how long a search takes,
``SCRIPT_INDEX_SECONDS`` how long each file does (else nothing is told of files),
``SCRIPT_NOTICE`` what every search remarks. A search for ``kill retrieval`` kills the process.
Files called ``broken…`` have a problem, and one called ``slow…`` takes long to be read. The index
of a folder with one called ``full…`` fails.
"""

import os
import queue
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from chatbot.messages import SourceScores
from chatbot.retrieval.protocol import (
    Cancel,
    DocumentRead,
    Documents,
    Forget,
    Forgotten,
    Found,
    Index,
    Indexed,
    ListDocuments,
    ListPassages,
    MakeMap,
    MapMade,
    Passages,
    Pause,
    Progress,
    ReadDocument,
    ReadFile,
    Resume,
    RetrievalRequest,
    ScoreSupport,
    Search,
    SupportScored,
    Warm,
    Warmed,
)
from chatbot.retrieval.values import (
    DocumentInfo,
    DocumentText,
    FolderMap,
    FolderStatus,
    Hit,
    Passage,
)
from chatbot.worker.protocol import Failed
from chatbot.worker.server import Channel

SEARCH_SECONDS = float(os.environ.get("SCRIPT_SEARCH_SECONDS", "0"))
INDEX_SECONDS = float(os.environ.get("SCRIPT_INDEX_SECONDS", "0"))
NOTICE = os.environ.get("SCRIPT_NOTICE", "")


def files_of(folder: str) -> list[Path]:
    return sorted(f for f in Path(folder).rglob("*") if f.suffix in (".md", ".txt"))


def passages_of(folder: str, file: Path) -> Iterator[Passage]:
    text = file.read_text("utf-8")
    headings: tuple[str, ...] = ()
    for match in re.finditer(r"\S(?:.|\n(?!\s*\n))*", text):
        piece = match[0].rstrip()
        if piece.startswith("#") and "\n" not in piece:
            headings = (piece.lstrip("# "),)
            continue
        line = text.count("\n", 0, match.start()) + 1
        yield Passage(
            folder=folder,
            file=file.relative_to(folder).as_posix(),
            headings=headings,
            start_line=line,
            end_line=line + piece.count("\n"),
            start=match.start(),
            end=match.start() + len(piece),
            text=piece,
        )


def words_of(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 3}


def share_of(wanted: str, text: str) -> float:
    """The share of the words of ``wanted`` that ``text`` holds; chance hits count less."""
    found = words_of(wanted) & words_of(text)
    return len(found) / max(len(words_of(wanted)), 1) / (1 if len(found) > 1 else 4)


def search(request: Search) -> list[Hit]:
    hits = []
    for folder in request.folders:
        for file in files_of(folder):
            for passage in passages_of(folder, file):
                if share := share_of(request.query, passage.text):
                    scores = SourceScores(
                        lexical=10 * share, dense=share, fused=share / 2, relevance=share
                    )
                    hits.append(Hit(passage=passage, scores=scores))
    hits.sort(key=lambda hit: -hit.scores.relevance)
    seen: dict[str, int] = {}
    for index, hit in enumerate(hits):
        first = seen.setdefault(hit.passage.text, index)
        if first != index:
            hits[index] = Hit(passage=hit.passage, scores=hit.scores, duplicate_of=first)
    return hits[: request.num_hits]


def status_of(folder: str, stage: str, num_done: int) -> FolderStatus:
    files = files_of(folder)
    broken = [f for f in files if f.name.startswith("broken")]
    num_passages = sum(1 for f in files for _ in passages_of(folder, f) if f not in broken)
    fails = stage == "ready" and any(f.name.startswith("full") for f in files)
    return FolderStatus(
        folder=folder,
        error="The disk is full." if fails else "",
        stage="failed" if fails else stage,  # type: ignore[arg-type]
        num_files=len(files),
        num_files_done=num_done,
        num_passages=num_passages,
        num_embedded=num_passages,
        num_problems=len(broken),
        seconds_left=1.0,
        num_bytes=1000,
    )


class Script:
    def __init__(self) -> None:
        self.channel: Channel[RetrievalRequest] = Channel(RetrievalRequest)
        self.inbox: queue.Queue[RetrievalRequest] = queue.Queue()
        self.cancelled: set[int] = set()
        self.watching: Index | None = None

    def run(self) -> None:
        threading.Thread(target=self.read, daemon=True).start()
        while True:
            request = self.inbox.get()
            try:
                self.answer(request)
            except OSError as error:
                self.channel.send(
                    Failed(request_id=request.id, message=str(error), kind="KnowledgeError")
                )

    def read(self) -> None:
        for request in self.channel.requests():
            if isinstance(request, Cancel):
                self.cancelled.add(request.target)
            self.inbox.put(request)
        os._exit(0)

    def index(self, request: Index) -> None:
        if self.watching:
            self.end(self.watching, "ready")
        self.watching = None
        for folder in request.folders:
            for number, _ in enumerate(files_of(folder) if INDEX_SECONDS else ()):
                self.channel.send(
                    Progress(request_id=request.id, status=status_of(folder, "reading", number))
                )
                time.sleep(INDEX_SECONDS)
                if request.id in self.cancelled:
                    self.end(request, "cancelled")
                    return
            status = status_of(folder, "ready", len(files_of(folder)))
            self.channel.send(Progress(request_id=request.id, status=status))
        if request.watch:
            self.watching = request
        else:
            self.end(request, "ready")

    def end(self, request: Index, stage: str) -> None:
        statuses = tuple(status_of(f, stage, len(files_of(f))) for f in request.folders)
        self.channel.send(Indexed(request_id=request.id, statuses=statuses))

    def answer(self, request: RetrievalRequest) -> None:
        send, key = self.channel.send, request.id
        match request:
            case Index():
                self.index(request)
            case Cancel(target=target):
                if self.watching and self.watching.id == target:
                    self.end(self.watching, "cancelled")
                    self.watching = None
            case Search(query="kill retrieval"):
                os.kill(os.getpid(), signal.SIGKILL)
            case Search():
                time.sleep(SEARCH_SECONDS)
                send(Found(request_id=key, hits=tuple(search(request)), notice=NOTICE))
            case ScoreSupport(sentences=sentences, passages=passages):
                scores = tuple(
                    tuple(
                        len(words_of(s) & words_of(p)) / max(len(words_of(s)), 1) for p in passages
                    )
                    for s in sentences
                )
                send(SupportScored(request_id=key, scores=scores))
            case ListDocuments(folder=folder):
                infos = tuple(
                    DocumentInfo(
                        file=f.relative_to(folder).as_posix(),
                        num_bytes=f.stat().st_size,
                        problem="It is broken." if f.name.startswith("broken") else "",
                    )
                    for f in files_of(folder)
                )
                send(Documents(request_id=key, documents=infos))
            case ListPassages(folder=folder, file=file):
                found = tuple(passages_of(folder, Path(folder, file)))
                send(Passages(request_id=key, passages=found))
            case ReadDocument(folder=folder, file=file):
                document = DocumentText(file=file, text=Path(folder, file).read_text("utf-8"))
                send(DocumentRead(request_id=key, document=document))
            case ReadFile(path=path):
                file = Path(path)
                if file.name.startswith("slow"):
                    time.sleep(20)
                if file.name.startswith("broken"):
                    send(Failed(request_id=key, message="It is broken."))
                else:
                    text = file.read_text("utf-8")
                    document = DocumentText(file=file.name, text=text, kind="Text")
                    send(DocumentRead(request_id=key, document=document))
            case MakeMap():
                send(MapMade(request_id=key, map=FolderMap(points=(), clusters=())))
            case Warm():
                send(Warmed(request_id=key, dimensions=3, device="cpu"))
            case Forget():
                num_bytes = 0 if "unindexed" in request.folder else 2_000_000
                send(Forgotten(request_id=key, num_bytes=num_bytes))
            case Pause() | Resume():
                print(type(request).__name__, file=sys.stderr, flush=True)


if __name__ == "__main__":
    Script().run()
