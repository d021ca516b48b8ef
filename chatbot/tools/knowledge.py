"""Tools that look into the knowledge folders.

They run in this process, through whoever has the folders, and not in a tool process: the
index has one owner. What they return is text of documents, and never to be believed.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final, Protocol

from chatbot.errors import ToolError
from chatbot.messages import Source
from chatbot.terminal_text import clean, clean_line
from chatbot.tools.decorator import tool

MAX_RESULTS: Final = 10
MAX_DOCUMENT_LINES: Final = 200
"""Of a document, at once."""


class KnowledgeAccess(Protocol):
    """What the tools need of the knowledge folders.

    Each verb raises KnowledgeError or WorkerError, with a sentence, when it fails.
    """

    async def search(self, query: str, max_results: int) -> Sequence[Source]:
        """The passages that fit best, the best first."""
        ...

    async def read(self, file: str) -> str:
        """The text of an indexed document, by its path relative to one of the folders.

        Never of anything else: a path that leads out of the folders is not there.
        """
        ...


class KnowledgeTools:
    """The two tools."""

    def __init__(self, access: KnowledgeAccess) -> None:
        self._access = access

    @tool(reaches_network=False, writes=False)
    async def search_knowledge(self, query: str, max_results: int = 5) -> str:
        """Search the user's own documents and return the passages that fit best.

        Args:
            query: What to look for, in a few words or as a question.
            max_results: How many passages, 1 to 10.
        """
        if not query.strip():
            raise ToolError("Give a few words to search for.")
        if not 1 <= max_results <= MAX_RESULTS:
            raise ToolError(f"Ask for 1 to {MAX_RESULTS} results.")
        sources = await self._access.search(query.strip(), max_results)
        if not sources:
            return "Nothing in the documents fits."
        return "\n\n".join(
            f"{number}. {clean_line(source.title)} ({clean_line(source.location)})\n"
            f"{clean(source.text)}"
            for number, source in enumerate(sources[:max_results], 1)
        )

    @tool(reaches_network=False, writes=False)
    async def read_document(self, file: str, start_line: int = 1) -> str:
        """Read one of the user's own documents, up to 200 lines of it at once.

        Args:
            file: Its path inside the knowledge folder, as search_knowledge gives it.
            start_line: The line to begin with, from 1.
        """
        if start_line < 1:
            raise ToolError("Begin with line 1 or a later one.")
        lines = (await self._access.read(_inside(file))).splitlines()
        name = clean_line(file)
        if start_line > max(1, len(lines)):
            raise ToolError(f"{name} has only {len(lines)} lines.")
        part = lines[start_line - 1 : start_line - 1 + MAX_DOCUMENT_LINES]
        last = start_line - 1 + len(part)
        return f"{name}, lines {start_line} to {last} of {len(lines)}:\n{clean(chr(10).join(part))}"


def _inside(file: str) -> str:
    """The path, if by its letters alone it leads nowhere but down.

    Raises:
        ToolError: it does not. Whoever reads it checks again, where links are known.
    """
    path = PurePosixPath(file)
    is_odd = any(character in file for character in "\\\x00~:") or not file.strip()
    if is_odd or path.is_absolute() or ".." in path.parts:
        raise ToolError(
            "Only documents of the knowledge folders can be read: give a path as "
            "search_knowledge does."
        )
    return str(path)
