"""Logits after each token of an answer, by whatever gets them soonest.

That may be guesses that were read ahead, or a step that was launched before its token was known.
Knows the model and its cache; nothing of why an answer ends.
"""

from collections.abc import Sequence

from torch import Tensor

from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.decode.lookup import PromptLookup
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.pipeline import Drawn, Pipeline
from chatbot.engine.prompt_meter import PromptMeter
from chatbot.settings import Sampling


class Reader:
    """Reads the tokens of one answer.

    What was read ahead and not confirmed stays in the cache at the end of an answer, and is
    forgotten like any other token that the next prompt does not begin with.
    """

    def __init__(
        self,
        model: CachedModel,
        control: Control,
        lookup: PromptLookup | None,
        pipeline: Pipeline | None,
    ) -> None:
        """Read for one answer.

        Args:
            model: reads.
            control: says whether to break off, and the settings for the next draw.
            lookup: guesses, if any are wanted.
            pipeline: launches steps with their draws, where that is possible.
        """
        self._model = model
        self._control = control
        self._lookup = lookup
        self._pipeline = pipeline
        self._ahead: Sequence[int] = ()
        """Guesses that were read and may yet be confirmed, at the end of the cache."""
        self._rows: Sequence[Tensor] = ()
        """Logits after each of them."""
        self._num_guessed = 0
        self._last = 0
        """The token that was read last."""
        self._vocab_size = 0

    def start(self, prompt: Sequence[int], meter: PromptMeter | None = None) -> Tensor:
        """Logits after the prompt, whose reading is measured by ``meter``.

        Raises:
            Interrupted: the answer was cancelled.
        """
        logits = read_prompt(self._model, prompt, self._control, meter)
        self._vocab_size = logits.shape[0]
        return logits

    def after(self, token: int, most: int, *, is_free: bool) -> Tensor:
        """Logits after ``token``, which the last logits led to.

        Args:
            token: drawn, or put there for the user.
            most: tokens worth guessing.
            is_free: the next token will probably be drawn from all tokens.

        Raises:
            Interrupted: the answer was cancelled.
        """
        self._last = token
        if self._lookup is not None:
            self._lookup.append(token)
        if (self._ahead or self._pipeline) and self._control.is_cancelled:
            raise Interrupted
        if self._pipeline and self._pipeline.is_ahead:
            self._pipeline.confirm(token)
            return self._pipeline.logits
        if self._lookup is not None:
            if self._ahead and self._ahead[0] == token:
                return self._next_row(self._lookup)
            self._forget_guesses(self._lookup)
            guess = self._lookup.guess(most)
            if guess and self._model.can_go_back:
                rows = self._model.read_each([token, *guess], lambda: self._control.is_cancelled)
                self._ahead, self._rows, self._num_guessed = guess, rows[1:].unbind(), len(guess)
                return rows[0]
        sampling = self._control.sampling
        if is_free and self._pipeline and self._pipeline.can_launch(sampling):
            self._pipeline.launch(self._vocab_size, sampling, token)
            return self._pipeline.logits
        return self._read(token)

    def drawn(self, sampling: Sampling, most: int) -> Drawn | None:
        """What the last step has drawn already, if it was with these settings.

        The step after it is launched first, unless there is something to guess.

        Args:
            sampling: settings for the token.
            most: tokens that may still come after it.

        Raises:
            ModelError: the logits are not numbers.
        """
        pipeline = self._pipeline
        if pipeline is None or not pipeline.has_drawn_with(sampling):
            return None
        has_guess = self._lookup is not None and bool(self._lookup.guess(most))
        if most > 0 and not has_guess and pipeline.can_launch(sampling):
            pipeline.launch(self._vocab_size, sampling)
        return pipeline.take()

    def drop_drawn(self, logits: Tensor) -> Tensor:
        """The last ``logits``, though what was drawn from them ahead, if anything, is not wanted.

        Raises:
            Interrupted: the answer was cancelled.
        """
        if self._pipeline and self._pipeline.drop():
            self._model.take_back(1)
            return self._read(self._last)
        return logits

    def _read(self, token: int) -> Tensor:
        return self._model.read([token], lambda: self._control.is_cancelled)

    def _next_row(self, lookup: PromptLookup) -> Tensor:
        logits, self._rows = self._rows[0], self._rows[1:]
        self._ahead = self._ahead[1:]
        if not self._ahead:
            lookup.settle(self._num_guessed, self._num_guessed)
        return logits

    def _forget_guesses(self, lookup: PromptLookup) -> None:
        if self._ahead:
            lookup.settle(self._num_guessed, self._num_guessed - len(self._ahead))
            self._model.take_back(len(self._ahead))
            self._ahead = ()


def read_prompt(
    model: CachedModel,
    tokens: Sequence[int],
    control: Control,
    meter: PromptMeter | None = None,
) -> Tensor:
    """Logits [vocab] after ``tokens``, which are read in blocks.

    Args:
        model: reads.
        tokens: at least one.
        control: says whether to break off.
        meter: measures it.

    Raises:
        Interrupted: the answer was cancelled.
    """

    def is_cancelled() -> bool:
        if meter:
            meter.begin_layer()
        return control.is_cancelled

    start, apart = 0, len(tokens) - model.num_apart
    while True:
        # Blocks are counted from the first token of the prompt, wherever reading starts.
        end = start + model.block_size - model.num_tokens % model.block_size
        end = len(tokens) if start >= apart else min(end, apart)
        portion = tokens[start:end]
        if meter:
            meter.begin_portion(len(portion))
        model.note_place()
        logits = model.read(portion, is_cancelled)
        if end == len(tokens):
            return logits
        start = end
