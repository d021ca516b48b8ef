"""Carries out a beam search with a model, and tells of every step."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress

import torch
from torch import Tensor

from chatbot.engine.answer_reader import AnswerReader
from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.detokenizer import REPLACEMENT
from chatbot.engine.history import TokenHistory
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel
from chatbot.engine.prompt_meter import Tell, untold
from chatbot.engine.protocol.variants import (
    BeamsMoved,
    SearchBeams,
    VariantDelta,
    VariantDone,
    VariantEvent,
    VariantSamplingApplied,
    VariantsGenerated,
    VariantsHeld,
    VariantTokens,
)
from chatbot.engine.recording import completed
from chatbot.engine.sampling import Sampler
from chatbot.engine.thought import Thought
from chatbot.engine.variants.beam_recording import BeamRecorder
from chatbot.engine.variants.beam_search import BeamSearch, Hypothesis
from chatbot.engine.variants.prompts import (
    SharedPrompt,
    SharedReading,
    build_prompt,
    deltas,
    make_reader,
)
from chatbot.settings import Sampling
from chatbot.tokens import Beam, TokenRecord


def search_beams(
    loaded: LoadedModel, request: SearchBeams, control: Control, tell: Tell = untold
) -> Generator[VariantEvent, None, None]:
    """Carry out ``request``; the last event is ``VariantsGenerated``. Arguments as ``answer``'s.

    Raises:
        ModelError: the template or the model fails.
        ContextError: the prompt leaves no room for an answer.
    """
    prompt = build_prompt(loaded, request)
    reading = SharedReading(loaded, prompt, control, tell, reproducible=True)
    room = prompt.window - len(prompt.tokens)
    search = BeamSearch(
        request.num_beams,
        request.length_penalty,
        min(room, request.sampling.max_tokens),
        len(loaded.end_tokens),
    )
    running = _Running(loaded, request, search, prompt.tokens, room)
    with suppress(Interrupted), loaded.cached.emptied_by_errors():
        yield from running.run(reading, control)
    results = search.results()
    results += [Hypothesis(reason="cancelled")] * (request.num_beams - len(results))
    for index, found in enumerate(results):
        yield from running.tell(found, index, make_reader(loaded, request, prompt), prompt)
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
        room: int,
    ) -> None:
        self._loaded = loaded
        self._request = request
        self._search = search
        self._prompt = prompt
        self._room = room
        """Longest answer that the window has room for, in tokens."""
        self._sampling = request.sampling
        self._changes: list[tuple[int, Sampling]] = []
        """What the settings were changed to on the way, each with the steps before it."""
        self._step_times: list[float] = []
        self._records: dict[tuple[int, ...], tuple[TokenRecord, ...]] = {(): ()}
        """Of the tokens of each hypothesis that is live or finished, by those tokens."""
        self._recorder: BeamRecorder | None = None
        if request.num_alternatives > 0:
            self._recorder = BeamRecorder(request.num_alternatives, loaded.token_texts)
        template_stops = () if request.is_completion else loaded.prompts.stops
        self._stops = tuple(stop for stop in (*request.stop, *template_stops) if stop)

    def run(self, reading: SharedReading, control: Control) -> Iterator[BeamsMoved | VariantsHeld]:
        """Search to the end.

        Raises:
            Interrupted: it was cancelled.
        """
        search = self._search
        logits = reading.logits()[None]
        batch = None
        num_tokens = 0
        while True:
            if control.is_held:
                yield VariantsHeld(request_id=self._request.id, num_tokens=num_tokens)
                control.wait()
            if control.is_cancelled:
                raise Interrupted
            self._take_settings(control, num_tokens)
            rows = self._log_probabilities(logits)
            candidates = search.candidates(rows)
            goes_on = search.step(candidates, [self._is_end(one) for one in candidates])
            if self._recorder:
                self._record(self._recorder, logits, rows)
            control.take_step()
            num_tokens += 1
            reading.note_step()
            self._step_times.append(reading.now)
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

    def tell(
        self, found: Hypothesis, index: int, reader: AnswerReader, prompt: SharedPrompt
    ) -> Iterator[VariantDelta | VariantSamplingApplied | VariantTokens]:
        """A hypothesis as the answer that it became, as if it was written only now."""
        thought = Thought(is_begun=prompt.is_thinking)
        noted, records = self._records.get(found.tokens, ()), list[TokenRecord]()
        changes = dict(self._changes)
        for number, token in enumerate(found.tokens):
            if number in changes:
                yield VariantSamplingApplied(
                    request_id=self._request.id,
                    variant=index,
                    sampling=changes[number],
                    num_tokens=number,
                )
            pieces = reader.push(token)
            thought.note(reader.region, self._step_times[number])
            yield from deltas(pieces, self._request.id, index, number + 1, thought)
            if noted:
                records.append(completed(noted[number], reader.last_text, reader.region))
        rest = reader.finish()
        yield from deltas(rest, self._request.id, index, len(found.tokens), thought)
        if records:
            yield VariantTokens(request_id=self._request.id, variant=index, tokens=tuple(records))

    def _take_settings(self, control: Control, num_tokens: int) -> None:
        """Go on with what the user has set meanwhile, where it means anything to a search."""
        if control.samplings and control.samplings[0] != self._sampling:
            self._sampling = control.samplings[0]
            self._changes.append((num_tokens, self._sampling))
            self._search.most_tokens = min(self._room, self._sampling.max_tokens)

    def _record(self, recorder: BeamRecorder, logits: Tensor, rows: Tensor) -> None:
        """Take note of what the last step chose.

        Args:
            recorder: measures it.
            logits: of the hypotheses that it went on from, [live, vocab].
            rows: their log-probabilities after the rules against repetition, float32 [live, vocab].
        """
        known, self._records = self._records, {}
        after = rows.log_softmax(1) if _looks_back(self._sampling) else None
        before = rows if after is None else logits.float().log_softmax(1)
        present = (*self._search.live, *self._search.finished)
        new = [one for one in present if one.tokens not in known]
        chosen = [(one.parent, one.tokens[-1]) for one in new]
        for one, record in zip(new, recorder.measure(before, after, chosen), strict=True):
            self._records[one.tokens] = (*known[one.tokens[:-1]], record)
        for one in present:  # what ended before
            self._records.setdefault(one.tokens, known.get(one.tokens, ()))

    def _log_probabilities(self, logits: Tensor) -> Tensor:
        """Of each next token of each live beam, after the rules against repetition."""
        rows = logits.float().log_softmax(1)
        sampling = self._sampling
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
