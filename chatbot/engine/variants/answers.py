"""Several answers drawn side by side, each with settings and random numbers of its own.

One prompt is read once; then each step of the model draws a token for every answer that is
not over yet.
"""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress

from torch import Tensor

from chatbot.engine.decode.batch import Batch
from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.history import TokenHistory
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel
from chatbot.engine.prompt_meter import Tell, untold
from chatbot.engine.protocol.variants import (
    GenerateVariants,
    VariantDelta,
    VariantDone,
    VariantEvent,
    VariantSamplingApplied,
    VariantsGenerated,
    VariantsHeld,
    VariantThinkingCut,
    VariantTokens,
)
from chatbot.engine.recording import Recorder
from chatbot.engine.thought import Thought
from chatbot.engine.token_loop import draw_token
from chatbot.engine.variants.prompts import (
    SharedPrompt,
    SharedReading,
    build_prompt,
    deltas,
    make_reader,
)
from chatbot.messages import FinishReason


class _Row:
    """One of the answers."""

    def __init__(
        self,
        loaded: LoadedModel,
        request: GenerateVariants,
        prompt: SharedPrompt,
        index: int,
        reading: SharedReading,
    ) -> None:
        self.index = index
        self.num_tokens = 0
        self.last_token = 0
        self.ended: FinishReason | None = None
        self.request_id = request.id
        self._sampling = request.samplings[index]
        self._end_tokens = loaded.end_tokens
        self._room = prompt.window - len(prompt.tokens)
        self._reading = reading
        self._reader = make_reader(loaded, request, prompt)
        self._thought = Thought(is_begun=prompt.is_thinking)
        self._forced: deque[int] = deque()
        """Tokens that are not drawn, but put there: they end what is thought."""
        self._history = TokenHistory(prompt.tokens)
        self._sampler = loaded.cached.sampler_beside_others(self._history)
        self._recorder: Recorder | None = None
        if request.num_alternatives > 0:
            self._recorder = Recorder(request.num_alternatives, loaded.token_texts)

    def take_wishes(
        self, control: Control
    ) -> Iterator[VariantSamplingApplied | VariantThinkingCut]:
        """Take over what the user wants changed before the next token."""
        if control.samplings and control.samplings[self.index] != self._sampling:
            self._sampling = control.samplings[self.index]
            yield VariantSamplingApplied(
                request_id=self.request_id,
                variant=self.index,
                sampling=self._sampling,
                num_tokens=self.num_tokens,
            )
        if control.wants_answer and not self._forced and (closing := self._reader.closing()):
            self._forced.extend(closing)
            yield VariantThinkingCut(request_id=self.request_id, variant=self.index)

    def draw(self, logits: Tensor) -> Iterator[VariantDelta | VariantTokens]:
        """Draw the next token from ``logits`` [vocab].

        Raises:
            ModelError: the logits are not numbers.
        """
        logits = logits.float()  # once for all who read them
        drawn_from = None
        if is_forced := bool(self._forced):
            token = self._forced.popleft()
        else:
            token = draw_token(self._sampler, logits, self._sampling, self._reader)
            drawn_from = self._sampler.drawn_from
        if self._recorder:
            self._recorder.note(logits, token, drawn_from, is_users=is_forced)
        self.num_tokens += 1
        self.last_token = token
        pieces = self._reader.push(token)
        self._thought.note(self._reader.region, self._reading.now)
        yield from deltas(pieces, self.request_id, self.index, self.num_tokens, self._thought)
        if self._recorder:
            self._recorder.complete(self._reader.last_text, self._reader.region)
            if self._recorder.is_due:
                yield from self.tell_records()
        if token in self._end_tokens or self._reader.is_over:
            self.ended = "stop"
        elif self.num_tokens >= min(self._room, self._sampling.max_tokens):
            self.ended = "length"
        else:
            self._history.append(token)

    def finish(self, reason: FinishReason) -> Iterator[VariantDelta | VariantTokens | VariantDone]:
        """What is still to be told of it, now that it is over."""
        self.ended = reason
        pieces = self._reader.finish()
        yield from deltas(pieces, self.request_id, self.index, self.num_tokens, self._thought)
        yield from self.tell_records()
        yield VariantDone(
            request_id=self.request_id,
            variant=self.index,
            finish_reason=reason,
            statistics=self._reading.statistics(self.index, self.num_tokens),
        )

    def tell_records(self) -> Iterator[VariantTokens]:
        """What its tokens were drawn from, as far as it has not been told."""
        if self._recorder and (records := self._recorder.take()):
            yield VariantTokens(request_id=self.request_id, variant=self.index, tokens=records)


def answer_variants(
    loaded: LoadedModel, request: GenerateVariants, control: Control, tell: Tell = untold
) -> Generator[VariantEvent, None, None]:
    """Carry out ``request``; the last event is ``VariantsGenerated``. Arguments as ``answer``'s.

    Raises:
        ModelError: the template or the model fails, or the schema cannot be enforced.
        ContextError: the prompt leaves no room for an answer.
    """
    prompt = build_prompt(loaded, request)
    is_seeded = any(sampling.seed is not None for sampling in request.samplings)
    reading = SharedReading(loaded, prompt, control, tell, reproducible=is_seeded)
    rows = [
        _Row(loaded, request, prompt, index, reading) for index in range(len(request.samplings))
    ]
    with suppress(Interrupted), loaded.cached.emptied_by_errors():
        yield from _write(loaded, rows, reading, control)
    for row in rows:
        if row.ended is None:
            yield from row.finish("cancelled")
    yield VariantsGenerated(
        request_id=request.id,
        num_prompt_tokens=len(prompt.tokens),
        num_read_tokens=reading.num_read,
        num_new_tokens=sum(row.num_tokens for row in rows),
        seconds=reading.seconds,
    )


def _write(
    loaded: LoadedModel, rows: list[_Row], reading: SharedReading, control: Control
) -> Iterator[VariantEvent]:
    """Draw tokens until every row has come to its end.

    Raises:
        Interrupted: the answers were cancelled.
    """
    first = reading.logits()
    logits = first.expand(len(rows), first.shape[0])
    batch: Batch | None = None
    while True:
        if control.is_held:
            yield from _hold(rows, control)
        if control.is_cancelled:
            raise Interrupted
        for row in rows:
            yield from row.take_wishes(control)
        for row, own in zip(rows, logits, strict=True):
            yield from row.draw(own)
        control.take_step()
        reading.note_step()
        for row in rows:
            if row.ended:
                yield from row.finish(row.ended)
        left = [index for index, row in enumerate(rows) if not row.ended]
        if not left:
            return
        if batch is None:
            batch = loaded.cached.branch(len(left))
        elif len(left) < len(rows):
            batch.select(left)
        rows = [rows[index] for index in left]
        logits = batch.read([row.last_token for row in rows], lambda: control.is_cancelled)


def _hold(rows: list[_Row], control: Control) -> Iterator[VariantEvent]:
    """Tell of all that was drawn, and wait until more may be."""
    for row in rows:
        yield from row.tell_records()
    yield VariantsHeld(request_id=rows[0].request_id, num_tokens=max(r.num_tokens for r in rows))
    control.wait()
