"""One answer: the prompt, the loop, its tokens as text, and what it cost."""

import time
from collections.abc import Generator
from typing import Final

from chatbot.engine.answer_reader import AnswerReader
from chatbot.engine.decode.lookup import Guesses
from chatbot.engine.dialects.dialect import Begun, Broken, Called, Piece, Text, Thinking
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.loading import LoadedModel
from chatbot.engine.prompt_meter import PromptMeter, Tell, untold
from chatbot.engine.protocol.answer import (
    AnswerEvent,
    Delta,
    Generate,
    Generated,
    SamplingApplied,
    ThinkingCut,
    ThinkingDelta,
    TokensRecorded,
    ToolCallBroken,
    ToolCallReady,
    ToolCallStarted,
)
from chatbot.engine.protocol.answer import Held as HeldEvent
from chatbot.engine.recording import Recorder
from chatbot.engine.thought import Thought
from chatbot.engine.token_loop import Cut, Held, write_tokens
from chatbot.errors import ContextError, ModelError
from chatbot.messages import FinishReason, Statistics

_CUTS: Final[dict[FinishReason, str]] = {
    "length": "The call was cut off by the longest length of an answer; raise max_tokens.",
    "cancelled": "The call was cut off because the answer was stopped.",
}


def answer(
    loaded: LoadedModel, request: Generate, control: Control, tell: Tell = untold
) -> Generator[AnswerEvent, None, None]:
    """Carry out ``request``; the last event is ``Generated``.

    Args:
        loaded: the model.
        request: what is wanted.
        control: what the client changes about it meanwhile.
        tell: is told how far the prompt is read, where that takes long, and before all events.

    Raises:
        ModelError: the template or the model fails, or a schema cannot be enforced.
        ContextError: the prompt leaves no room for an answer.
    """
    clock = _Clock(control)
    if request.tools and request.schema:
        raise ModelError("An answer by a schema calls no tools; leave one of the two out.")
    prompt, opens_thinking = _prompt_of(loaded, request)
    window = window_for(loaded, len(prompt), request.context_length)
    reader = AnswerReader(loaded, request, is_thinking=opens_thinking)
    thought = Thought(is_begun=opens_thinking)
    recorder: Recorder | None = None
    if request.num_alternatives > 0:
        recorder = Recorder(request.num_alternatives, loaded.token_texts)
    is_seeded = control.sampling.seed is not None and not request.is_seed_drawn
    num_cached = loaded.cached.rewind(prompt, reproducible=is_seeded)
    guesses = Guesses()
    tokens = write_tokens(
        loaded.cached,
        prompt,
        control,
        sampling=request.sampling,
        context_length=window,
        end_tokens=loaded.end_tokens,
        guide=reader,
        guesses=guesses,
        recorder=recorder,
        meter=PromptMeter(len(prompt), num_cached, loaded.cached.num_layers, tell),
    )
    reason: FinishReason = "stop"
    num_ready = 0
    while True:
        try:
            item = next(tokens)
        except StopIteration as end:
            reason = end.value
            break
        if isinstance(item, Held):
            if recorder and (records := recorder.take()):
                yield TokensRecorded(request_id=request.id, tokens=records)
            yield HeldEvent(request_id=request.id)
            continue
        if isinstance(item, Cut):
            yield ThinkingCut(request_id=request.id)
            continue
        if not isinstance(item, int):
            yield SamplingApplied(request_id=request.id, sampling=item, num_tokens=clock.num_tokens)
            continue
        clock.note_token()
        pieces = reader.push(item)
        thought.note(reader.region, clock.last)
        for piece in pieces:
            num_ready += isinstance(piece, Called)
            yield _event(piece, request.id, clock.num_tokens, thought)
        if recorder:
            recorder.complete(reader.last_text, reader.region)
            if recorder.is_due:
                yield TokensRecorded(request_id=request.id, tokens=recorder.take())
        if reader.is_over:
            tokens.close()
            break
    if reason == "length" and reader.ends_with_call:
        reason = "stop"  # all that was begun is there
    for piece in reader.finish(_CUTS.get(reason, "")):
        num_ready += isinstance(piece, Called)
        yield _event(piece, request.id, clock.num_tokens, thought)
    if num_ready and reason == "stop":
        reason = "tool_calls"
    if recorder and (records := recorder.take()):
        yield TokensRecorded(request_id=request.id, tokens=records)
    yield Generated(
        request_id=request.id,
        finish_reason=reason,
        statistics=clock.statistics(len(prompt), num_cached, loaded.cached, guesses),
    )


