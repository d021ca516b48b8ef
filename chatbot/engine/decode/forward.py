"""A transformers model's own ``forward`` and cache, called as ``generate`` calls them.

Families differ in what they call the cache, and in what they can read behind what is in it. Which
it is, is found by trying, since they tell it nowhere. Knows no tokens.
"""

import copy
import inspect
from collections.abc import Sequence
from itertools import repeat
from typing import Any, Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import LinearAttentionCacheLayerMixin

from chatbot.engine.decode.decoder import CPU_ROW_COST, GPU_ROW_COST
from chatbot.engine.decode.experts import Experts
from chatbot.errors import ModelError

CACHE_NAMES: Final = ("past_key_values", "cache_params")
"""What families call the cache: those with attention, and those without."""

STATES: Final = ("conv_states", "recurrent_states")
"""What a layer that is no attention keeps of all tokens before, whatever their number."""

KEEPS_NOTHING: Final = ("moe", "mlp")
"""Kinds of layers, as configurations name them, that look at no other token; up to transformers
5.22, what would keep something stands for them in the cache all the same."""

_NOISE: Final = 0.01
"""By what share of their spread logits may differ when the same is computed twice."""

_knows_portions: Final[WeakKeyDictionary[Any, bool]] = WeakKeyDictionary()


class Forward:
    """Calls one model."""

    def __init__(self, model: Any) -> None:
        """Use ``model``, for causal language modelling.

        Raises:
            ModelError: what it has read is kept where it cannot be reached.
        """
        parameters = inspect.signature(model.forward).parameters
        names = [name for name in CACHE_NAMES if name in parameters]
        if not names:
            raise _refused(model)
        self._model = model
        self._cache_name = names[0]
        self._takes_positions = "position_ids" in parameters
        self._can_keep_last = "logits_to_keep" in parameters
        cost = CPU_ROW_COST if model.device.type == "cpu" else GPU_ROW_COST
        self._experts = Experts(model, cost)
        self.row_cost = self._experts.row_cost
        """See ``Decoder``."""
        if model not in _knows_portions:
            _knows_portions[model] = self._tries_portions()
        self.reads_portions: bool = _knows_portions[model]
        """Whether several tokens behind others can be read at once."""

    def new_cache(self) -> DynamicCache:
        """One that has nothing in it."""
        return DynamicCache(config=self._model.config)

    def __call__(
        self, tokens: Tensor, cache: DynamicCache, start: int, *, wants_each: bool = False
    ) -> Tensor:
        """Read on.

        Args:
            tokens: int64 [rows, tokens], on any device.
            cache: what was read before; these are added to it.
            start: how many tokens that were.
            wants_each: logits after each token, not after the last alone.

        Returns:
            Logits [rows, tokens, vocab], or [rows, vocab] where not each is wanted.
        """
        tokens = tokens.to(self._model.device)
        options: dict[str, Any] = {self._cache_name: cache}
        if self._takes_positions:  # some families count from 0 else, whatever they have read
            positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)
            options["position_ids"] = positions.expand_as(tokens)
        if self._can_keep_last and not wants_each:
            options["logits_to_keep"] = 1
        with torch.inference_mode(), self._experts.for_step(tokens.numel()):
            logits: Tensor = self._model(input_ids=tokens, use_cache=True, **options).logits
        return logits if wants_each else logits[:, -1]

    @torch.inference_mode()
    def _tries_portions(self) -> bool:
        """See ``reads_portions``: there, what is spoiled before them spoils their logits.

        Raises:
            ModelError: it does not keep what it has read in the cache.
        """
        cache = self.new_cache()
        config = self._model.config.get_text_config(decoder=True)
        # Up to transformers 5.22, the cache takes all layers of Recurrent Gemma for attention.
        is_mixed = hasattr(config, "layers_block_type") or any(map(_has_state, cache.layers))
        if self._cache_name == CACHE_NAMES[0] and not is_mixed:
            return True
        two = torch.tensor([[0, 1]])
        try:
            self(two, cache, 0)
        except (ValueError, TypeError, AttributeError):
            raise _refused(self._model) from None
        kinds = getattr(config, "layer_types", None) or repeat("")
        layers = zip(cache.layers, kinds, strict=False)
        if not all(_has_kept(layer) for layer, kind in layers if kind not in KEEPS_NOTHING):
            raise _refused(self._model)
        logits = self(two, copy.deepcopy(cache), 2)
        noise = _NOISE * float(logits.std())
        for name in STATES:
            spoiled = copy.deepcopy(cache)
            for layer in filter(_has_state, spoiled.layers):
                for tensor in _states(layer, (name,)):
                    tensor.fill_(torch.nan)
            if not any(_states(layer, (name,)) for layer in filter(_has_state, spoiled.layers)):
                continue
            # Weights in 4 bits can make numbers of what is none, but others than these.
            if torch.allclose(self(two, spoiled, 2), logits, rtol=0, atol=noise):
                return False
        return True


def _has_state(layer: Any) -> bool:
    return isinstance(layer, LinearAttentionCacheLayerMixin)


def _has_kept(layer: Any) -> bool:
    return bool(_states(layer) if _has_state(layer) else layer.get_seq_length())


def _states(layer: Any, names: Sequence[str] = STATES) -> list[Tensor]:
    tensors = [tensor for name in names for tensor in getattr(layer, name).values()]
    return [tensor for tensor in tensors if tensor is not None]


def _refused(model: Any) -> ModelError:
    return ModelError(
        f"{type(model).__name__} keeps what it has read in a way of its own, with which no chat is "
        "possible here; choose another model."
    )
