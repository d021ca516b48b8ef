"""What the folders hold, as values that travel between the processes. Imports nothing heavy."""

from typing import Final, Literal

import msgspec

from chatbot.messages import SourceScores
from chatbot.retrieval.documents.names import format_of
from chatbot.settings import DEFAULT_EMBEDDING_MODEL
from chatbot.terminal_text import clean_line

SUPPORT_THRESHOLD: Final = 0.5
"""Of ``SupportScored``: from here on a passage supports a sentence. Measured on SQuAD 2.0, where a
question and its answer made one statement: 97 of 100 reach it with the passage that they are
from, none with a passage of another article, 20 with another passage of the same one."""


class IndexOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a folder is indexed. An index that was made otherwise is made anew, never mixed."""

    embedding_model: str = DEFAULT_EMBEDDING_MODEL


_PAGES: Final = {
    **dict.fromkeys(("PowerPoint", "OpenDocument slides"), "slide"),
    **dict.fromkeys(("Excel", "OpenDocument spreadsheet"), "sheet"),
}
"""What users call a page, by what they call the format."""

Stage = Literal["waiting", "scanning", "reading", "embedding", "ready", "cancelled", "failed"]
"""What is being done to a folder. It can be searched by words from ``reading`` on, and by
meaning as far as it is embedded. ``waiting``: another running program is indexing it."""


class FolderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a folder's index is."""

    folder: str
    """Absolute path."""
    stage: Stage = "scanning"
    num_files: int = 0
    """All of them, those that cannot be read too."""
    num_files_done: int = 0
    num_passages: int = 0
    num_embedded: int = 0
    num_problems: int = 0
    """Files that are not in the index, each for a reason that ``ListDocuments`` gives."""
    num_ignored: int = 0
    """Files and folders that ``.chatbotignore`` or a ``.gitignore`` leaves out; what is in such a
    folder is not counted."""
    seconds_left: float | None = None
    """Until this stage is over; None while it is not known."""
    error: str = ""
    """When failed: one sentence for the user."""
    notice: str = ""
    """One sentence on something the user should know though it works: an index that was damaged
    and is made anew, a folder that has to be looked through because it cannot be watched."""
    num_bytes: int = 0
    """Size of the index on the disk."""


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a document, short enough to be embedded whole."""

    folder: str
    """Absolute path."""
    file: str
    """Relative to the folder, with ``/``."""
    headings: tuple[str, ...] = ()
    """The headings above it, the outermost first; cleaned, each one line."""
    start_line: int
    """First line, from 1; of a spreadsheet the row in its sheet."""
    end_line: int
    """Last line, included."""
    page: int | None = None
    """From 1, where the document has pages, slides or sheets: the one that it begins on."""
    start: int
    """Characters of the document's text before it, as the document was decoded."""
    end: int
    text: str
    """Cleaned for the terminal, so that it may be shorter than ``end - start``."""

    @property
    def heading_path(self) -> str:
        """The headings in one line, joined by `` › ``; empty where there are none."""
        return clean_line(" › ".join(self.headings))


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that was found."""

    passage: Passage
    scores: SourceScores
    duplicate_of: int | None = None
    """Index, among the hits, of a better one that says the same."""


class DocumentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a folder."""

    file: str
    """Relative to the folder, with ``/``; cleaned."""
    num_bytes: int
    kind: str = ""
    """Of its format: ``Markdown``, ``PDF``; empty where it has a problem."""
    title: str = ""
    num_pages: int | None = None
    num_characters: int = 0
    num_passages: int = 0
    num_embedded: int = 0
    problem: str = ""
    """Why it is not in the index, in one sentence; else empty."""


class DocumentText(msgspec.Struct, frozen=True, kw_only=True):
    """A whole document as text, as its passages' offsets count it. Not cleaned yet: whoever
    shows it cleans what is before, in and after the part that is to be marked."""

    file: str
    text: str
    page_starts: tuple[int, ...] = ()
    """Offset of each page's first character, where there are pages."""
    kind: str = ""
    """The format, as users call it: ``Markdown``, ``PDF``, ``Python``."""


class MapPoint(msgspec.Struct, frozen=True):
    """A passage on the map of a folder."""

    x: float
    """0 to 1."""
    y: float
    """0 to 1."""
    cluster: int
    """Index of the cluster; -1 for none."""
    file: str
    start: int
    """Offset of the passage in the file: with the file it says which one it is."""


class MapCluster(msgspec.Struct, frozen=True):
    """Passages about one thing."""

    keywords: tuple[str, ...]
    num_passages: int
    x: float
    """Middle, 0 to 1."""
    y: float


class FolderMap(msgspec.Struct, frozen=True):
    """A folder's passages, near where they mean the like."""

    points: tuple[MapPoint, ...]
    clusters: tuple[MapCluster, ...]


def page_word(file: str) -> str:
    """What a page of a file is called: ``page``, ``slide``, ``sheet``."""
    return _PAGES.get(format_of(file)[1], "page")


def place_in(file: str, start_line: int, end_line: int, page: int | None = None) -> str:
    """Where a stretch of a file is: ``line 3``, ``lines 3 to 9``, ``page 3``, ``slide 3``,
    ``sheet 2, rows 3 to 9``.
    """
    word = page_word(file)
    if page is not None and word != "sheet":
        return f"{word} {page}"
    sheet, unit = ("", "line") if page is None else (f"{word} {page}, ", "row")
    if start_line == end_line:
        return f"{sheet}{unit} {start_line}"
    return f"{sheet}{unit}s {start_line} to {end_line}"
