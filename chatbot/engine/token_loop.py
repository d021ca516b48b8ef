"""The loop that writes an answer, token by token.

Knows the model, the cache and the sampling rules; nothing of text, templates or clients.
"""

from collections import deque
from collections.abc import Collection, Generator, Sequence
from typing import Final, Protocol

from torch import Tensor

from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.decode.lookup import PromptLookup
from chatbot.engine.history import TokenHistory
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
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
    recorder: Recorder | None = None,
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
        recorder: is told what each token was drawn from, before it is yielded.

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
    reader = _Reader(model, control, PromptLookup(prompt, model.row_cost) if looks_up else None)
    unread: Sequence[int] = prompt[model.num_tokens :]
    while True:
        most_left = _limit(room, control, guide) - num_new - 1
        try:
            logits = reader.after(unread, most_left) if num_new else reader.start(unread)
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
        logits = logits.float()  # once for all who read them
        is_forced = bool(forced)
        token = forced.popleft() if forced else draw_token(sampler, logits, sampling, guide)
        if recorder:
            recorder.note(
                logits, token, None if is_forced else sampler.drawn_from, is_users=is_forced
            )
        control.take_step()
        num_new += 1
        yield token
        if token in end_tokens:
            return "stop"
        if num_new >= _limit(room, control, guide):
            return "length"
        history.append(token)
        unread = [token]


def _limit(room: int, control: Control, guide: Guide | None) -> int:
    """How many tokens there may be, as it stands."""
    overtime = MAX_OVERTIME if guide and guide.is_in_call else 0
    return min(room, control.sampling.max_tokens + overtime)


class _Reader:
    """Logits after each token, with guesses read ahead.

    What was read ahead and not confirmed stays in the cache at the end of an answer, and is
    forgotten like any other token that the next prompt does not begin with.
    """

    def __init__(self, model: CachedModel, control: Control, lookup: PromptLookup | None) -> None:
        self._model = model
        self._control = control
        self._lookup = lookup
        self._ahead: Sequence[int] = ()
        """Guesses that were read and may yet be confirmed, at the end of the cache."""
        self._rows: Sequence[Tensor] = ()
        """Logits after each of them."""
        self._num_guessed = 0

    def start(self, prompt: Sequence[int]) -> Tensor:
        """Logits after the prompt.

        Raises:
            Interrupted: the answer was cancelled.
        """
        return read_prompt(self._model, prompt, self._control)

    def after(self, drawn: Sequence[int], most: int) -> Tensor:
        """Logits after the one token ``drawn``.

        Args:
            drawn: what the last logits led to.
            most: tokens worth guessing.

        Raises:
            Interrupted: the answer was cancelled.
        """
        if self._lookup is None:
            return read_prompt(self._model, drawn, self._control)
        self._lookup.append(drawn[0])
        if self._ahead and self._ahead[0] == drawn[0]:
            if self._control.is_cancelled:
                raise Interrupted
            logits, self._rows = self._rows[0], self._rows[1:]
            self._ahead = self._ahead[1:]
            if not self._ahead:
                self._lookup.settle(self._num_guessed, self._num_guessed)
            return logits
        if self._ahead:
            self._lookup.settle(self._num_guessed, self._num_guessed - len(self._ahead))
            self._model.take_back(len(self._ahead))
            self._ahead = ()
        guess = self._lookup.guess(most)
        if not guess or not self._model.can_go_back:
            return read_prompt(self._model, drawn, self._control)
        rows = self._model.read_each([*drawn, *guess], lambda: self._control.is_cancelled)
        self._ahead, self._rows, self._num_guessed = guess, rows[1:].unbind(), len(guess)
        return rows[0]


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


def read_prompt(model: CachedModel, tokens: Sequence[int], control: Control) -> Tensor:
    """Logits [vocab] after ``tokens``, which are read in blocks.

    Raises:
        Interrupted: the answer was cancelled.
    """
    start = 0
    while True:
        # Blocks are counted from the first token of the prompt, wherever reading starts.
        end = start + model.block_size - model.num_tokens % model.block_size
        logits = model.read(tokens[start:end], lambda: control.is_cancelled)
        if end >= len(tokens):
            return logits
        start = end
