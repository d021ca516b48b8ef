"""Answers that one model makes in one batch: other seeds, other settings, the beams of a search."""

from collections.abc import AsyncGenerator, Iterator

import msgspec

from chatbot.conversation.token_records import cleaned
from chatbot.conversation.turn import NUM_ALTERNATIVES
from chatbot.conversation.variants.turn import VariantsTurn
from chatbot.engine.client import VariantsGeneration
from chatbot.engine.protocol import (
    BeamsMoved,
    ChatMessage,
    VariantDelta,
    VariantDone,
    VariantEvent,
    VariantsGenerated,
    VariantTokens,
)
from chatbot.errors import ChatbotError
from chatbot.events import BeamsShown, SourcesFound, VariantsEvent, VariantTextDelta
from chatbot.terminal_text import clean
from chatbot.tokens import Beam


class BatchTurn(VariantsTurn):
    """Several answers from one prompt."""

    _generation: VariantsGeneration | None = None
    _beams: tuple[Beam, ...] = ()
    """The live ones of the last step."""

    def stop(self) -> None:
        """See ``VariantsTurn``."""
        super().stop()
        if self._generation:
            self._generation.cancel()

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
        samplings = [choice.settings.sampling for choice in self.wish.choices]
        if self.wish.kind == "beams":
            number = len(self.siblings)
            for one in self.siblings:
                one.num_beams = number
            return self.engine.search_beams(messages, samplings[0], number, context_length)
        return self.engine.generate_variants(
            messages,
            samplings,
            context_length,
            schema=self.schema,
            num_alternatives=NUM_ALTERNATIVES,
        )

    def _take(self, event: VariantEvent) -> Iterator[VariantsEvent]:
        """What the faces hear of an event of the engine."""
        match event:
            case VariantDelta(variant=index, text=raw, num_tokens=number, is_thinking=thinks):
                if told := self.siblings[index].feed(raw, number, is_thinking=thinks):
                    self.flush_timer.start()
                    yield told
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
