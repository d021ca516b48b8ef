"""What the knowledge folders contribute to one turn: sources before it, a map after it.

Decides when the program answers by itself, because nothing is relevant. Knows neither the
engine nor the tree.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from chatbot.conversation.file_block import files_of
from chatbot.conversation.knowledge import Knowledge
from chatbot.conversation.source_block import sources_of
from chatbot.errors import ChatbotError
from chatbot.events import SearchStarted
from chatbot.messages import FinishReason, Message, SourcesPart
from chatbot.retrieval.values import FolderStatus


class TurnSources:
    """The sources of one answer, while it is being made."""

    def __init__(
        self, knowledge: Knowledge | None, question: Message, earlier: str, begun: Message | None
    ) -> None:
        """Prepare; nothing is searched yet.

        Args:
            knowledge: the folders; None for none.
            question: what is asked.
            earlier: the questions that it may go on with; empty for none.
            begun: an answer that is gone on with, by the sources that it was begun with.
        """
        self.part: SourcesPart | None = sources_of(begun) if begun else None
        self._knowledge = knowledge
        self._question = question
        self._earlier = earlier
        self._is_begun = begun is not None

    def search_started(self) -> SearchStarted:
        """What is told ahead of ``search``."""
        return SearchStarted(self._knowledge is None or self._knowledge.is_warm)

    @property
    def has_to_search(self) -> bool:
        """Whether there is something to search for this answer: not where the user attached what
        it is to rest on."""
        is_on = self._knowledge is not None and self._knowledge.is_on
        return is_on and not self._is_begun and not files_of(self._question)

    async def search(self) -> None:
        """Find the sources.

        Raises:
            KnowledgeError: the search failed.
            WorkerError: the retrieval process died.
        """
        if self._knowledge:
            self.part = await self._knowledge.find(self._question.text, self._earlier)

    def decline(self, *, has_tools: bool = False) -> str:
        """The program's own answer, where nothing is relevant and it must not be the model's.

        Args:
            has_tools: the user switched tools on.

        Returns:
            The sentences; empty when the model is to answer.
        """
        knowledge, part = self._knowledge, self.part
        if knowledge is None or part is None or self._is_begun:
            return ""
        if part.sources or not knowledge.is_strict(has_tools=has_tools):
            return ""
        self.part = msgspec.structs.replace(part, is_declined=True)
        return _declining(part, knowledge.statuses, has_folders=bool(knowledge.paths))

    @contextmanager
    def undisturbed(self, device: str) -> Iterator[None]:
        """Embed nothing in the background while the model needs this device's processor."""
        if self._knowledge and device == "cpu":
            with self._knowledge.paused():
                yield
        else:
            yield

    def is_to_be_supported(self, answer: Message) -> bool:
        """Whether the sentences of the finished answer can be held against sources."""
        reason = answer.making.finish_reason if answer.making else "error"
        return (
            self._knowledge is not None
            and self.part is not None
            and bool(self.part.sources)
            and bool(answer.text.strip())
            and reason != "error"
        )

    async def support(self, answer: Message) -> SourcesPart | None:
        """The sources with what each sentence rests on; a failure costs that alone."""
        if self._knowledge is None or self.part is None:
            return self.part
        reason: FinishReason = answer.making.finish_reason if answer.making else "stop"
        try:
            # An answer that is gone on with has the map of its beginning.
            bare = msgspec.structs.replace(self.part, support=())
            self.part = await self._knowledge.support(answer.text, bare, is_whole=reason == "stop")
        except ChatbotError as failure:
            sentence = f"The answer was not held against its sources: {failure}"
            notice = " ".join(filter(None, (self.part.notice, sentence)))
            self.part = msgspec.structs.replace(self.part, support=(), notice=notice)
        return self.part


def earlier_questions(path: Sequence[Message]) -> str:
    """What the next question of a branch may go on with: the last one that was searched for by
    itself, which says what it is all about, and the last one, a line each. Empty where there is
    none, where the last has no answer to go on with, or where it is about a file of its own."""
    if not path or path[-1].role != "assistant" or not path[-1].text.strip():
        return ""
    questions: list[str] = []
    found: SourcesPart | None = None
    for message in reversed(path):
        if message.role == "assistant":
            found = sources_of(message)
        elif message.role == "user":
            if files_of(message):
                break
            questions.append(message.text)
            if found is None or found.query == message.text:
                break
    return "\n".join(dict.fromkeys((*questions[-1:], *questions[:1])))


def _declining(part: SourcesPart, statuses: list[FolderStatus], *, has_folders: bool) -> str:
    if not has_folders:
        return f"I cannot look this up. {part.notice} {_OPEN}"
    best = max((c.scores.relevance for c in part.candidates), default=None)
    if best is None:
        found = "I found nothing about this in your folders."
    else:
        found = (
            "Nothing in your folders is relevant enough to answer this: the best match reaches "
            f"{best:.2f}, and the threshold is {part.threshold:.2f}."
        )
    unfinished = [s for s in statuses if s.stage in ("waiting", "scanning", "reading")]
    if unfinished:
        done = sum(status.num_files_done for status in unfinished)
        total = sum(status.num_files for status in unfinished)
        found += f" They are still being read ({done:,} of {total:,} files)."
    if best is None:
        return f"{found} {_OPEN}"
    return f"{found} To use it all the same, lower `relevance_threshold`. {_OPEN}"


_OPEN: Final = "To let the model answer by itself, set `grounding` to `open`."
