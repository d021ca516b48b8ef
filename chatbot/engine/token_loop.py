"""The loop that writes an answer, token by token.

Knows the model, the cache and the sampling rules; nothing of text, templates or clients.
"""

from collections.abc import Collection, Generator, Sequence
from typing import Protocol

from torch import Tensor

from chatbot.engine.history import TokenHistory
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel, Interrupted
from chatbot.engine.recording import Recorder
from chatbot.engine.sampling import Sampler, forbid
from chatbot.messages import FinishReason
from chatbot.settings import Sampling


class Held:
    """The user holds the answer before its next token."""


class Guide(Protocol):
    """What may come next, by whoever reads the tokens that were yielded."""

    def allowed(self, size: int) -> Tensor | None:
        """The tokens that may be next, bool [size] on the CPU, at least one; None: all of them."""
        ...

    def refuses(self, token: int) -> bool:
        """Whether another token is to be drawn in place of this one, which was allowed."""
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
    recorder: Recorder | None = None,
) -> Generator[int | Sampling | Held, None, FinishReason]:
    """Continue ``prompt``.

    The cache must have been rewound to the prompt.

    Args:
        prompt: fewer tokens than ``context_length``.
        control: settings are asked for before each token, and whether to stop many times more.
        sampling: what the client believes to be in use.
        context_length: longest prompt and answer together, in tokens.
        end_tokens: after drawing one of these the answer is over.
        guide: asked before each token is drawn; with none, every token may come.
        recorder: is told what each token was drawn from, before it is yielded.

    Yields:
        Each token, each change of the settings before the first token drawn with it, and
        ``Held`` whenever the answer is about to be held; it goes on when it may.

    Returns:
        Why it ended.

    Raises:
        ModelError: the model's output is not a number.
        Exception: whatever the model raised.
    """
    history = TokenHistory(prompt)
    sampler = Sampler(history, model.device)
    room = context_length - len(prompt)
    num_new = 0
    unread: Sequence[int] = prompt[model.num_tokens :]
    while True:
        try:
            logits = _read(model, unread, control)
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
        token = _draw(sampler, logits, sampling, guide)
        if recorder:
            recorder.note(logits, token, sampler.drawn_from)
        control.take_step()
        num_new += 1
        yield token
        if token in end_tokens:
            return "stop"
        if num_new >= min(room, control.sampling.max_tokens):
            return "length"
        history.append(token)
        unread = [token]


def _draw(sampler: Sampler, logits: Tensor, sampling: Sampling, guide: Guide | None) -> int:
    if guide is None:
        return sampler.draw(logits, sampling)
    allowed = guide.allowed(logits.shape[0])
    if allowed is not None:
        return sampler.draw(logits, sampling, allowed.to(logits.device))
    while guide.refuses(token := sampler.draw(logits, sampling)):
        logits = forbid(logits, [token])
    return token


def _read(model: CachedModel, tokens: Sequence[int], control: Control) -> Tensor:
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
