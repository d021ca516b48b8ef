"""Cuts, embeds and indexes a collection once, in each of the ways that are compared."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chatbot.retrieval import ranking
from chatbot.retrieval.benchmark.collections import Collection
from chatbot.retrieval.benchmark.memory_folder import MemoryFolder
from chatbot.retrieval.cutting import TARGET_TOKENS, cut, text_to_embed
from chatbot.retrieval.documents.document import Document
from chatbot.retrieval.embedding import Embedder, load_tokenizer, read_max_tokens
from chatbot.retrieval.token_counting import TokenCounter
from chatbot.retrieval.values import Hit, Passage

Say = Callable[[str], None]
"""Tells the user what is being done."""

_DEPTH: Final = 100
"""Passages that are looked at for the first ten documents."""


class Harness:
    """An embedding model, and what was embedded with it already.

    Args:
        reference: of the model.
        scratch: a folder for word indexes.
        say: told what is being done.
    """

    def __init__(self, reference: str, scratch: Path, say: Say) -> None:
        self.embedder = Embedder(reference)
        self.counter = TokenCounter(load_tokenizer(reference))
        self.max_tokens = read_max_tokens(reference)
        self.say = say
        self._scratch = scratch
        self._num_folders = 0
        self._known: dict[str, NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of passages, float32 [n, d]; the same text is embedded once."""
        keys = [text.strip() for text in texts]
        new = [key for key in dict.fromkeys(keys) if key not in self._known]
        num_done = 0
        for block in self.embedder.encode_blocks(new):
            for index, vector in zip(block.indices.tolist(), block.vectors, strict=True):
                self._known[new[index]] = vector
            num_done += len(block.indices)
            self.say(f"embedded {num_done:,} of {len(new):,} texts")
        if not keys:
            return np.empty((0, self.embedder.dimensions), np.float32)
        return np.stack([self._known[key] for key in keys])

    def index_passages(self, documents: dict[str, Document]) -> MemoryFolder:
        """As the program does it."""
        passages: list[Passage] = []
        texts: list[str] = []
        for file, document in documents.items():
            for piece in cut(document, self.counter, max_tokens=self.max_tokens):
                text = document.text[piece.start : piece.end]
                passages.append(make_passage(file, piece.start, piece.end, text, piece.headings))
                texts.append(text_to_embed(piece.headings, document.title, text))
        return self._index(passages, texts)

    def index_fixed(self, documents: dict[str, Document]) -> MemoryFolder:
        """Every so many tokens, wherever that falls: what a plain splitter does."""
        passages: list[Passage] = []
        for file, document in documents.items():
            tokens = self.counter.index(document.text)
            starts = tokens.starts.tolist()
            before = tokens.before(starts).tolist() if starts else []
            cuts = [0]
            first = 0
            for start, count in zip(starts, before, strict=True):
                if count - first >= TARGET_TOKENS:
                    cuts.append(start)
                    first = count
            cuts.append(len(document.text))
            for start, end in itertools.pairwise(cuts):
                if (text := document.text[start:end]).strip():
                    passages.append(make_passage(file, start, end, text, ()))
        return self._index(passages, [passage.text for passage in passages])

    def index_whole(self, documents: dict[str, Document]) -> MemoryFolder:
        """Each document as one; the model sees its beginning."""
        passages = [make_passage(f, 0, len(d.text), d.text, ()) for f, d in documents.items()]
        return self._index(passages, [passage.text for passage in passages])

    def search(self, query: str, folders: Iterable[MemoryFolder], num_hits: int) -> list[Hit]:
        """As the program does it."""
        vector = self.embedder.encode_query(query)
        return ranking.search(
            query, vector, list(folders), num_hits=num_hits, baseline=self.embedder.baseline
        )

    def rank_documents(self, query: str, folder: MemoryFolder) -> list[str]:
        """Files by their best passage."""
        hits = self.search(query, [folder], _DEPTH)
        return list(dict.fromkeys(hit.passage.file for hit in hits))

    def _index(self, passages: Sequence[Passage], texts: Sequence[str]) -> MemoryFolder:
        self._num_folders += 1
        folder = self._scratch / f"words-{self._num_folders}"
        vectors = self.embed(texts)
        return MemoryFolder(folder, passages, vectors, self.embedder.device)


def by_words(query: str, folder: MemoryFolder, num: int) -> list[Passage]:
    """BM25 alone."""
    return [folder.passages[number] for number, _ in folder.search_words(query, num, {})]


def by_meaning(vector: NDArray[np.float32], folder: MemoryFolder, num: int) -> list[Passage]:
    """The embedding model alone, exact."""
    order = np.argsort(-(folder.vectors @ vector), kind="stable")[:num]
    return [folder.passages[number] for number in order]


def make_passage(file: str, start: int, end: int, text: str, headings: tuple[str, ...]) -> Passage:
    """A passage without what no measure looks at."""
    return Passage(
        folder="",
        file=file,
        headings=headings,
        start_line=1,
        end_line=1,
        start=start,
        end=end,
        text=text,
    )


def subset(collection: Collection, files: Iterable[str]) -> dict[str, Document]:
    """Some of its documents."""
    wanted = set(files)
    return {file: doc for file, doc in collection.documents.items() if file in wanted}
