"""Answers that one model makes in one batch: other seeds, other settings, the beams of a search."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final

import msgspec

from chatbot.conversation.token_records import cleaned
from chatbot.conversation.variants.turn import VariantsTurn
from chatbot.engine.client import VariantsGeneration
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.prompt import PromptProgress
from chatbot.engine.protocol.variants import (
    BeamsMoved,
    GenerateVariants,
    SearchBeams,
    VariantDelta,
    VariantDone,
    VariantEvent,
    VariantSamplingApplied,
    VariantsGenerated,
    VariantsHeld,
    VariantThinkingCut,
    VariantTokens,
)
from chatbot.errors import ChatbotError, CommandError
from chatbot.events import (
    AnswersHeld,
    BeamsShown,
    PromptReading,
    SourcesFound,
    VariantsEvent,
    VariantTextDelta,
)
from chatbot.settings import Sampling, Spec
from chatbot.terminal_text import clean
from chatbot.tokens import NUM_ALTERNATIVES, Beam

_OF_A_SEARCH: Final = ("max_tokens", "repetition_penalty", "no_repeat_ngram_size")
"""Settings that act on a beam search."""


class BatchTurn(VariantsTurn):
    """Several answers from one prompt."""

    _generation: VariantsGeneration | None = None
    _beams: tuple[Beam, ...] = ()
    """The live ones of the last step."""

    def answer_now(self) -> None:
        """See ``VariantsTurn``."""
        if self.wish.kind == "beams":
            raise CommandError("A beam search looks for thoughts too, and cannot cut them short.")
        super().answer_now()

    def change_setting(self, spec: Spec, value: Any) -> None:
        """See ``VariantsTurn``."""
        if self.wish.kind == "beams" and spec.name not in _OF_A_SEARCH:
            raise CommandError(
                f"A beam search draws nothing, so {spec.name} does not act on it; change it when "
                "the search is over."
            )
        super().change_setting(spec, value)
        if self._generation:
            self._generation.set_samplings(self._distinct_samplings())

    def _distinct_samplings(self) -> list[Sampling]:
        """One for each answer; one for all beams."""
        return self.samplings[:1] if self.wish.kind == "beams" else self.samplings

    async def answers(self) -> AsyncGenerator[VariantsEvent]:
        """See ``VariantsTurn``."""
        settings = self.wish.choices[0].settings
        info = await self.until_stopped(
            self.engine.ensure_loaded(settings.model, settings.precision)
        )
        for one in self.siblings:
            one.draft.info = info
        prompt = await self.prompt_for(0, info)
        if prompt.found:
            yield SourcesFound(prompt.found)
        yield prompt.built
        self._generation = generation = self._begin(prompt.messages, prompt.built.context_length)
        is_over = False
        try:
            with self.sources.undisturbed(info.device):
                async for event in generation:
                    for told in self._take(event):
                        yield told
            is_over = True
        except ChatbotError:
            for told in self._what_beams_said():
                yield told
            raise
        finally:
            if not is_over:
                generation.cancel()

    def _begin(self, messages: tuple[ChatMessage, ...], context_length: int) -> VariantsGeneration:
        for one, sampling in zip(self.siblings, self.samplings, strict=True):
            one.draft.start(sampling)
        thinking = self.wish.choices[0].settings.thinks
        if self.wish.kind == "beams":
            number = len(self.siblings)
            for one in self.siblings:
                one.num_beams = number
            request: SearchBeams | GenerateVariants = SearchBeams(
                messages=messages,
                sampling=self.samplings[0],
                num_beams=number,
                context_length=context_length,
                num_alternatives=NUM_ALTERNATIVES,
                thinking=thinking,
            )
        else:
            request = GenerateVariants(
                messages=messages,
                samplings=tuple(self.samplings),
                context_length=context_length,
                schema=self.schema,
                num_alternatives=NUM_ALTERNATIVES,
                thinking=thinking,
            )
        generation = self.engine.generate_several(request)
        self._follow(generation)
        return generation

    def _take(self, event: VariantEvent) -> Iterator[VariantsEvent]:
        """What the faces hear of an event of the engine."""
        match event:
            case PromptProgress(progress=progress):
                yield PromptReading(progress)
            case VariantDelta(variant=index, text=raw, num_tokens=number, is_thinking=False):
                if told := self.siblings[index].feed(raw, number):
                    self.flush_timer.start()
                    yield told
            case VariantDelta(variant=index, num_thinking_tokens=size, thinking_seconds=seconds):
                sibling, number = self.siblings[index], event.num_tokens
                if thought := sibling.feed_thinking(event.text, number, size, seconds):
                    self.flush_timer.start()
                    yield thought
            case VariantThinkingCut(variant=index):
                yield self.siblings[index].cut_thought()
            case VariantSamplingApplied(variant=index, sampling=sampling, num_tokens=number):
                yield from self.siblings[index].change(sampling, number)
            case VariantsHeld(num_tokens=number):
                yield AnswersHeld(number)
            case VariantTokens(variant=index, tokens=records):
                self.siblings[index].records += map(cleaned, records)
            case BeamsMoved(num_tokens=number, live=live, finished=finished):
                self._beams = tuple(map(_cleaned_beam, live))
                yield BeamsShown(
                    num_tokens=number,
                    live=self._beams,
                    finished=tuple(map(_cleaned_beam, finished)),
                )
            case VariantDone(variant=index, finish_reason=reason, statistics=statistics):
                sibling = self.siblings[index]
                sibling.score = event.score
                yield from sibling.end(reason, statistics)
            case VariantsGenerated():
                self.num_prompt_tokens = event.num_prompt_tokens
                self.num_read_tokens = event.num_read_tokens
                self.seconds = event.seconds

    def _what_beams_said(self) -> Iterator[VariantTextDelta]:
        """What a search that breaks off had found: it was shown, so it is kept."""
        for one, beam in zip(self.siblings, self._beams, strict=False):
            if one.reason is None:
                one.draft.add(beam.text)
                yield VariantTextDelta(one.index, beam.text, beam.num_tokens)


def _cleaned_beam(beam: Beam) -> Beam:
    text = clean(beam.text)
    return beam if text == beam.text else msgspec.structs.replace(beam, text=text)
