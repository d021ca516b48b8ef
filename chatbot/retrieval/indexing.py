"""The thread that carries out Index requests, the newest one always. Imports no torch."""

import threading
from collections.abc import Callable
from pathlib import Path

from chatbot.retrieval.embedders import Embedders
from chatbot.retrieval.index.background import make_executor
from chatbot.retrieval.index.control import Control
from chatbot.retrieval.index.job import IndexJob
from chatbot.retrieval.index.reading_ahead import DocumentReader
from chatbot.retrieval.lanes import Send, failure
from chatbot.retrieval.protocol import Index, Indexed, Progress
from chatbot.retrieval.values import FolderStatus


class Indexing:
    """Runs one job at a time; another takes its place. Safe from any thread."""

    def __init__(
        self, send: Send, embedders: Embedders, make_reader: Callable[[], DocumentReader]
    ) -> None:
        self._send = send
        self._embedders = embedders
        self._make_reader = make_reader
        self._executor = make_executor()
        self._changed = threading.Condition()
        self._waiting: list[tuple[Index, Control, IndexJob]] = []
        self._running: tuple[Index, Control, IndexJob] | None = None
        self._is_paused = False
        threading.Thread(target=self._run, name="indexing", daemon=True).start()

    def start(self, request: Index) -> None:
        """Carry this out, in place of what runs."""
        control = Control()
        job = IndexJob(
            request.folders,
            request.options.embedding_model,
            is_watching=request.watch,
            embedders=self._embedders,
            executor=self._executor,
            make_reader=self._make_reader,
            control=control,
            report=lambda status: self._report(request, status),
        )
        with self._changed:
            control.pause(self._is_paused)
            earlier = self._all()
            self._waiting.append((request, control, job))
            self._changed.notify()
        for _, _, replaced in earlier:
            replaced.cancel()

    def cancel(self, target: int) -> None:
        """End the job of the request with this id, if it runs or waits."""
        with self._changed:
            found = [job for request, _, job in self._all() if request.id == target]
        for job in found:
            job.cancel()

    def pause(self, is_paused: bool) -> None:
        """Embed nothing for now, or go on."""
        with self._changed:
            self._is_paused = is_paused
            controls = [control for _, control, _ in self._all()]
        for control in controls:
            control.pause(is_paused)

    def is_writing(self, folder: Path) -> bool:
        """Whether the index of a folder is open for writing here, and not in another program."""
        with self._changed:
            return any(job.is_writing(folder) for _, _, job in self._all())

    def leave(self, folder: Path) -> None:
        """Let go of a folder's index."""
        with self._changed:
            jobs = [job for _, _, job in self._all()]
        for job in jobs:
            job.leave(folder)

    def _all(self) -> list[tuple[Index, Control, IndexJob]]:
        return [*([self._running] if self._running else ()), *self._waiting]

    def _run(self) -> None:
        while True:
            with self._changed:
                self._running = None
                self._changed.wait_for(lambda: self._waiting)
                self._running = self._waiting.pop(0)
            request, _, job = self._running
            try:
                statuses = job.run()
            except BaseException as error:  # as in a ``Lane``
                self._send(failure(request, error))
            else:
                self._send(Indexed(request_id=request.id, statuses=statuses))

    def _report(self, request: Index, status: FolderStatus) -> None:
        self._send(Progress(request_id=request.id, status=status))
