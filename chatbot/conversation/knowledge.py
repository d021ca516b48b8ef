"""The folders that a conversation draws on: which they are, and what they say about a question.

Turns what retrieval finds into the sources of an answer. Knows neither the language model nor
a screen.
"""

from collections.abc import Callable
from pathlib import Path

from chatbot.messages import Source, SourcesPart
from chatbot.retrieval.client import Retrieval
from chatbot.retrieval.values import DocumentText
from chatbot.settings import KnowledgeFolder, Settings


class Knowledge:
    """The folders in force, and the verbs on them."""

    def __init__(self, retrieval: Retrieval, settings: Callable[[], Settings]) -> None:
        """Prepare; nothing is started.

        Args:
            retrieval: indexes and searches.
            settings: gives the settings as they are at the moment of asking.
        """
        self.retrieval = retrieval
        self._settings = settings

    @property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths of the folders that are on and there."""
        raise NotImplementedError

    def path_of(self, folder: KnowledgeFolder) -> Path:
        """Where a folder is: ``~`` and ``manual`` resolved."""
        raise NotImplementedError

    @property
    def is_strict(self) -> bool:
        """Whether the program declines when nothing is relevant; see ``Grounding``."""
        raise NotImplementedError

    async def keep_up(self) -> None:
        """Index the folders that are on and keep them up to date; returns when others are set."""
        raise NotImplementedError

    async def find(self, question: str, earlier: str = "") -> SourcesPart:
        """The sources for a question.

        Args:
            question: what is asked.
            earlier: the question before it, for one that only makes sense after it.

        Raises:
            KnowledgeError: the search failed.
            WorkerError: the retrieval process died.
        """
        raise NotImplementedError

    async def support(self, answer: str, found: SourcesPart) -> SourcesPart:
        """``found`` with each sentence of the answer held against its sources.

        Raises:
            KnowledgeError: it failed.
            WorkerError: the retrieval process died.
        """
        raise NotImplementedError

    async def open_source(self, source: Source) -> DocumentText:
        """The document that a source is from.

        Raises:
            KnowledgeError: it is not there any more, or cannot be read.
        """
        raise NotImplementedError