def _prompt_of(loaded: LoadedModel, request: Generate) -> tuple[list[int], bool]:
    """The tokens of the prompt, and whether it ends within a thought.

    Raises:
        ModelError: the template fails.
    """
    prompts = loaded.prompts.told(request.thinking)
    if request.is_completion:
        return prompts.build_text(request.messages).tokens, False
    built = prompts.build(
        request.messages, continue_last=request.continue_last, tools=request.tools
    )
    exact: list[int] | None = None
    if request.continue_last and request.begun_tokens:
        exact = prompts.build_begun(request.messages, request.begun_tokens, request.tools)
    return exact or built.tokens, built.opens_thinking


def window_for(loaded: LoadedModel, num_prompt_tokens: int, context_length: int) -> int:
    """The longest sequence, in tokens, for a prompt that leaves room for an answer.

    Args:
        loaded: the model.
        num_prompt_tokens: length of the prompt.
        context_length: what was asked for; 0 for what the model was made for.

    Raises:
        ContextError: the prompt leaves no room.
    """
    window = loaded.info.context_length
    if context_length > 0:
        window = min(window, context_length)
    if num_prompt_tokens >= window:
        longer = ", or raise context_length" if window < loaded.info.context_length else ""
        raise ContextError(
            f"The prompt takes {num_prompt_tokens:,} tokens, but the context window holds "
            f"{window:,}; shorten it{longer}."
        )
    return window


def _event(
    piece: Piece, request_id: int, num_tokens: int, thought: Thought
) -> Delta | ThinkingDelta | ToolCallStarted | ToolCallReady | ToolCallBroken:
    match piece:
        case Text(text):
            return Delta(request_id=request_id, text=text, num_tokens=num_tokens)
        case Thinking(text):
            return ThinkingDelta(
                request_id=request_id,
                text=text,
                num_tokens=num_tokens,
                num_thinking_tokens=thought.num_tokens,
                thinking_seconds=thought.seconds,
            )
        case Begun(index, name):
            return ToolCallStarted(request_id=request_id, index=index, name=name)
        case Called(index, name, arguments, raw):
            return ToolCallReady(
                request_id=request_id, index=index, name=name, arguments=arguments, raw=raw
            )
        case Broken(index, name, raw, reason):
            return ToolCallBroken(
                request_id=request_id, index=index, name=name, raw=raw, reason=reason
            )


class _Clock:
    """When the tokens came; it stands still while the answer is held."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._start = self._now()
        self._first = self.last = 0.0
        self.num_tokens = 0

    def _now(self) -> float:
        return time.perf_counter() - self._control.held_seconds

    def note_token(self) -> None:
        self.last = self._now()
        if self.num_tokens == 0:
            self._first = self.last
        self.num_tokens += 1

    def statistics(
        self,
        num_prompt_tokens: int,
        num_cached_tokens: int,
        cached: CachedModel,
        guesses: Guesses,
    ) -> Statistics:
        first = self._first if self.num_tokens else self._now()
        return Statistics(
            num_prompt_tokens=num_prompt_tokens,
            num_cached_tokens=num_cached_tokens,
            num_new_tokens=self.num_tokens,
            first_token_seconds=first - self._start,
            decode_seconds=self.last - self._first,
            decoder=cached.decoder_name,
            decoder_reason=cached.decoder_reason,
            num_guessed=guesses.num_made,
            num_guessed_right=guesses.num_right,
            cache_bytes=cached.num_cache_bytes,
        )
