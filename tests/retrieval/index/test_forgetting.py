"""A forgotten index gives its space back: nothing of this process keeps the files."""

import os
import queue
import time
from pathlib import Path

import pytest

import chatbot.retrieval.answering as answering
from chatbot.paths import index_dir
from chatbot.retrieval.embedders import Embedders
from chatbot.retrieval.protocol import Forget, Index, MakeMap, RetrievalRequest, Search
from chatbot.retrieval.server import Server
from chatbot.worker.protocol import Event, Failed
from tests.retrieval.index.child import FakeEmbedder
from tests.retrieval.index.helpers import OPTIONS, index_once


def ask(server: Server, events: "queue.Queue[Event]", request: RetrievalRequest) -> Event:
    server.accept(request)
    while True:
        event = events.get(timeout=20)
        if event.request_id == request.id and event.is_last:
            return event


def open_files(place: Path) -> list[str]:
    """What this process has open or mapped of an index, be it deleted or not."""
    links = [entry.path for entry in os.scandir("/proc/self/fd")]
    opened = [os.readlink(link) for link in links if os.path.islink(link)]
    mapped = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in (*opened, *mapped) if str(place) in line]


def test_all_lanes_let_go_of_a_forgotten_index(folder: Path) -> None:
    events: queue.Queue[Event] = queue.Queue()
    server = Server(events.put, load_embedder=FakeEmbedder)  # type: ignore[arg-type]
    name, place = str(folder), index_dir(folder)
    names = (name, f"{folder}/../{folder.name}")
    ask(server, events, Index(id=1, folders=(name,), options=OPTIONS))
    for number, called in enumerate(names):
        search = Search(id=10 + number, query="anchor", folders=(called,), options=OPTIONS)
        assert not isinstance(ask(server, events, search), Failed)
        drawn = MakeMap(id=20 + number, folder=called, options=OPTIONS)
        assert not isinstance(ask(server, events, drawn), Failed)
    assert open_files(place)
    assert not isinstance(ask(server, events, Forget(id=2, folder=name)), Failed)
    # Each lane has forgotten by the time it answers what comes after.
    elsewhere = str(folder / "sub0")
    ask(server, events, Search(id=30, query="anchor", folders=(elsewhere,), options=OPTIONS))
    ask(server, events, MakeMap(id=31, folder=elsewhere, options=OPTIONS))
    assert open_files(place) == []
    assert events.empty()


async def test_maps_close_what_is_not_used_any_more(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index_once(folder, tmp_path)
    await index_once(folder / "sub0", tmp_path)
    drawing = answering.Searching(Embedders(FakeEmbedder))  # type: ignore[arg-type]
    drawing.answer(MakeMap(id=1, folder=str(folder), options=OPTIONS))
    assert open_files(index_dir(folder))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 601)
    drawing.answer(MakeMap(id=2, folder=str(folder / "sub0"), options=OPTIONS))
    assert open_files(index_dir(folder)) == []
