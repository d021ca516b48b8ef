"""Steps that are launched before the token they read is known here: a GPU never waits for Python.

While the device computes one step, the token of the step before is looked at: whether it ends the
answer, what it says, what is sent of it. What turns out not to be wanted is thrown away. Knows
steps and draws; nothing of why an answer ends.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from chatbot.engine.decode.gpu.readback import Readback
from chatbot.engine.decode.gpu.static import StaticDecoder
from chatbot.engine.device_sampling import DeviceSampler, draws_on_device
from chatbot.engine.drawing import StepDraw
from chatbot.engine.failures import overflow_error
from chatbot.engine.sampling import Sampler
from chatbot.settings import Sampling

if TYPE_CHECKING:
    from chatbot.engine.kv_cache import CachedModel


class Drawn(NamedTuple):
    """What came of one draw on the device."""

    token: int
    facts: Sequence[float]
    """See ``token_facts``; empty where nothing is recorded."""


class Pipeline:
    """One answer's steps, each with the draw of the next token in it.

    At most two are under way: one whose draw is looked at next, and one that reads that draw's
    token. What is dropped leaves no trace: keys and values at its place are written over, and
    random numbers go by places as well.
    """

    def __init__(
        self, model: "CachedModel", decoder: StaticDecoder, sampler: DeviceSampler, num_facts: int
    ) -> None:
        """Nothing is launched yet.

        Args:
            model: is told what was read.
            decoder: its decoder.
            sampler: the answer's.
            num_facts: likeliest tokens to record for each token; 0: nothing is recorded.
        """
        self._model = model
        self._decoder = decoder
        self._sampler = sampler
        self._num_facts = num_facts
        self._draw: StepDraw | None = None
        self._readback: Readback | None = None
        self._samplings: list[Sampling] = []
        """Of the draws that are under way, the oldest first."""
        self._reads_drawn = False
        """Whether the last step read a token that was not known here when it was launched."""

    @property
    def is_ahead(self) -> bool:
        """Whether a step has read a token of which the model was not told."""
        return self._reads_drawn

    def can_launch(self, sampling: Sampling) -> bool:
        """Whether the next step may be one of these."""
        next_end = self._model.num_tokens + 1
        return draws_on_device(sampling) and self._decoder.has_room(next_end)

    def launch(self, vocab_size: int, sampling: Sampling, token: int | None = None) -> None:
        """Start a step, and the draw at its end.

        Args:
            vocab_size: length of the logits.
            sampling: settings for the draw.
            token: what is read; None: what the step before draws.

        Raises:
            Exception: whatever the model raised; the cache is empty then.
        """
        draw = self._sampler.step_draw(vocab_size, sampling, self._num_facts, is_seen=token is None)
        with self._model.emptied_by_errors():
            self._decoder.read_and_draw(draw, self._model.num_tokens, token)
        if self._readback is None:
            self._readback = Readback(draw.results)
        self._readback.send(draw.results)
        self._draw = draw
        self._samplings.append(sampling)
        self._reads_drawn = token is None
        if token is not None:
            self._model.note_read(token)

    def confirm(self, token: int) -> None:
        """Say which token the last step has read: it is the one that stands in the text."""
        self._reads_drawn = False
        self._model.note_read(token)

    @property
    def logits(self) -> Tensor:
        """After the last step, float32 [vocab]; the next one writes over them.

        Raises:
            RuntimeError: none was launched.
        """
        if self._draw is None:
            raise RuntimeError("no step was launched")
        return self._draw.logits

    def has_drawn_with(self, sampling: Sampling) -> bool:
        """Whether the next token is being drawn already, with exactly these settings."""
        return bool(self._samplings) and self._samplings[0] is sampling

    def take(self) -> Drawn:
        """The oldest draw; waits for it, but not for the step after it.

        Raises:
            ModelError: the logits were not numbers.
        """
        if self._readback is None:
            raise RuntimeError("no step was launched")
        del self._samplings[0]
        token, share, *facts = self._readback.receive()
        if math.isnan(share):
            raise overflow_error()
        return Drawn(int(token), facts)

    def drop(self) -> bool:
        """Throw away all draws, and the step that was not confirmed.

        Returns:
            Whether there was such a step, which has written over the logits.
        """
        if self._readback is not None:
            self._readback.drop()
        self._samplings.clear()
        was_ahead, self._reads_drawn = self._reads_drawn, False
        if was_ahead:
            self._sampler.forget_seen()
        return was_ahead


def pipeline_for(
    model: "CachedModel", decoder: object, sampler: Sampler, num_facts: int
) -> Pipeline | None:
    """A pipeline, where the model's step and the draw are both made for it."""
    if isinstance(decoder, StaticDecoder) and isinstance(sampler, DeviceSampler):
        return Pipeline(model, decoder, sampler, num_facts)
    return None
