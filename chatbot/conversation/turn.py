"""One turn: from a question that is already kept to an answer that is kept.

Brings sources, tools, model and answer together in their order. Whatever goes wrong on the way,
what was written so far stays and the last event says how the turn ended. Knows nothing of who
renders the events.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import TypeVar

import msgspec

from chatbot.conversation.branching import begun_tokens
from chatbot.conversation.draft import sum_of_rounds, with_found
from chatbot.conversation.journal import Journal
from chatbot.conversation.keeping import keep_answer
from chatbot.conversation.knowledge import Knowledge
from chatbot.conversation.prompt_building import build_prompt
from chatbot.conversation.seeds import AnswerSeed, seed_of
from chatbot.conversation.stopping import Stopped, ignore_outcome, until_stopped
from chatbot.conversation.tools import Tools
from chatbot.conversation.tree import Conversation
from chatbot.conversation.turn_answer import TurnAnswer
from chatbot.conversation.turn_sources import TurnSources, earlier_questions
from chatbot.conversation.turn_tools import TurnTools
from chatbot.engine.client import Engine, Generation
from chatbot.engine.protocol.answer import Generate
from chatbot.errors import ChatbotError, ContextError, ModelError
from chatbot.events import (
    PromptBuilt,
    SourcesFound,
    SupportFound,
    TextDelta,
    ToolFinished,
    TurnEvent,
    TurnFinished,
)
from chatbot.messages import FinishReason, Message, SourcesPart, Statistics
from chatbot.settings import Precision, Sampling, Settings
from chatbot.tokens import NUM_ALTERNATIVES, TokenRecord

ResultT = TypeVar("ResultT")


class Turn:
    """The answer to one question, while it is being made."""

    def __init__(
        self,
        engine: Engine,
        conversation: Conversation,
        question: Message,
        settings: Callable[[], Settings],
        journal: Journal | None = None,
        begun: Message | None = None,
        knowledge: Knowledge | None = None,
        tools: Tools | None = None,
        schema: str = "",
        records: Sequence[TokenRecord] = (),
    ) -> None:
        """Prepare to answer.

        Args:
            engine: makes the answer.
            conversation: where the question is, and the answer will be.
            question: the message to answer.
            settings: gives the settings as they are at the moment of asking.
            journal: keeps the answer on the disk while it is being made.
            begun: an answer that is there already, to go on with in its last sentence.
            knowledge: the folders to search for sources; None for none.
            tools: what the model may call; None for nothing.
            schema: a JSON schema to hold the whole answer to; then nothing is called.
            records: what the tokens of ``begun`` were drawn from.
        """
        self._engine = engine
        self._conversation = conversation
        self._question = question
        self._settings = settings
        self._journal = journal
        self._begun = begun
        self._sources = TurnSources(knowledge, question, self._earlier_questions(), begun)
        self._may_ask = asyncio.Event()
        """The sources are there, and the model is to be asked."""
        self._tools = TurnTools(None if schema else tools, self._context)
        self._answer = TurnAnswer(
            question, settings, self._sources, self._tools, journal, begun, records
        )
        self._draft = self._answer.draft
        self._seed = AnswerSeed(seed_of(begun, records))
        self._schema = schema
        self._stop = asyncio.Event()
        self._generation: Generation | None = None
        self.is_held = False
        """Whether the user holds it between two tokens, or is about to."""
        self._wants_answer = False

    @property
    def found(self) -> SourcesPart | None:
        """The sources of the answer, once they are found."""
        return self._sources.part

    def stop(self) -> None:
        """End the answer at the next token; what there is of it is kept."""
        self._stop.set()
        self._tools.stop()
        if self._generation:
            self._generation.cancel()

    @property
    def answer_id(self) -> str:
        """Of the answer."""
        return self._draft.id

    @property
    def has_begun(self) -> bool:
        """Whether something of it is there."""
        return self._draft.says_something

    @property
    def records(self) -> tuple[TokenRecord, ...]:
        """What the tokens of the answer so far were drawn from."""
        return tuple(self._answer.records)

    @property
    def so_far(self) -> Message:
        """The answer as it stands."""
        return self._answer.so_far

    def hold(self, num_steps: int | None) -> None:
        """Hold the answer after so many more tokens; None lets it go on."""
        self.is_held = num_steps is not None
        if self._generation:
            self._generation.hold(num_steps)

    def answer_now(self) -> None:
        """Have the model think no longer in this turn, and answer."""
        self._wants_answer = True
        if self._generation:
            self._generation.answer_now()

    def set_sampling(self, sampling: Sampling) -> None:
        """Let the answer go on with these settings from the next token."""
        if self._generation:
            self._generation.set_sampling(self._seed.given_to(sampling))

    async def run(self) -> AsyncGenerator[TurnEvent]:
        """Make the answer; the last event carries it, and it is in the tree by then."""
        reason: FinishReason = "cancelled"  # also when whoever listens goes away
        error = ""
        statistics: Statistics | None = None
        self._answer.flush()
        try:
            yield self._answer.started()
            if self._journal:
                # The question is on the disk before anything can go wrong.
                await self._until_stopped(self._journal.settled())
            begin = asyncio.ensure_future(self._begin())
            try:
                if self._sources.has_to_search:
                    yield self._sources.search_started()
                    # Meanwhile the model is loaded: neither waits for the other.
                    await self._until_stopped(self._sources.search())
                declining = self._sources.decline(has_tools=self._tools.are_chosen)
                if declining:
                    self._draft.is_by_program, reason = True, "stop"
                    for event in self._declined(declining):
                        yield event
                self._may_ask.set()
                has_to_ask = not declining
                while has_to_ask:
                    generation, built = await self._until_stopped(begin)
                    if self._sources.part and not (self._begun or self._draft.has_calls):
                        yield SourcesFound(self._sources.part)
                    yield built
                    for noted in self._answer.noted_at_start:
                        yield noted
                    async with aclosing(self._generate(generation)) as events:
                        async for event in events:
                            yield event
                    if self._answer.end is None:
                        break
                    reason, cost = self._answer.end
                    statistics = sum_of_rounds(statistics, cost)
                    has_to_ask = self._tools.are_to_run and reason in ("tool_calls", "stop")
                    if has_to_ask:
                        reason = "cancelled"  # until the model has said what it makes of them
                        async with aclosing(self._run_tools(built, cost)) as results:
                            async for event in results:
                                yield event
                        begin = asyncio.ensure_future(self._begin())
            finally:
                _give_up(begin)
        except Stopped:
            pass
        except ChatbotError as failure:
            reason, error = "error", str(failure)
        finally:
            if self._generation and self._answer.end is None:
                self._generation.cancel()
            answer, rest = self._answer.close(reason, error, statistics)
            if self._begun:
                self._conversation.replace(answer)
            else:
                keep_answer(self._conversation, answer)
        for event in rest:
            yield event
        # The answer is shown and kept already; what follows can cost nothing of it.
        if found := await self._support(answer):
            answer = msgspec.structs.replace(answer, parts=with_found(answer.parts, found))
            self._conversation.replace(answer)
            yield SupportFound(found)
        yield TurnFinished(answer)

    def _declined(self, declining: str) -> Iterator[TurnEvent]:
        """The program's own answer."""
        if self._sources.part:
            yield SourcesFound(self._sources.part)
        self._draft.add(declining)
        yield TextDelta(declining)

    async def _generate(self, generation: Generation) -> AsyncGenerator[TurnEvent]:
        """The model's answer as it comes."""
        if self._stop.is_set():
            generation.cancel()
        with self._sources.undisturbed(info.device if (info := self._draft.info) else ""):
            async for event in generation:
                for told in self._answer.take(event):
                    yield told

    async def _run_tools(self, built: PromptBuilt, cost: Statistics) -> AsyncGenerator[TurnEvent]:
        """Carry out the calls that the model has just made.

        Raises:
            Stopped: the user would rather not wait.
        """
        if self._stop.is_set():
            raise Stopped
        taken = built.num_prompt_tokens + cost.num_new_tokens
        part = self._sources.part
        events = self._tools.run_round(
            is_tainted=part is not None and bool(part.sources),
            num_tokens_left=built.context_length - taken,
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, ToolFinished):
                    self._answer.put(event.result)
                yield event
        if self._stop.is_set():
            raise Stopped

    async def _support(self, answer: Message) -> SourcesPart | None:
        """What each sentence rests on; None when there is nothing to hold it against, or the
        user would rather not wait.
        """
        if not self._sources.is_to_be_supported(answer):
            return None
        self._stop.clear()  # an answer that was stopped has a map of what there is of it
        try:
            return await self._until_stopped(self._sources.support(answer))
        except Stopped:
            return None

    async def _begin(self) -> tuple[Generation, PromptBuilt]:
        """Load the model that is set, build the prompt for it, and start the answer.

        Another model may be set while the first two are under way; then both are done anew.
        """
        while True:
            settings = self._settings()
            model, precision = settings.model, settings.precision
            try:
                info = self._draft.info = await self._engine.ensure_loaded(model, precision)
                await self._may_ask.wait()
                settings = self._settings()
                tools = self._tools.schemas(info)
                begun = self._so_far()
                prompt = await build_prompt(
                    self._engine,
                    self._path(),
                    settings,
                    info,
                    pinned=self._conversation.pinned,
                    begun=begun,
                    found=self._sources.part,
                    tools=tools,
                )
            except (ContextError, ModelError):
                if self._is_set(model, precision):
                    raise
                continue
            settings = self._settings()
            if self._is_set(model, precision):
                break
        self._sources.part = prompt.found
        sampling = self._seed.given_to(settings.sampling)
        self._answer.begin_round(sampling)
        drawn = begun_tokens(begun, self._answer.records) if prompt.continues and begun else ()
        # With nothing awaited since the look at the settings, no other load comes in between.
        request = Generate(
            messages=prompt.messages,
            sampling=sampling,
            is_seed_drawn=settings.sampling.seed is None,
            context_length=prompt.built.context_length,
            continue_last=prompt.continues,
            tools=tuple(tools),
            schema=self._schema,
            num_alternatives=NUM_ALTERNATIVES,
            begun_tokens=drawn,
            thinking=settings.thinks,
        )
        self._generation = self._engine.generate(request)
        if self.is_held:  # asked for before there was anything to hold
            self._generation.hold(0)
        if self._wants_answer:
            self._generation.answer_now()
        num_generated = self._answer.num_generated
        return self._generation, msgspec.structs.replace(
            prompt.built, num_generated_tokens=num_generated
        )

    def _is_set(self, model: str, precision: Precision) -> bool:
        settings = self._settings()
        return (settings.model, settings.precision) == (model, precision)

    def _path(self) -> tuple[Message, ...]:
        return self._conversation.path(self._question.id)

    def _context(self) -> tuple[Message, ...]:
        """All that the model may have before its eyes, or had when it wrote what it has."""
        return (*self._path(), *((self._begun,) if self._begun else ()))

    def _so_far(self) -> Message | None:
        """The answer as it stands, where it is to be gone on with."""
        if not (self._begun or self._draft.has_calls):
            return None
        return self.so_far

    def _earlier_questions(self) -> str:
        """The questions on its branch that this one may go on with; empty for none."""
        path = self._conversation.path(self._question.parent_id) if self._question.parent_id else ()
        return earlier_questions(path)

    async def _until_stopped(self, work: Awaitable[ResultT]) -> ResultT:
        """Await ``work``, unless the user stops the turn first.

        Raises:
            Stopped: the user did.
        """
        return await until_stopped(work, self._stop)


def _give_up(work: "asyncio.Future[ResultT]") -> None:
    """Have nobody wait for this any more."""
    work.cancel()
    ignore_outcome(work)
