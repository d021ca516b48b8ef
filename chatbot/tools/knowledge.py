"""Tools that look into the knowledge folders. They run in this process, through whoever has
the folders; what they read is data and never trusted.
"""

from collections.abc import Sequence
from typing import Protocol

from chatbot.messages import Source


class KnowledgeAccess(Protocol):
    """What the tools need of the knowledge folders.

    Each verb raises KnowledgeError or WorkerError, with a sentence, when it fails.
    """

    async def search(self, query: str) -> Sequence[Source]:
        """The passages that fit best, the best first."""
        ...

    async def read(self, file: str) -> str:
        """The text of a document of the folders, by the path that ``search`` gives."""
        ...
