"""One answer: the prompt, the loop, its tokens as text, and what it cost."""

import time
from collections.abc import Generator

from chatbot.engine.detokenizer import Detokenizer
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel
from chatbot.engine.protocol import Delta, Generate, Generated, SamplingApplied
from chatbot.engine.stop_strings import StopStrings
from chatbot.engine.token_loop import write_tokens
from chatbot.errors import ContextError
from chatbot.messages import FinishReason, Statistics


def answer(
    loaded: LoadedModel, request: Generate, control: Control
) -> Generator[Delta | SamplingApplied | Generated, None, None]:
    """Carry out ``request``; the last event is ``Generated``.

    Raises:
        ModelError: the template or the model fails.
        ContextError: the prompt leaves no room for an answer.
    """
    clock = _Clock()
    continues = request.continue_last
    prompt = loaded.prompts.build(request.messages, continue_last=continues).tokens
    window = loaded.info.context_length
    if request.context_length > 0:
        window = min(window, request.context_length)
    if len(prompt) >= window:
        raise ContextError(
            f"The prompt takes {len(prompt)} tokens, but the context window holds {window}; "
            "shorten the question or the system prompt, or raise the context length."
        )
    num_cached = loaded.cached.rewind(prompt, reproducible=control.sampling.seed is not None)
    writer = _Writer(loaded, request)
    tokens = write_tokens(
        loaded.cached,
        prompt,
        control,
        sampling=request.sampling,
        context_length=window,
        end_tokens=loaded.end_tokens,
    )
    reason: FinishReason = "stop"
    while True:
        try:
            item = next(tokens)
        except StopIteration as end:
            reason = end.value
            break
        if not isinstance(item, int):
            yield SamplingApplied(request_id=request.id, sampling=item)
            continue
        clock.note_token()
        if text := writer.push(item):
            yield Delta(request_id=request.id, text=text, num_tokens=clock.num_tokens)
        if writer.is_stopped:
            tokens.close()
            break
    if text := writer.flush():
        yield Delta(request_id=request.id, text=text, num_tokens=clock.num_tokens)
    yield Generated(
        request_id=request.id,
        finish_reason=reason,
        statistics=clock.statistics(len(prompt), num_cached),
    )


class _Writer:
    """Tokens in, text out: whole characters, up to a stop string."""

    def __init__(self, loaded: LoadedModel, request: Generate) -> None:
        self._detokenizer = Detokenizer(loaded.decode, loaded.special_tokens)
        self._stops = StopStrings((*request.stop, *loaded.prompts.stops))
        self._end_tokens = loaded.end_tokens
        self._strips_start = loaded.prompts.strips_answer_start and not request.continue_last

    @property
    def is_stopped(self) -> bool:
        return self._stops.is_stopped

    def push(self, token: int) -> str:
        if token in self._end_tokens:
            return ""
        return self._stripped(self._stops.push(self._detokenizer.push(token)))

    def flush(self) -> str:
        return self._stripped(self._stops.flush())

    def _stripped(self, text: str) -> str:
        if self._strips_start:
            text = text.lstrip()
            self._strips_start = not text
        return text


class _Clock:
    """When the tokens came."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._first = self._last = 0.0
        self.num_tokens = 0

    def note_token(self) -> None:
        self._last = time.perf_counter()
        if self.num_tokens == 0:
            self._first = self._last
        self.num_tokens += 1

    def statistics(self, num_prompt_tokens: int, num_cached_tokens: int) -> Statistics:
        first = self._first if self.num_tokens else time.perf_counter()
        return Statistics(
            num_prompt_tokens=num_prompt_tokens,
            num_cached_tokens=num_cached_tokens,
            num_new_tokens=self.num_tokens,
            first_token_seconds=first - self._start,
            decode_seconds=self._last - self._first,
        )
