"""The embedding models in use: loaded once, in a thread of their own, for whoever asks.

Loading imports torch and takes seconds, so nobody has to wait for it who does not want to.
Knows nothing of indexes.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from chatbot.errors import KnowledgeError
from chatbot.retrieval.embedding import Embedder

RETRY_SECONDS: Final = 30.0
"""How long a model that could not be loaded is not tried again: a hub out of reach costs seconds
at each try."""

LoadEmbedder = Callable[[str], Embedder]


class Embedders:
    """Holds the model that was asked for last; another takes its place. Safe from any thread."""

    def __init__(self, load: LoadEmbedder = Embedder) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._reference = ""
        self._future: Future[Embedder] | None = None
        self._failed_at = 0.0

    def get(self, reference: str) -> "Future[Embedder]":
        """The model, loaded or on its way; the future fails with a KnowledgeError."""
        with self._lock:
            future = self._future
            has_failed = bool(future and future.done() and future.exception())
            is_stale = has_failed and time.monotonic() - self._failed_at > RETRY_SECONDS
            if future is not None and self._reference == reference and not is_stale:
                return future
            future = Future()
            self._reference, self._future = reference, future
            threading.Thread(
                target=self._fill, args=(future, reference), name="loading", daemon=True
            ).start()
            return future

    def _fill(self, future: "Future[Embedder]", reference: str) -> None:
        try:
            embedder = self._load(reference)
        except KnowledgeError as error:
            self._failed_at = time.monotonic()
            future.set_exception(error)
        except BaseException as error:  # as in a ``Lane``
            traceback.print_exc(file=sys.stderr)
            self._failed_at = time.monotonic()
            future.set_exception(
                KnowledgeError(
                    f"The embedding model {reference} cannot be loaded "
                    f"({type(error).__name__}); name another one, or see the log."
                )
            )
        else:
            future.set_result(embedder)
