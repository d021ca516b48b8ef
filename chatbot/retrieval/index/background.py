"""Embeds in the background what waits for it, block by block.

The model computes in a thread of its own, so that the thread that keeps the indexes can go
on with changes, store the block before, and stop at once. Imports no torch itself.
"""

import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from chatbot.errors import KnowledgeError
from chatbot.retrieval.cutting import text_to_embed
from chatbot.retrieval.embedders import Embedders
from chatbot.retrieval.embedding import EmbeddedBlock, Embedder
from chatbot.retrieval.index.control import Control
from chatbot.retrieval.index.keeping import FolderKeeper
from chatbot.retrieval.index.preparing import decode_headings

_TEXTS_AT_ONCE: Final = 8192
"""Are in memory, and sorted by length, which is what saves padding."""


def make_executor() -> ThreadPoolExecutor:
    """The thread that embeds. One serves a whole process.

    At the usual priority: at a low one, anything else that runs on the machine leaves it next to
    nothing, and it is paused anyway while an answer is written.
    """
    return ThreadPoolExecutor(1, "embedding")


class BackgroundEmbedding:
    """Embeds the folders' passages, one folder after the other. For one thread."""

    def __init__(self, embedders: Embedders, executor: ThreadPoolExecutor, control: Control):
        self._embedders = embedders
        self._executor = executor
        self._control = control
        self._loading: Future[Embedder] | None = None
        self._keeper: FolderKeeper | None = None
        self._hashes: list[bytes] = []
        self._lengths: list[int] = []
        self._blocks: Iterator[EmbeddedBlock] | None = None
        self._num_taken = 0
        self._running: Future[EmbeddedBlock | None] | None = None

    def step(self, keepers: Sequence[FolderKeeper]) -> bool:
        """Store what is ready and set the next block going.

        Returns:
            Whether there is more to do at once.
        """
        if self._running is not None:
            if not self._running.done():
                return False
            return self._take(self._running)
        if self._control.is_paused:
            self._stop_pace()
            return False
        if self._blocks is None and not self._begin(keepers):
            return False
        self._submit()
        return False

    def forget(self, keeper: FolderKeeper) -> None:
        """The folder is let go of: what is on its way for it is dropped."""
        if keeper is self._keeper:
            self._keeper = self._blocks = self._running = None

    def _begin(self, keepers: Sequence[FolderKeeper]) -> bool:
        """Choose what to embed next.

        Returns:
            Whether there is something, and a model to do it with.
        """
        keeper = next((k for k in keepers if k.wants_vectors), None)
        if keeper is None:
            return False
        embedder = self._model(keeper)
        # Reading has the processors to itself; on a GPU both go on together.
        if embedder is None or (embedder.device == "cpu" and any(k.is_reading for k in keepers)):
            return False
        keeper.expect_dimensions(embedder.dimensions)
        texts: dict[bytes, str] = {}
        for digest, headings, title, text in keeper.texts_to_embed(_TEXTS_AT_ONCE):
            texts[digest] = text_to_embed(decode_headings(headings), title, text)
        if not texts:
            return False
        self._keeper = keeper
        self._hashes = list(texts)
        self._lengths = [len(text) for text in texts.values()]
        self._blocks = embedder.encode_blocks(list(texts.values()))
        self._num_taken = 0
        keeper.go_on()
        return True

    def _model(self, keeper: FolderKeeper) -> Embedder | None:
        """The model, once it is loaded."""
        loading = self._embedders.get(keeper.reference)
        if not loading.done():
            if loading is not self._loading:
                self._loading = loading
                loading.add_done_callback(lambda _: self._control.wake())
            return None
        try:
            return loading.result()
        except KnowledgeError as error:
            keeper.fail_embedding(str(error))
            return None

    def _submit(self) -> None:
        blocks = self._blocks
        assert blocks is not None
        self._running = self._executor.submit(lambda: next(blocks, None))
        self._running.add_done_callback(lambda _: self._control.wake())

    def _take(self, done: "Future[EmbeddedBlock | None]") -> bool:
        """Store a block, while the next one is being computed."""
        keeper, hashes, lengths = self._keeper, self._hashes, self._lengths
        self._running = None
        try:
            block = done.result()
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self._blocks = None
            if keeper:
                keeper.fail_embedding(_reason(error))
            return True
        if block is None or keeper is None:
            self._blocks = None
            if keeper and not self._num_taken:  # else the same texts would be tried for ever
                keeper.fail_embedding("The embedding model gives nothing; name another one.")
            return True
        self._num_taken += len(block.indices)
        if not self._control.is_paused:
            self._submit()
        indices = block.indices.tolist()
        try:
            keeper.put_vectors(
                [hashes[index] for index in indices],
                block.vectors,
                sum(lengths[index] for index in indices),
            )
        except KnowledgeError as error:
            self._blocks = self._running = None
            keeper.fail(str(error))
        return True

    def _stop_pace(self) -> None:
        if self._keeper:
            self._keeper.pause()


def _reason(error: Exception) -> str:
    if isinstance(error, KnowledgeError):
        return str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "There is too little memory to embed; close something or name a smaller model."
    return "The embedding model failed; name another one, or see the log for the reason."
