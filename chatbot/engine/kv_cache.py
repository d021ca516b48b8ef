"""The model together with the keys and values of the tokens it has read.

They live on from one answer to the next, so that only what is new is computed.

Numbers are rounded differently when the same tokens are read in other portions, so what an answer
was computed from could show in its words. Therefore prompts are always read in blocks that start at
multiples of the block size, and the cache remembers how many of its leading tokens are as they
would be if it had been empty: a seeded answer reuses those alone, and so depends on nothing but
its prompt, its settings and the machine.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from chatbot.engine.decode.batch import Batch
from chatbot.engine.decode.brake import Brake
from chatbot.engine.decode.cpu.packing import packed_architecture
from chatbot.engine.decode.cpu.preparing import fused_refusal
from chatbot.engine.decode.decoder import Decoder, Interrupted
from chatbot.engine.decode.gpu.graphs import CudaCapture
from chatbot.engine.decode.gpu.static import StaticDecoder
from chatbot.engine.decode.gpu.static_fused_step import StaticFusedStep, static_fused_refusal
from chatbot.engine.decode.gpu.static_step import ForwardStep, StaticStep, forward_refusal
from chatbot.engine.decode.plain import TransformersDecoder
from chatbot.engine.device_sampling import DeviceSampler
from chatbot.engine.drawing import DrawingRun
from chatbot.engine.history import TokenHistory
from chatbot.engine.pipeline import Pipeline, pipeline_for
from chatbot.engine.sampling import Sampler

CPU_BLOCK: Final = 256
GPU_BLOCK: Final = 512
"""Prompt tokens that are read at a time. On a CPU twice as many are a tenth quicker where weights
are in 16 bits (measured); but where a library multiplies, a seeded answer begins with reading half
a block anew."""

NUM_APART: Final = 16
"""Tokens at the end of a prompt before which one can go back to, whatever the model: more than
templates put there to begin an answer, which the next prompt may have in another form, as where it
leaves out what was thought."""


def _never() -> bool:
    return False


class CachedModel:
    """A language model that remembers what it has read."""

    def __init__(self, model: Any) -> None:
        """Use ``model``, a transformers model for causal language modelling in eval mode."""
        self._model = model
        self._device = torch.device(model.device)
        self._brake = Brake(model)
        self._refusal: str | None = None
        self._drawing: DrawingRun | None = None
        self.block_size = CPU_BLOCK if self._device.type == "cpu" else GPU_BLOCK
        self.clear()

    @property
    def device(self) -> torch.device:
        """Where the logits are."""
        return self._device

    def sampler(self, history: TokenHistory) -> Sampler:
        """What draws the tokens of one answer where the logits are."""
        return self._sampler(history, self._drawing_run)

    def sampler_beside_others(self, history: TokenHistory) -> Sampler:
        """The same for one of several answers that are drawn by turns: it draws as it would alone,
        but by memory of its own. There nothing is captured: one answer is too short to pay for it.
        """
        return self._sampler(history, self._own_drawing_run)

    def _sampler(self, history: TokenHistory, run_for: Callable[[int], DrawingRun]) -> Sampler:
        if self._device.type != "cuda":
            return Sampler(history, self._device)
        return DeviceSampler(history, self._device, run_for)

    def _drawing_run(self, vocab_size: int) -> DrawingRun:
        if self._drawing is None or self._drawing.logits.shape[0] != vocab_size:
            self._drawing = DrawingRun(vocab_size, self._device, CudaCapture())
        return self._drawing

    def _own_drawing_run(self, vocab_size: int) -> DrawingRun:
        return DrawingRun(vocab_size, self._device, None)

    def pipeline(self, sampler: Sampler, num_facts: int) -> Pipeline | None:
        """What launches the steps of one answer ahead; None where its decoder cannot."""
        return pipeline_for(self, self._decoder, sampler, num_facts)

    @property
    def num_tokens(self) -> int:
        """How many tokens have been read."""
        return len(self._tokens)

    @property
    def decoder_name(self) -> str:
        """Which step computes: ``fused`` is our own, ``transformers`` the model's, ``static`` the
        model's on a cache that does not move, and with ``graph`` it is one launch."""
        return self._decoder.name

    @property
    def decoder_reason(self) -> str:
        """Why it is the model's own step on a cache that grows; empty when it is not."""
        return self._refusal or ""

    @property
    def num_layers(self) -> int:
        """Layers of the model, before each of which is asked whether to go on."""
        return int(getattr(self._model.config.get_text_config(), "num_hidden_layers", 1))

    @property
    def can_go_back(self) -> bool:
        """Whether tokens that were read last can be taken back alone."""
        return self._decoder.can_go_back

    @property
    def row_cost(self) -> float:
        """See ``Decoder``."""
        return self._decoder.row_cost

    @property
    def num_cache_bytes(self) -> int:
        """Memory of keys and values."""
        return self._decoder.num_cache_bytes

    def clear(self) -> None:
        """Forget everything that was read; after this the model's layers may be others."""
        self._tokens: list[int] = []
        self._num_exact = 0
        """Leading tokens that are as they would be if the cache had been empty before."""
        self._decoder = self._make_decoder()
        if not self._decoder.reads_portions:
            self.block_size = sys.maxsize
        self._least = self._decoder.exact_from or self.block_size
        """Tokens in a portion from which on it does not matter how many there are."""

    def _make_decoder(self) -> Decoder:
        if self._device.type == "cuda":
            step, reason = self._static_step()
            if step is not None:
                self._refusal = ""
                return StaticDecoder(step, self._brake, CudaCapture())
        else:
            reason = fused_refusal(self._model)
            if not reason:
                self._refusal = ""
                from chatbot.engine.decode.cpu.fused import FusedDecoder  # a compiler comes with it

                return FusedDecoder(packed_architecture(self._model))
        if reason != self._refusal:
            print(f"computed by transformers: {reason}", file=sys.stderr, flush=True)
        self._refusal = reason
        return TransformersDecoder(self._model, self._brake)

    def _static_step(self) -> tuple[StaticStep | None, str]:
        """The quickest step that can be captured; None and why there is none."""
        if not static_fused_refusal(self._model):
            return StaticFusedStep(self._model, self._brake), ""
        reason = forward_refusal(self._model)
        return (None if reason else ForwardStep(self._model)), reason

    def rewind(self, prompt: Sequence[int], *, reproducible: bool) -> int:
        """Forget what does not belong to ``prompt``; at least one token is left to read.

        Args:
            prompt: at least one token.
            reproducible: keep only what is as it would be if nothing could be kept.

        Returns:
            How many leading tokens of the prompt need not be read again.
        """
        kept = 0
        limit = min(len(prompt) - 1, len(self._tokens))
        while kept < limit and prompt[kept] == self._tokens[kept]:
            kept += 1
        end = max(len(prompt) - self.num_apart, 0)
        if reproducible:
            kept = self._exact_start(min(kept, self._num_exact, end), end)
        self._crop(kept)
        # Where it could not go back to just there, it may be within a block.
        while reproducible and (start := self._exact_start(self.num_tokens, end)) < self.num_tokens:
            self._crop(start)
        return self.num_tokens

    @property
    def num_apart(self) -> int:
        """How many tokens at the end of a prompt are read by themselves, if there are more."""
        return NUM_APART if self._decoder.needs_places else 0

    def note_place(self) -> None:
        """Have what was read so far be a place to go back to, if it cannot go back anywhere."""
        self._decoder.note_place(self.num_tokens)

    def take_back(self, num_tokens: int) -> None:
        """Forget the last ``num_tokens``, as if they had never been read."""
        self._crop(len(self._tokens) - num_tokens)

    def read(self, tokens: Sequence[int], is_cancelled: Callable[[], bool] = _never) -> Tensor:
        """Read on.

        Args:
            tokens: at least one.
            is_cancelled: asked before each layer of the model.

        Returns:
            Logits for the token that follows the last one: [vocab], in the model's dtype.

        Raises:
            Interrupted: it was cancelled; it is as if these tokens were never read.
            Exception: whatever the model raised; the cache is empty then.
        """
        start = len(self._tokens)
        logits = self._read(tokens, is_cancelled)
        if start == self._num_exact and len(tokens) >= self._least:
            self._num_exact += len(tokens)
        return logits

    def read_each(self, tokens: Sequence[int], is_cancelled: Callable[[], bool] = _never) -> Tensor:
        """As ``read``, with logits after each of the tokens: [tokens, vocab]."""
        return self._read(tokens, is_cancelled, wants_each=True)

    def note_read(self, token: int) -> None:
        """Say that a step which was launched elsewhere has read ``token`` after all others."""
        self._tokens.append(token)

    @contextlib.contextmanager
    def emptied_by_errors(self) -> Iterator[None]:
        """Forget everything when what is done meanwhile fails, but not when it is broken off.

        Some layers may hold the new tokens then, and others not; or what they hold is no number,
        which spoils what is read later even where it is masked.
        """
        try:
            yield
        except (Interrupted, GeneratorExit):
            raise
        except BaseException:
            self.clear()
            raise

    def branch(self, num_rows: int) -> Batch:
        """Several sequences that begin with what was read so far, which stays as it is."""
        return self._decoder.branch(num_rows, self.num_tokens)

    def _read(
        self,
        tokens: Sequence[int],
        is_cancelled: Callable[[], bool],
        *,
        wants_each: bool = False,
    ) -> Tensor:
        start = len(self._tokens)
        try:
            logits = self._decoder.read(tokens, start, is_cancelled, wants_each=wants_each)
        except Interrupted:
            self._keep(self._decoder.crop(start))
            raise
        except BaseException:
            self.clear()  # some layers may hold the new tokens and others not
            raise
        self._tokens.extend(tokens)
        return logits

    def _exact_start(self, num_kept: int, num_tokens: int) -> int:
        """From which of ``num_tokens`` on to read, so that no portion has too few of them to come
        to what they would in the whole block; ``num_kept`` at most.
        """
        block = num_kept // self.block_size * self.block_size
        end = min(block + self.block_size, num_tokens)
        return block if end - block < self._least else min(num_kept, end - self._least)

    def _crop(self, length: int) -> None:
        if length != len(self._tokens):
            self._keep(self._decoder.crop(length))

    def _keep(self, length: int) -> None:
        """Note that the decoder holds no more than so many tokens."""
        del self._tokens[length:]
        self._num_exact = min(self._num_exact, length)
