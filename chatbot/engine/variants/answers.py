"""Several answers drawn side by side, each with settings and random numbers of its own.

One prompt is read once; then each step of the model draws a token for every answer that is
not over yet.
"""

from collections.abc import Generator, Iterator
from contextlib import suppress

from torch import Tensor

from chatbot.engine.decode.batch import Batch
from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.history import TokenHistory
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel
from chatbot.engine.protocol import (
    GenerateVariants,
    VariantDelta,
    VariantDone,
    VariantEvent,
    VariantsGenerated,
    VariantTokens,
)
from chatbot.engine.recording import Recorder
from chatbot.engine.sampling import Sampler
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
        self, loaded: LoadedModel, request: GenerateVariants, prompt: SharedPrompt, index: int
    ) -> None:
        self.index = index
        self.num_tokens = 0
        self.last_token = 0
        self.ended: FinishReason | None = None
        self._id = request.id
        self._sampling = request.samplings[index]
        self._end_tokens = loaded.end_tokens
        self._most = min(prompt.window - len(prompt.tokens), self._sampling.max_tokens)
        self._reader = make_reader(loaded, request, prompt)
        self._history = TokenHistory(prompt.tokens)
        self._sampler = Sampler(self._history, loaded.cached.device)
        self._recorder: Recorder | None = None
        if request.num_alternatives > 0:
            self._recorder = Recorder(request.num_alternatives, loaded.token_texts)

    def draw(self, logits: Tensor) -> Iterator[VariantDelta | VariantTokens]:
        """Draw the next token from ``logits`` [vocab].

        Raises:
            ModelError: the logits are not numbers.
        """
        logits = logits.float()  # once for all who read them
        token = draw_token(self._sampler, logits, self._sampling, self._reader)
        if self._recorder:
            self._recorder.note(logits, token, self._sampler.drawn_from)
        self.num_tokens += 1
        self.last_token = token
        yield from deltas(self._reader.push(token), self._id, self.index, self.num_tokens)
        if self._recorder:
            self._recorder.complete(self._reader.last_text, self._reader.region)
            if self._recorder.is_due:
                yield self._records(self._recorder)
        if token in self._end_tokens or self._reader.is_over:
            self.ended = "stop"
        elif self.num_tokens >= self._most:
            self.ended = "length"
        else:
            self._history.append(token)

    def finish(
        self, reason: FinishReason, reading: SharedReading
    ) -> Iterator[VariantDelta | VariantTokens | VariantDone]:
        """What is still to be told of it, now that it is over."""
        self.ended = reason
        yield from deltas(self._reader.finish(), self._id, self.index, self.num_tokens)
        if self._recorder and (records := self._records(self._recorder)).tokens:
            yield records
        yield VariantDone(
            request_id=self._id,
            variant=self.index,
            finish_reason=reason,
            statistics=reading.statistics(self.index, self.num_tokens),
        )

    def _records(self, recorder: Recorder) -> VariantTokens:
        return VariantTokens(request_id=self._id, variant=self.index, tokens=recorder.take())


def answer_variants(
    loaded: LoadedModel, request: GenerateVariants, control: Control
) -> Generator[VariantEvent, None, None]:
    """Carry out ``request``; the last event is ``VariantsGenerated``.

    Raises:
        ModelError: the template or the model fails, or the schema cannot be enforced.
        ContextError: the prompt leaves no room for an answer.
    """
    prompt = build_prompt(loaded, request)
    rows = [_Row(loaded, request, prompt, index) for index in range(len(request.samplings))]
    is_seeded = any(sampling.seed is not None for sampling in request.samplings)
    reading = SharedReading(loaded, prompt, reproducible=is_seeded)
    with suppress(Interrupted):
        yield from _write(loaded, rows, reading, control)
    for row in rows:
        if row.ended is None:
            yield from row.finish("cancelled", reading)
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
    first = reading.logits(control)
    logits = first.expand(len(rows), first.shape[0])
    batch: Batch | None = None
    while True:
        if control.is_cancelled:
            raise Interrupted
        for row, own in zip(rows, logits, strict=True):
            yield from row.draw(own)
        reading.note_step()
        for row in rows:
            if row.ended:
                yield from row.finish(row.ended, reading)
        left = [index for index, row in enumerate(rows) if not row.ended]
        if not left:
            return
        if batch is None:
            batch = loaded.cached.branch(len(left))
        elif len(left) < len(rows):
            batch.select(left)
        rows = [rows[index] for index in left]
        logits = batch.read([row.last_token for row in rows], lambda: control.is_cancelled)
