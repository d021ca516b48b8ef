"""The model together with the keys and values of the tokens it has read.

They live on from one answer to the next, so that only what is new is computed.

Half precision rounds differently when the same tokens are read in other portions, so what
an answer was computed from could show in its words. Therefore prompts are always read in
whole blocks that start at multiples of the block size, and the cache remembers how many of
its leading tokens were: a seeded answer reuses those alone, and so depends on nothing but
its prompt, its settings and the machine.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

CPU_BLOCK: Final = 128
GPU_BLOCK: Final = 512
"""Prompt tokens that are read at a time: more bring no speed there (measured)."""


class Interrupted(Exception):  # noqa: N818  (not an error: the user asked for it)
    """Reading was broken off; what was read before is still there."""


def _never() -> bool:
    return False


class _Brake:
    """Breaks off a model's computation between two of its layers.

    A class of its own so that the model's hooks refer to nothing that refers to the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self.is_pulled: Callable[[], bool] = _never
        for module in model.modules():
            if isinstance(module, nn.ModuleList):
                for layer in module:
                    layer.register_forward_pre_hook(self._check)

    def _check(self, _module: nn.Module, _inputs: Any) -> None:
        if self.is_pulled():
            raise Interrupted


class CachedModel:
    """A language model that remembers what it has read."""

    def __init__(self, model: Any) -> None:
        """Use ``model``, a transformers model for causal language modelling in eval mode."""
        self._model = model
        self._device = torch.device(model.device)
        self._brake = _Brake(model)
        self._keeps_last = (
            {"logits_to_keep": 1}
            if "logits_to_keep" in inspect.signature(model.forward).parameters
            else {}
        )
        self.block_size = CPU_BLOCK if self._device.type == "cpu" else GPU_BLOCK
        self.clear()

    @property
    def device(self) -> torch.device:
        """Where the logits are."""
        return self._device

    @property
    def num_tokens(self) -> int:
        """How many tokens have been read."""
        return len(self._tokens)

    def clear(self) -> None:
        """Forget everything that was read."""
        self._tokens: list[int] = []
        self._num_aligned = 0
        self._past = DynamicCache(config=self._model.config)

    def rewind(self, prompt: Sequence[int], *, reproducible: bool) -> int:
        """Forget what does not belong to ``prompt``; at least one token is left to read.

        Args:
            prompt: at least one token.
            reproducible: keep only what was read in whole blocks.

        Returns:
            How many leading tokens of the prompt need not be read again.
        """
        kept = 0
        limit = min(len(prompt) - 1, len(self._tokens))
        while kept < limit and prompt[kept] == self._tokens[kept]:
            kept += 1
        if reproducible:
            kept = min(kept, self._num_aligned) // self.block_size * self.block_size
        self._crop(kept)
        return self.num_tokens

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
        ids = torch.tensor([list(tokens)], dtype=torch.int64, device=self._device)
        self._brake.is_pulled = is_cancelled
        try:
            with torch.inference_mode():
                output = self._model(
                    input_ids=ids, past_key_values=self._past, use_cache=True, **self._keeps_last
                )
        except Interrupted:
            self._take_back()
            raise
        except BaseException:
            self.clear()  # some layers may hold the new tokens and others not
            raise
        finally:
            self._brake.is_pulled = _never
        self._tokens.extend(tokens)
        if start == self._num_aligned and len(tokens) == self.block_size:
            self._num_aligned += self.block_size
        logits: Tensor = output.logits[0, -1]
        return logits

    @property
    def _can_go_back(self) -> bool:
        """Whether all layers keep every token; other kinds do not."""
        return all(type(layer) is DynamicLayer for layer in self._past.layers)

    def _take_back(self) -> None:
        """Remove new tokens from the layers that got them before the others could."""
        if not self._can_go_back:
            self.clear()
            return
        for layer in self._past.layers:
            layer.crop(len(self._tokens) - layer.get_seq_length())

    def _crop(self, length: int) -> None:
        excess = len(self._tokens) - length
        if excess == 0:
            return
        if length == 0 or not self._can_go_back:
            self.clear()
            return
        self._past.crop(-excess)
        del self._tokens[length:]
        self._num_aligned = min(self._num_aligned, length // self.block_size * self.block_size)
