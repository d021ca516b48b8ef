"""What the folders of a conversation say about a question, and about its answer.

Turns what retrieval finds into the sources of an answer. Knows neither the language model nor
a screen.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Final

import msgspec

from chatbot.conversation.folders import path_of
from chatbot.conversation.following_up import go_on
from chatbot.conversation.found_sources import NUM_CANDIDATES, as_sources
from chatbot.conversation.kept_folders import KeptFolders
from chatbot.errors import ChatbotError, KnowledgeError
from chatbot.messages import SentenceSupport, Source, SourcesPart
from chatbot.retrieval.protocol import Found
from chatbot.retrieval.values import SUPPORT_THRESHOLD, DocumentText
from chatbot.settings import MANUAL, KnowledgeFolder
from chatbot.terminal_text import clean

FIRST_WORDS_SECONDS: Final = 10.0
"""How long a question waits for folders to be read that are new: most are by then, and of a large
one what there is will do."""


class Knowledge(KeptFolders):
    """The folders in force, searched for the sources of answers."""

    async def find(self, question: str, earlier: str = "") -> SourcesPart:
        """The sources for a question.

        Args:
            question: what is asked.
            earlier: the questions before it, which help to find what this one is about, where it
                goes on with them; empty for none.

        Raises:
            KnowledgeError: the search failed.
            WorkerError: the retrieval process died.
        """
        if self.error:
            self._wake.set()  # what failed may work now
        paths = await self._searchable()
        query, found = question, await self._look_for(question, paths)
        if earlier.strip() and paths:
            both = f"{earlier.strip()}\n{question}"
            together = await self._look_for(both, paths)
            before = await self._look_for(earlier, paths, is_reranked=False)
            threshold = self._settings().relevance_threshold
            hits = go_on(question, found.hits, together.hits, before.hits, threshold)
            if hits is not None:
                query = both
            found = msgspec.structs.replace(
                found,
                hits=found.hits if hits is None else hits,
                embedding_seconds=sum(f.embedding_seconds for f in (found, together, before)),
                search_seconds=sum(f.search_seconds for f in (found, together, before)),
            )
        return self._as_sources(found, query, paths, manual=str(path_of(KnowledgeFolder(MANUAL))))

    async def search(self, query: str, num_sources: int | None = None) -> SourcesPart:
        """What the folders have for a query, with a verdict on each passage.

        Args:
            query: words, or a question. Who searches the manual by hand means its words, and gets
                also what only shares them.
            num_sources: most passages that count as used; None for that of the settings.

        Raises:
            KnowledgeError: the search failed.
            WorkerError: the retrieval process died.
        """
        paths = await self._searchable()
        return self._as_sources(await self._look_for(query, paths), query, paths, num_sources)

    async def _searchable(self) -> tuple[str, ...]:
        """The folders that are to be searched, once they are read or were waited for."""
        paths = self.paths
        if paths:
            if not self.is_kept_up:
                self.keep_searchable()
            await self._until_read(paths)
        return paths

    async def _look_for(
        self, query: str, paths: Sequence[str], *, is_reranked: bool = True
    ) -> Found:
        if not paths:
            return Found(request_id=0, hits=())
        settings = self._settings()
        return await self.retrieval.search(
            query,
            paths,
            self.options,
            num_hits=max(NUM_CANDIDATES, settings.num_sources),
            reranker=settings.reranker if is_reranked else "",
        )

    def _as_sources(
        self,
        found: Found,
        query: str,
        paths: Sequence[str],
        num_sources: int | None = None,
        *,
        manual: str = "",
    ) -> SourcesPart:
        settings = self._settings()
        return as_sources(
            found,
            query=query,
            threshold=settings.relevance_threshold,
            num_sources=settings.num_sources if num_sources is None else num_sources,
            folders=paths,
            problems=[s.problem for s in self.folders if s.folder.is_on and s.problem],
            manual=manual,
        )

    async def _until_read(self, paths: Collection[str]) -> None:
        """Wait for a while until the folders are read, where that is under way."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_WORDS_SECONDS):
                while self._keeping and not self.error and self._is_reading(paths):
                    self._moved.clear()
                    await self._moved.wait()

    def _is_reading(self, paths: Collection[str]) -> bool:
        stages = {status.folder: status.stage for status in self.retrieval.status.folders}
        return any(stages.get(path, "scanning") in ("scanning", "reading") for path in paths)

    async def support(
        self, answer: str, found: SourcesPart, *, is_whole: bool = True
    ) -> SourcesPart:
        """``found`` with each sentence of the answer held against its sources.

        Args:
            answer: its text, Markdown.
            found: its sources.
            is_whole: the answer came to its end; else a last sentence without one is left out.

        Raises:
            KnowledgeError: it failed.
            WorkerError: the retrieval process died.
        """
        # Only where there is an answer: the first frame has no use for it.
        from chatbot.conversation.sentences import find_sentences

        spans = find_sentences(answer, is_whole=is_whole)
        if not spans or not found.sources:
            return found
        scores = await self.retrieval.score_support(
            [" ".join(answer[span.start : span.end].split()) for span in spans],
            [source.text for source in found.sources],
            self.options,
        )
        support = []
        for span, row in zip(spans, scores, strict=True):
            best = max(range(len(row)), key=row.__getitem__)
            is_supported = row[best] >= SUPPORT_THRESHOLD
            support.append(
                SentenceSupport(
                    start=span.start,
                    end=span.end,
                    source=best if is_supported else None,
                    score=row[best],
                )
            )
        return msgspec.structs.replace(found, support=tuple(support))

    async def in_full(self, source: Source) -> Source:
        """A source with its whole passage; as it is kept, where the passage is not there now."""
        if source.verdict == "used" or source.folder not in {s.path for s in self.folders}:
            return source
        with suppress(ChatbotError):
            passages = await self.retrieval.list_passages(source.folder, source.file)
            for passage in passages:
                if (passage.start, passage.end) == (source.start, source.end):
                    return msgspec.structs.replace(source, text=clean(passage.text))
        return source

    async def open_source(self, source: Source) -> DocumentText:
        """The document that a source is from.

        Raises:
            KnowledgeError: it is not there any more, or cannot be read; or it is in none of
                the folders, as may be where a chat came from elsewhere.
            WorkerError: the retrieval process died.
        """
        is_known = source.folder in {state.path for state in self.folders}
        if not is_known or ".." in PurePosixPath(source.file).parts or source.file[:1] == "/":
            raise KnowledgeError(
                f"{source.location} is in none of your folders; add its folder to open it."
            )
        return await self.retrieval.read_document(source.folder, source.file)
