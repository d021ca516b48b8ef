"""What all answers to one prompt share: its tokens, read once, and how each becomes text.

Knows nothing of how the answers are chosen.
"""

import time
from collections.abc import Sequence

import msgspec
from torch import Tensor

from chatbot.engine.answer import window_for
from chatbot.engine.answer_reader import AnswerReader
from chatbot.engine.dialects.dialect import Piece, Text, Thinking
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel
from chatbot.engine.prompt_meter import PromptMeter, Tell
from chatbot.engine.protocol.answer import Generate
from chatbot.engine.protocol.variants import GenerateVariants, SearchBeams, VariantDelta
from chatbot.engine.reading import read_prompt
from chatbot.engine.thought import Thought
from chatbot.messages import Statistics


class SharedPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt that several answers begin behind."""

    tokens: tuple[int, ...]
    window: int
    """Longest prompt and answer together, in tokens."""
    is_thinking: bool
    """The prompt opens a thought, so the answer begins inside it."""


def build_prompt(loaded: LoadedModel, request: GenerateVariants | SearchBeams) -> SharedPrompt:
    """The prompt that ``request`` describes.

    Raises:
        ModelError: the template fails.
        ContextError: there is no room for an answer.
    """
    if request.is_completion:
        built = loaded.prompts.build_text(request.messages)
    else:
        built = loaded.prompts.told(request.thinking).build(request.messages)
    return SharedPrompt(
        tokens=tuple(built.tokens),
        window=window_for(loaded, len(built.tokens), request.context_length),
        is_thinking=built.opens_thinking,
    )


def make_reader(
    loaded: LoadedModel, request: GenerateVariants | SearchBeams, prompt: SharedPrompt
) -> AnswerReader:
    """What turns the tokens of one of the answers into text.

    Raises:
        ModelError: the schema cannot be enforced.
    """
    alone = Generate(
        messages=(),
        sampling=request.sampling if isinstance(request, SearchBeams) else request.samplings[0],
        is_completion=request.is_completion,
        stop=request.stop,
        schema="" if isinstance(request, SearchBeams) else request.schema,
    )
    return AnswerReader(loaded, alone, is_thinking=prompt.is_thinking)


def deltas(
    pieces: Sequence[Piece], request_id: int, variant: int, num_tokens: int, thought: Thought
) -> list[VariantDelta]:
    """What the client hears of pieces of an answer; without tools there are no calls in it."""
    return [
        VariantDelta(
            request_id=request_id,
            variant=variant,
            text=piece.text,
            num_tokens=num_tokens,
            is_thinking=True,
            num_thinking_tokens=thought.num_tokens,
            thinking_seconds=thought.seconds,
        )
        if isinstance(piece, Thinking)
        else VariantDelta(
            request_id=request_id, variant=variant, text=piece.text, num_tokens=num_tokens
        )
        for piece in pieces
        if isinstance(piece, Text | Thinking)
    ]


class SharedReading:
    """Reads a prompt once, and counts what answers behind it cost.

    Its clock stands still while the answers are held.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        prompt: SharedPrompt,
        control: Control,
        tell: Tell,
        *,
        reproducible: bool,
    ) -> None:
        """Begin to count; nothing is read yet.

        Args:
            loaded: the model.
            prompt: what is read.
            control: what the client changes meanwhile.
            tell: is told how far it is read, where that takes long.
            reproducible: see ``CachedModel.rewind``.
        """
        self._loaded = loaded
        self._prompt = prompt
        self._control = control
        self._start = self.now
        self._first = self._last = 0.0
        self.num_cached = loaded.cached.rewind(prompt.tokens, reproducible=reproducible)
        self._tell = tell

    @property
    def now(self) -> float:
        """Seconds since some moment, without the time that the answers were held."""
        return time.perf_counter() - self._control.held_seconds

    def logits(self) -> Tensor:
        """Logits [vocab] after the prompt, of which only what is not cached is read.

        Raises:
            Interrupted: it was cancelled.
        """
        cached, tokens = self._loaded.cached, self._prompt.tokens
        meter = PromptMeter(len(tokens), self.num_cached, cached.num_layers, self._tell)
        return read_prompt(cached, tokens[cached.num_tokens :], self._control, meter)

    @property
    def num_read(self) -> int:
        """Tokens of the prompt that had to be read, for all answers together."""
        return len(self._prompt.tokens) - self.num_cached

    @property
    def seconds(self) -> float:
        """From the beginning to the last step."""
        return max(self._last, self._start) - self._start

    def note_step(self) -> None:
        """Note that each answer has one more token."""
        self._last = self.now
        self._first = self._first or self._last

    def statistics(self, variant: int, num_new_tokens: int) -> Statistics:
        """What an answer cost that ended with the last step.

        What was read of the prompt counts for the first answer alone: the others found all
        of it in the cache.
        """
        num_prompt = len(self._prompt.tokens)
        first = self._first or self.now
        return Statistics(
            num_prompt_tokens=num_prompt,
            num_cached_tokens=num_prompt if variant else self.num_cached,
            num_new_tokens=num_new_tokens,
            first_token_seconds=first - self._start,
            decode_seconds=max(self._last, first) - first,
            decoder=self._loaded.cached.decoder_name,
            decoder_reason=self._loaded.cached.decoder_reason,
        )
