"""What the retrieval process can be asked, and what it answers. Imports no torch.

``Index`` runs in the background; searches and the other requests are answered while it does.
``Cancel``, ``Pause`` and ``Resume`` have no answer of their own.
"""

from typing import ClassVar

from chatbot.retrieval.values import (
    DocumentInfo,
    DocumentText,
    FolderMap,
    FolderStatus,
    Hit,
    IndexOptions,
    Passage,
)
from chatbot.worker.protocol import Event, Failed, Request


class Index(Request, frozen=True, kw_only=True):
    """Bring the indexes of these folders up to date, and with ``watch`` keep them so.

    Takes the place of an earlier Index request, whose work it goes on with. Answered by
    Progress, and then by Indexed: at once where nothing changed, and with ``watch`` only when
    it is cancelled or another Index takes its place.
    """

    folders: tuple[str, ...]
    """Absolute paths."""
    options: IndexOptions = IndexOptions()
    watch: bool = False


class Search(Request, frozen=True, kw_only=True):
    """The passages that fit a query best. Answered by Found."""

    query: str
    folders: tuple[str, ...]
    """Absolute paths; what is indexed of them is searched, be it not all yet."""
    options: IndexOptions = IndexOptions()
    num_hits: int = 10
    reranker: str = ""
    """A cross-encoder by hub id or folder; empty for none."""


class ScoreSupport(Request, frozen=True, kw_only=True):
    """How well each passage supports each sentence. Answered by SupportScored."""

    sentences: tuple[str, ...]
    passages: tuple[str, ...]
    options: IndexOptions = IndexOptions()


class ListDocuments(Request, frozen=True, kw_only=True):
    """The files of a folder, those with problems too. Answered by Documents."""

    folder: str


class ListPassages(Request, frozen=True, kw_only=True):
    """The passages of one file, in order. Answered by Passages."""

    folder: str
    file: str


class ReadDocument(Request, frozen=True, kw_only=True):
    """The text of one indexed file, read anew. Answered by DocumentRead."""

    folder: str
    file: str


class ReadFile(Request, frozen=True, kw_only=True):
    """The text of any file that the user named, in a folder or not. Answered by DocumentRead."""

    path: str
    """Absolute; a link is followed."""


class MakeMap(Request, frozen=True, kw_only=True):
    """The folder's passages in two dimensions. Answered by MapMade."""

    folder: str
    options: IndexOptions = IndexOptions()


class Warm(Request, frozen=True, kw_only=True):
    """Load the embedding model now, so that the first search need not. Answered by Warmed."""

    options: IndexOptions = IndexOptions()


class Forget(Request, frozen=True, kw_only=True):
    """Delete the index of a folder; the folder stays as it is. Answered by Forgotten."""

    folder: str


class Cancel(Request, frozen=True, kw_only=True):
    """End the Index request with this id; what is indexed stays."""

    target: int


class Pause(Request, frozen=True, kw_only=True):
    """Embed nothing in the background until Resume: the processor is wanted elsewhere."""


class Resume(Request, frozen=True, kw_only=True):
    """Go on in the background."""


class Progress(Event, frozen=True, kw_only=True):
    """How far one folder is; comes a few times a second while something happens."""

    status: FolderStatus


class Indexed(Event, frozen=True, kw_only=True):
    """The work is done, or was ended; the statuses say how each folder stands."""

    is_last: ClassVar[bool] = True

    statuses: tuple[FolderStatus, ...]


class Found(Event, frozen=True, kw_only=True):
    """The hits, best first, near-duplicates among them."""

    is_last: ClassVar[bool] = True

    hits: tuple[Hit, ...]
    notice: str = ""
    """One sentence where the search was not what it should be: only by words, say, because the
    embedding model cannot be loaded."""
    embedding_seconds: float = 0.0
    """For the query's embedding, a wait for the model included."""
    search_seconds: float = 0.0
    """For everything else."""


class SupportScored(Event, frozen=True, kw_only=True):
    """For each sentence, for each passage: 0 to 1."""

    is_last: ClassVar[bool] = True

    scores: tuple[tuple[float, ...], ...]


class Documents(Event, frozen=True, kw_only=True):
    """The files of a folder, by path."""

    is_last: ClassVar[bool] = True

    documents: tuple[DocumentInfo, ...]


class Passages(Event, frozen=True, kw_only=True):
    """The passages of a file."""

    is_last: ClassVar[bool] = True

    passages: tuple[Passage, ...]


class DocumentRead(Event, frozen=True, kw_only=True):
    """A document's text."""

    is_last: ClassVar[bool] = True

    document: DocumentText


class MapMade(Event, frozen=True, kw_only=True):
    """A folder's map."""

    is_last: ClassVar[bool] = True

    map: FolderMap


class Warmed(Event, frozen=True, kw_only=True):
    """The embedding model is ready."""

    is_last: ClassVar[bool] = True

    dimensions: int
    device: str


class Forgotten(Event, frozen=True, kw_only=True):
    """The index is gone."""

    is_last: ClassVar[bool] = True

    num_bytes: int
    """What was freed on the disk."""


RetrievalRequest = (
    Index
    | Search
    | ScoreSupport
    | ListDocuments
    | ListPassages
    | ReadDocument
    | ReadFile
    | MakeMap
    | Warm
    | Forget
    | Cancel
    | Pause
    | Resume
)
RetrievalEvent = (
    Progress
    | Indexed
    | Found
    | SupportScored
    | Documents
    | Passages
    | DocumentRead
    | MapMade
    | Warmed
    | Forgotten
    | Failed
)
