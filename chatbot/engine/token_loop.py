"""The loop that writes an answer, token by token.

Knows the model, the cache and the sampling rules; nothing of text, templates or clients.
"""

from collections import deque
from collections.abc import Collection, Generator, Sequence
from typing import Final, Protocol

from torch import Tensor

from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.decode.lookup import Guesses, PromptLookup
from chatbot.engine.history import TokenHistory
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.prompt_meter import PromptMeter
from chatbot.engine.reading import Reader
from chatbot.engine.recording import Recorder
from chatbot.engine.sampling import Sampler, forbid
from chatbot.messages import FinishReason
from chatbot.settings import Sampling

MAX_OVERTIME: Final = 1024
"""Tokens that a call may go on beyond the longest answer: cut off it would be worth nothing, but
a model that repeats itself in it has to end some time."""


class Held:
    """The user holds the answer before its next token."""


class Cut:
    """The user wants the answer: the next tokens, which end the thinking, are not drawn."""


class Guide(Protocol):
    """What may come next, by whoever reads the tokens that were yielded."""

    def allowed(self, size: int) -> Tensor | None:
        """The tokens that may be next, bool [size] on the CPU, at least one; None: all of them."""
        ...

    def refuses(self, token: int) -> bool:
        """Whether another token is to be drawn in place of this one, which was allowed."""
        ...

    @property
    def is_masking(self) -> bool:
        """Whether not all tokens may be next."""
        ...

    @property
    def is_in_call(self) -> bool:
        """Whether a tool call has begun and is not complete."""
        ...

    def closing(self) -> Sequence[int]:
        """The tokens that end what is being thought; none where nothing is."""
        ...


def write_tokens(
    model: CachedModel,
    prompt: Sequence[int],
    control: Control,
    *,
    sampling: Sampling,
    context_length: int,
    end_tokens: Collection[int],
    guide: Guide | None = None,
    looks_up: bool = True,
    guesses: Guesses | None = None,
    recorder: Recorder | None = None,
    meter: PromptMeter | None = None,
) -> Generator[int | Sampling | Held | Cut, None, FinishReason]:
    """Continue ``prompt``.

    The cache must have been rewound to the prompt.

    Args:
        prompt: fewer tokens than ``context_length``.
        control: settings are asked for before each token, and whether to stop many times more.
        sampling: what the client believes to be in use.
        context_length: longest prompt and answer together, in tokens; a tool call that has begun
            may go beyond the longest answer, but not beyond this.
        end_tokens: after drawing one of these the answer is over.
        guide: asked before each token is drawn; with none, every token may come.
        looks_up: guess ahead from what stands in the context; see ``PromptLookup``.
        guesses: where these are counted.
        recorder: is told what each token was drawn from, before it is yielded.
        meter: measures the reading of the prompt.

    Yields:
        Each token, each change of the settings before the first token drawn with it, ``Cut``
        before the tokens that end the thinking because the user wants the answer, and ``Held``
        whenever the answer is about to be held; it goes on when it may.

    Returns:
        Why it ended.

    Raises:
        ModelError: the model's output is not a number.
        Exception: whatever the model raised.
    """
    history = TokenHistory(prompt)
    sampler = model.sampler(history)
    room = context_length - len(prompt)
    num_new = 0
    forced: deque[int] = deque()
    lookup = PromptLookup(prompt, model.row_cost, guesses) if looks_up else None
    pipeline = model.pipeline(sampler, recorder.num_alternatives if recorder else 0)
    reader = Reader(model, control, lookup, pipeline)
    draws = _Draws(reader, sampler, guide, recorder)
    token = 0
    while True:
        most_left = _limit(room, control, guide) - num_new - 1
        is_free = not forced and (guide is None or not guide.is_masking)
        try:
            if num_new:
                logits = reader.after(token, most_left, is_free=is_free)
            else:
                logits = reader.start(prompt[model.num_tokens :], meter)
        except Interrupted:
            return "cancelled"
        if control.is_held:
            yield Held()
            control.wait()
        if control.is_cancelled:
            return "cancelled"
        if control.sampling is not sampling:
            sampling = control.sampling
            yield sampling
        if control.wants_answer and guide and not forced and (closing := guide.closing()):
            forced.extend(closing)
            yield Cut()
        if forced:
            token = forced.popleft()
            reader.drop_drawn(logits)
            if recorder:
                recorder.note(logits.float(), token, None, is_users=True)
        else:
            try:
                with model.emptied_by_errors():
                    token = draws.next(logits, sampling, most_left, is_free=is_free)
            except Interrupted:
                return "cancelled"
        control.take_step()
        num_new += 1
        yield token
        if token in end_tokens:
            return "stop"
        if num_new >= _limit(room, control, guide):
            return "length"
        history.append(token)


def _limit(room: int, control: Control, guide: Guide | None) -> int:
    """How many tokens there may be, as it stands."""
    overtime = MAX_OVERTIME if guide and guide.is_in_call else 0
    return min(room, control.sampling.max_tokens + overtime)


class _Draws:
    """The draws of one answer: those that were made ahead, where they may stand, or at once."""

    def __init__(
        self, reader: Reader, sampler: Sampler, guide: Guide | None, recorder: Recorder | None
    ) -> None:
        self._reader = reader
        self._sampler = sampler
        self._guide = guide
        self._recorder = recorder

    def next(self, logits: Tensor, sampling: Sampling, most: int, *, is_free: bool) -> int:
        """The next token, which is recorded.

        Args:
            logits: the last ones, [vocab].
            sampling: settings for the token.
            most: tokens that may still come after it.
            is_free: it may be any token.

        Raises:
            Interrupted: the answer was cancelled.
            ModelError: the logits are not numbers.
        """
        guide, recorder = self._guide, self._recorder
        drawn = self._reader.drawn(sampling, most) if is_free else None
        if drawn and not (guide and guide.refuses(drawn.token)):
            if recorder:
                recorder.note_facts(drawn.token, drawn.facts)
            return drawn.token
        logits = self._reader.drop_drawn(logits).float()  # once for all who read them
        token = draw_token(self._sampler, logits, sampling, guide)
        if recorder:
            recorder.note(logits, token, self._sampler.drawn_from)
        return token


def draw_token(sampler: Sampler, logits: Tensor, sampling: Sampling, guide: Guide | None) -> int:
    """The next token, drawn from ``logits`` [vocab], of those that ``guide`` lets come.

    Raises:
        ModelError: the logits are not numbers.
    """
    if guide is None:
        return sampler.draw(logits, sampling)
    allowed = guide.allowed(logits.shape[0])
    if allowed is not None:
        allowed = allowed.to(logits.device)
    while guide.refuses(token := sampler.draw(logits, sampling, allowed)):
        if allowed is None:
            logits = forbid(logits, [token])
        else:
            allowed[token] = False
    return token
