"""Carries out a beam search with a model, and tells of every step."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress

import torch
from torch import Tensor

from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.detokenizer import REPLACEMENT
from chatbot.engine.history import TokenHistory
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel
from chatbot.engine.protocol import (
    BeamsMoved,
    SearchBeams,
    VariantDone,
    VariantEvent,
    VariantsGenerated,
)
from chatbot.engine.sampling import Sampler
from chatbot.engine.variants.beam_search import BeamSearch, Hypothesis
from chatbot.engine.variants.prompts import SharedReading, build_prompt, deltas, make_reader
from chatbot.settings import Sampling
from chatbot.tokens import Beam


def search_beams(
    loaded: LoadedModel, request: SearchBeams, control: Control
) -> Generator[VariantEvent, None, None]:
    """Carry out ``request``; the last event is ``VariantsGenerated``.

    Raises:
        ModelError: the template or the model fails.
        ContextError: the prompt leaves no room for an answer.
    """
    prompt = build_prompt(loaded, request)
    reading = SharedReading(loaded, prompt, reproducible=True)
    search = BeamSearch(
        request.num_beams,
        request.length_penalty,
        min(prompt.window - len(prompt.tokens), request.sampling.max_tokens),
        len(loaded.end_tokens),
    )
    running = _Running(loaded, request, search, prompt.tokens)
    with suppress(Interrupted):
        yield from running.run(reading, control)
    results = search.results()
    results += [Hypothesis(reason="cancelled")] * (request.num_beams - len(results))
    for index, found in enumerate(results):
        reader = make_reader(loaded, request, prompt)
        pieces = [piece for token in found.tokens for piece in reader.push(token)]
        yield from deltas(
            [*pieces, *reader.finish()], request.id, index, num_tokens=len(found.tokens)
        )
        yield VariantDone(
            request_id=request.id,
            variant=index,
            finish_reason=found.reason or "cancelled",
            statistics=reading.statistics(index, len(found.tokens)),
            log_probability=found.log_probability,
            score=search.score(found),
        )
    yield VariantsGenerated(
        request_id=request.id,
        num_prompt_tokens=len(prompt.tokens),
        num_read_tokens=reading.num_read,
        num_new_tokens=sum(len(found.tokens) for found in results),
        seconds=reading.seconds,
    )


class _Running:
    """A search under way."""

    def __init__(
        self,
        loaded: LoadedModel,
        request: SearchBeams,
        search: BeamSearch,
        prompt: tuple[int, ...],
    ) -> None:
        self._loaded = loaded
        self._request = request
        self._search = search
        self._prompt = prompt
        template_stops = () if request.is_completion else loaded.prompts.stops
        self._stops = tuple(stop for stop in (*request.stop, *template_stops) if stop)

    def run(self, reading: SharedReading, control: Control) -> Iterator[BeamsMoved]:
        """Search to the end.

        Raises:
            Interrupted: it was cancelled.
        """
        search = self._search
        logits = reading.logits(control)[None]
        batch = None
        num_tokens = 0
        while True:
            if control.is_cancelled:
                raise Interrupted
            candidates = search.candidates(self._log_probabilities(logits))
            goes_on = search.step(candidates, [self._is_end(one) for one in candidates])
            num_tokens += 1
            reading.note_step()
            yield BeamsMoved(
                request_id=self._request.id,
                num_tokens=num_tokens,
                live=self._beams(search.live),
                finished=self._beams(search.finished),
            )
            if not goes_on:
                return
            live = search.live
            # Rows that no beam needs at the moment are kept: there may be more again.
            spare = [live[0]] * (self._request.num_beams - len(live))
            if batch is None:
                batch = self._loaded.cached.branch(self._request.num_beams)
            else:
                batch.select([one.parent for one in (*live, *spare)])
            last = [one.tokens[-1] for one in (*live, *spare)]
            logits = batch.read(last, lambda: control.is_cancelled)[: len(live)]

    def _log_probabilities(self, logits: Tensor) -> Tensor:
        """Of each next token of each live beam, after the rules against repetition."""
        rows = logits.float().log_softmax(1)
        sampling = self._request.sampling
        if not _looks_back(sampling):
            return rows
        device = self._loaded.cached.device
        return torch.stack(
            [
                Sampler(TokenHistory((*self._prompt, *one.tokens)), device).adjusted(row, sampling)
                for one, row in zip(self._search.live, rows, strict=True)
            ]
        )

    def _is_end(self, one: Hypothesis) -> bool:
        if one.tokens[-1] in self._loaded.end_tokens:
            return True
        return bool(self._stops) and any(stop in self._text(one) for stop in self._stops)

    def _beams(self, hypotheses: Sequence[Hypothesis]) -> tuple[Beam, ...]:
        return tuple(
            Beam(
                text=self._text(one),
                log_probability=one.log_probability,
                score=self._search.score(one),
                num_tokens=len(one.tokens),
                parent=one.parent,
            )
            for one in hypotheses
        )

    def _text(self, one: Hypothesis) -> str:
        """What it says so far, without special tokens and without half a character."""
        special = self._loaded.special_tokens
        tokens = [token for token in one.tokens if token not in special]
        return self._loaded.decode(tokens).rstrip(REPLACEMENT) if tokens else ""


def _looks_back(sampling: Sampling) -> bool:
    return sampling.repetition_penalty != 1 or sampling.no_repeat_ngram_size > 0
