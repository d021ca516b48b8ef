"""Answers by several models, or in several precisions, which are loaded one after the other."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Any

from chatbot.conversation.stopping import Stopped
from chatbot.conversation.token_records import cleaned
from chatbot.conversation.variants.sibling import Sibling
from chatbot.conversation.variants.turn import VariantsTurn
from chatbot.engine.client import Generation
from chatbot.engine.protocol.answer import (
    AnswerEvent,
    Delta,
    Generate,
    Generated,
    Held,
    SamplingApplied,
    ThinkingCut,
    ThinkingDelta,
    TokensRecorded,
)
from chatbot.engine.protocol.model_info import AdapterUse, ModelInfo
from chatbot.engine.protocol.prompt import PromptProgress
from chatbot.errors import ChatbotError
from chatbot.events import (
    AnswersHeld,
    PromptReading,
    SourcesFound,
    VariantLoaded,
    VariantLoading,
    VariantsEvent,
)
from chatbot.settings import Spec
from chatbot.tokens import NUM_ALTERNATIVES


class ComparisonTurn(VariantsTurn):
    """The same question put to one model after the other; the present one is brought back."""

    _generation: Generation | None = None
    _index = 0
    """Of the answer that is being written."""
    _bringing_back: asyncio.Task[None] | None = None

    def change_setting(self, spec: Spec, value: Any) -> None:
        """See ``VariantsTurn``; the answers to come have it from their beginning."""
        super().change_setting(spec, value)
        if self._generation:
            self._generation.set_sampling(self.samplings[self._index])

    async def answers(self) -> AsyncGenerator[VariantsEvent]:
        """See ``VariantsTurn``."""
        adapters = self.engine.adapters
        try:
            for one in self.siblings:
                try:
                    async with aclosing(self._answer(one)) as events:
                        async for told in events:
                            yield told
                except ChatbotError as failure:  # the others can be compared all the same
                    for ended in one.end("error", None, str(failure)):
                        yield ended
                if self.stopping.is_set():
                    break
        finally:
            if self._generation:
                self._generation.cancel()
            # It goes on where the user would rather not wait for it.
            self._bringing_back = asyncio.create_task(self._bring_back(adapters))
            with suppress(Stopped):
                await self.until_stopped(asyncio.shield(self._bringing_back))

    async def _answer(self, one: Sibling) -> AsyncGenerator[VariantsEvent]:
        """Load the model of one of the answers, and have it answer.

        Raises:
            Stopped: the user had enough.
            ChatbotError: it cannot be loaded, or cannot answer.
        """
        self._generation, self._index = None, one.index
        settings = self.wish.choices[one.index].settings
        yield VariantLoading(one.index)
        info = await self.until_stopped(
            self.engine.ensure_loaded(settings.model, settings.precision)
        )
        one.draft.info, one.weight_bytes = info, info.weight_bytes
        yield _loaded(one.index, info)
        prompt = await self.prompt_for(one.index, info)
        if prompt.found and one.index == 0:
            yield SourcesFound(prompt.found)
        yield prompt.built
        sampling = self.samplings[one.index]
        one.draft.start(sampling)
        request = Generate(
            messages=prompt.messages,
            sampling=sampling,
            context_length=prompt.built.context_length,
            schema=self.schema,
            num_alternatives=NUM_ALTERNATIVES,
            thinking=settings.thinks,
        )
        self._generation = generation = self.engine.generate(request)
        self._follow(generation)
        with self.sources.undisturbed(info.device):
            async for event in generation:
                for told in self._take(one, event):
                    yield told

    def _take(self, one: Sibling, event: AnswerEvent) -> Iterator[VariantsEvent]:
        """What the faces hear of an event of the engine."""
        match event:
            case PromptProgress(progress=progress):
                yield PromptReading(progress)
            case Delta(text=raw, num_tokens=number):
                if told := one.feed(raw, number):
                    self.flush_timer.start()
                    yield told
            case ThinkingDelta(num_thinking_tokens=size, thinking_seconds=seconds):
                if thought := one.feed_thinking(event.text, event.num_tokens, size, seconds):
                    self.flush_timer.start()
                    yield thought
            case ThinkingCut():
                yield one.cut_thought()
            case SamplingApplied(sampling=sampling, num_tokens=number):
                yield from one.change(sampling, number)
            case Held():
                yield AnswersHeld(len(one.records))
            case TokensRecorded(tokens=records):
                one.records += map(cleaned, records)
            case Generated(finish_reason=reason, statistics=cost):
                self.num_prompt_tokens += cost.num_prompt_tokens
                self.num_read_tokens += cost.num_prompt_tokens - cost.num_cached_tokens
                self.seconds += cost.seconds
                yield from one.end(reason, cost)
            case _:
                pass  # without tools nothing is called

    async def _bring_back(self, adapters: Sequence[AdapterUse]) -> None:
        """Have the model that is set loaded again; the next question tells where that fails."""
        with suppress(ChatbotError):
            await self.engine.ensure_loaded(self.present.model, self.present.precision)
            if tuple(adapters) != self.engine.adapters:
                await self.engine.use_adapters(adapters)


def _loaded(index: int, info: ModelInfo) -> VariantLoaded:
    return VariantLoaded(
        index=index,
        model=info.name,
        precision=info.precision,
        device=info.device,
        weight_bytes=info.weight_bytes,
    )
