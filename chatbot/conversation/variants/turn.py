"""A turn that answers one question several times, all answers becoming siblings.

Whatever goes wrong on the way, what was written so far stays, and the last event says which
answer is shown. Knows nothing of who renders the events, nor how the answers are made.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from chatbot.conversation.draft import AnswerDraft, with_found
from chatbot.conversation.flushing import FlushTimer
from chatbot.conversation.journal import Journal
from chatbot.conversation.keeping import give_place, keep_answer, num_that_stay
from chatbot.conversation.knowledge import Knowledge
from chatbot.conversation.prompt_building import Prompt, build_prompt
from chatbot.conversation.seeds import AnswerSeed, draw_seed
from chatbot.conversation.stopping import Stopped, until_stopped
from chatbot.conversation.tree import Conversation
from chatbot.conversation.turn_sources import TurnSources, earlier_questions
from chatbot.conversation.variants.parting import partings_of
from chatbot.conversation.variants.sibling import Sibling
from chatbot.conversation.variants.wishes import Wish
from chatbot.engine.client import Engine, Generation, VariantsGeneration
from chatbot.engine.protocol.model_info import ModelInfo
from chatbot.errors import ChatbotError, CommandError
from chatbot.events import (
    SourcesFound,
    VariantPlan,
    VariantsEvent,
    VariantsFinished,
    VariantsStarted,
    VariantTextDelta,
)
from chatbot.messages import FinishReason, Message
from chatbot.settings import Settings, Spec
from chatbot.tokens import TokenRecord

ResultT = TypeVar("ResultT")


class VariantsTurn(ABC):
    """Several answers to one question, while they are being made."""

    _generation: Generation | VariantsGeneration | None = None
    """What the engine is at; None while a model is loaded."""

    def __init__(
        self,
        engine: Engine,
        conversation: Conversation,
        question: Message,
        wish: Wish,
        journal: Journal | None = None,
        knowledge: Knowledge | None = None,
        schema: str = "",
        present: Settings | None = None,
    ) -> None:
        """Prepare to answer.

        Args:
            engine: makes the answers.
            conversation: where the question is, and the answers will be.
            question: the message to answer.
            wish: the answers that are wanted.
            journal: keeps the answers on the disk while they are being made.
            knowledge: the folders to search for sources; None for none.
            schema: a JSON schema to hold each answer to.
            present: the settings in force, where the wish is for other models.
        """
        self.engine = engine
        self.question = question
        self.wish = wish
        self.schema = schema
        self.present = present or wish.choices[0].settings
        self.stopping = asyncio.Event()
        """Set when the user has had enough."""
        self.is_held = False
        """Whether the user holds all of them between two tokens, or is about to."""
        self._wants_answers = False
        """Whatever is thought is to end."""
        self.samplings = [
            AnswerSeed().given_to(choice.settings.sampling) for choice in wish.choices
        ]
        """How each of them is drawn, as it stands."""
        self.num_prompt_tokens = self.num_read_tokens = 0
        self.seconds = 0.0
        self._conversation = conversation
        self._journal = journal
        above = conversation.path(question.parent_id) if question.parent_id else ()
        self._sources = TurnSources(knowledge, question, earlier_questions(above), None)
        self._num_before = num_that_stay(conversation, question.id)
        self.siblings = [
            Sibling(index, AnswerDraft(question, _always(choice.settings), self._sources))
            for index, choice in enumerate(wish.choices)
        ]
        for one in self.siblings:
            one.varied = wish.varied
        self.flush_timer = FlushTimer(self._flush)
        """To be started whenever an answer has grown."""

    def stop(self) -> None:
        """End all answers at the next token; what there is of them is kept."""
        self.stopping.set()
        if self._generation:
            self._generation.cancel()

    def hold(self, num_steps: int | None) -> None:
        """Hold all answers after so many more tokens of each; None lets them go on. Those that are
        not begun yet are held before their first token."""
        self.is_held = num_steps is not None
        if self._generation:
            self._generation.hold(num_steps)

    def answer_now(self) -> None:
        """Have no model think any longer in this turn, and all answer.

        Raises:
            CommandError: they cannot be told to.
        """
        self._wants_answers = True
        if self._generation:
            self._generation.answer_now()

    def _follow(self, generation: Generation | VariantsGeneration) -> None:
        """Steer this from now on, as was asked for before there was anything to steer."""
        if self.is_held:
            generation.hold(0)
        if self._wants_answers:
            generation.answer_now()

    def change_setting(self, spec: Spec, value: Any) -> None:
        """Let all answers go on with another sampling setting from the next token.

        Raises:
            CommandError: it is what sets them apart, or means nothing to them.
        """
        if spec.name in self.wish.varied:
            raise CommandError(
                f"{spec.label} is what these answers differ in, so it stays; change it when they "
                "are over."
            )
        if spec.name == "seed" and value is None:
            value = draw_seed()  # one for all: they are to differ in nothing else
        change = {spec.name: value}
        self.samplings = [msgspec.structs.replace(each, **change) for each in self.samplings]

    def settings_of(self, index: int) -> Settings:
        """The settings for one of the answers, as they stand."""
        settings = self.wish.choices[index].settings
        return msgspec.structs.replace(settings, sampling=self.samplings[index])

    @property
    def has_begun(self) -> bool:
        """Whether something of one of them is there."""
        return any(one.has_begun for one in self.siblings)

    @property
    def records(self) -> dict[str, tuple[TokenRecord, ...]]:
        """What the tokens of the answers were drawn from, by the answer's id."""
        return {one.draft.id: tuple(one.records) for one in self.siblings}

    @abstractmethod
    def answers(self) -> AsyncGenerator[VariantsEvent]:
        """Make the answers.

        Raises:
            Stopped: the user had enough before they began.
            ChatbotError: those that are not over yet cannot be made.
        """

    async def run(self) -> AsyncGenerator[VariantsEvent]:
        """Make the answers; by the last event they are in the tree."""
        reason: FinishReason = "cancelled"  # also when whoever listens goes away
        error = ""
        ended: list[VariantsEvent] = []
        self._flush()
        try:
            yield VariantsStarted(
                question=self.question, kind=self.wish.kind, plans=tuple(self._plans())
            )
            if self._journal:
                await self.until_stopped(self._journal.settled())
            if self._sources.has_to_search:
                yield self._sources.search_started()
                await self.until_stopped(self._sources.search())
            if declining := self._sources.decline():
                for told in self._declined(declining):
                    yield told
            else:
                async with aclosing(self.answers()) as events:
                    async for event in events:
                        yield event
        except Stopped:
            pass
        except ChatbotError as failure:
            reason, error = "error", str(failure)
        finally:
            self.flush_timer.cancel()
            for one in self.siblings:
                if one.reason is None:
                    ended += one.end(reason, None, error)
            kept = self._begun()
            kept_id = self._keep(kept)
        for told in ended:
            yield told
        made = [one.message for one in kept]  # before any of them has a map of its own
        answers = [await self._supported(answer) for answer in made]
        yield VariantsFinished(
            answers=tuple(answers),
            kept_id=kept_id,
            partings=partings_of(answers, [one.records for one in kept]),
            num_prompt_tokens=self.num_prompt_tokens,
            num_read_tokens=self.num_read_tokens,
            num_new_tokens=sum(
                one.statistics.num_new_tokens for one in kept if one.statistics is not None
            ),
            seconds=self.seconds,
        )

    def _plans(self) -> Iterator[VariantPlan]:
        for one, choice in zip(self.siblings, self.wish.choices, strict=True):
            yield VariantPlan(
                answer_id=one.draft.id,
                number=self._num_before + one.index + 1,
                label=choice.label,
            )

    def _declined(self, declining: str) -> Iterator[VariantsEvent]:
        """The program's own answer, which is always the same: it is given once."""
        if self._sources.part:
            yield SourcesFound(self._sources.part)
        first = self.siblings[0]
        del self.siblings[1:]
        first.draft.is_by_program = True
        first.draft.add(declining)
        yield VariantTextDelta(first.index, declining)
        yield from first.end("stop", None)

    async def prompt_for(self, index: int, info: ModelInfo) -> Prompt:
        """The prompt of one of the answers, for a model that is loaded.

        Raises:
            Stopped: the user had enough.
            ChatbotError: it cannot be made.
        """
        prompt = await self.until_stopped(
            build_prompt(
                self.engine,
                self._conversation.path(self.question.id),
                self.settings_of(index),
                info,
                pinned=self._conversation.pinned,
                found=self._sources.part,
            )
        )
        self._sources.part = prompt.found
        return prompt

    @property
    def sources(self) -> TurnSources:
        """What all answers may rest on."""
        return self._sources

    async def until_stopped(self, work: Awaitable[ResultT]) -> ResultT:
        """Await ``work``, unless the user stops the turn first.

        Raises:
            Stopped: the user did.
        """
        return await until_stopped(work, self.stopping)

    def _begun(self) -> Sequence[Sibling]:
        """The answers up to the last one that there is something of, so that none changes its
        number; the first one at least."""
        if not any(one.has_begun for one in self.siblings):
            return self.siblings[:1]
        last = max(one.index for one in self.siblings if one.has_begun or one.reason == "error")
        return self.siblings[: last + 1]

    def _keep(self, kept: Sequence[Sibling]) -> str:
        """Have the answers in the tree, the first one shown that says something: its id."""
        for one in kept:
            if self._journal and one.records:
                self._journal.keep_tokens(one.draft.id, one.records)
            if len(kept) > 1:  # an empty one among them stays, so that none changes its number
                self._conversation.add(one.message)
            else:
                keep_answer(self._conversation, one.message)
        shown = next((one for one in kept if one.has_begun), kept[0])
        if len(kept) > 1:
            give_place(self._conversation, [one.draft.id for one in kept])
            self._conversation.show(shown.draft.id)
        return shown.draft.id

    async def _supported(self, answer: Message) -> Message:
        """The answer with what each of its sentences rests on, where that can be said."""
        if not self._sources.is_to_be_supported(answer) or self.stopping.is_set():
            return answer
        try:
            found = await self.until_stopped(self._sources.support(answer))
        except Stopped:
            return answer
        if found is None:
            return answer
        answer = msgspec.structs.replace(answer, parts=with_found(answer.parts, found))
        self._conversation.replace(answer)
        return answer

    def _flush(self) -> None:
        if self._journal:
            self._journal.flush_answers([(one.message, one.records) for one in self._begun()])


def _always(settings: Settings) -> Callable[[], Settings]:
    return lambda: settings
