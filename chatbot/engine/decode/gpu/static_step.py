"""A step on a cache that does not move, and the one by the model's own ``forward``.

Knows nothing of graphs, and of tokens only that they are numbers in memory.
"""

import inspect
from abc import ABC, abstractmethod
from typing import Any, Final

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from chatbot.engine.decode.decoder import GPU_ROW_COST
from chatbot.engine.decode.experts import Experts
from chatbot.engine.decode.gpu.static_cache import StaticCache
from chatbot.engine.decode.windows import ALIKE, kind_refusal, kinds_of_layers, window_of

MOVING_ROPES: Final = ("dynamic", "longrope")
"""Rotary embeddings that look at how long the text is, on the CPU, with each step."""


def place_refusal(model: Any) -> str:
    """Why a step cannot compute ``model`` where it is, in a few words; empty when it can."""
    places = getattr(model, "hf_device_map", None) or {}
    return "its layers are on several devices" if len(set(places.values())) > 1 else ""


def forward_refusal(model: Any) -> str:
    """Why ``ForwardStep`` cannot compute ``model``, in a few words; empty when it can."""
    name = type(model).__name__
    if not getattr(model, "_can_compile_fullgraph", False):
        return f"{name} knows no static cache"
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return f"{name} takes no positions"
    if reason := place_refusal(model):
        return reason
    config = model.config.get_text_config(decoder=True)
    if reason := kind_refusal(model):
        return reason
    if getattr(config, "num_kv_shared_layers", 0):
        return "some of its layers share keys and values"
    kept = {type(layer) for layer in DynamicCache(config=model.config).layers}
    if kept - {DynamicLayer, DynamicSlidingWindowLayer}:
        return "some of its layers keep something else than keys and values"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope in MOVING_ROPES:
        return f"its rotary embedding is {rope}"
    if config._attn_implementation not in ("sdpa", "eager"):
        return f"its attention is {config._attn_implementation}"
    return ""


class StaticStep(ABC):
    """Computes one model."""

    name: str
    """For statistics: which step this is."""
    row_cost: float = GPU_ROW_COST
    """See ``Decoder``."""

    def __init__(self, model: Any) -> None:
        """Use ``model``, of transformers, in eval mode, on one device."""
        self.device = torch.device(model.device)
        config = model.config.get_text_config(decoder=True)
        self._num_layers = config.num_hidden_layers
        self.num_positions: int = getattr(config, "max_position_embeddings", None) or 2**31
        """At another one some models look up what they have not, which ends a GPU's process."""

    def make_cache(self) -> StaticCache:
        """An empty cache for the model."""
        return StaticCache(self._num_layers, self.device)

    @abstractmethod
    def __call__(
        self,
        cache: StaticCache,
        ids: Tensor,
        positions: Tensor,
        length: int,
        *,
        wants_last: bool = False,
    ) -> Tensor:
        """Read tokens.

        Args:
            cache: with room for ``length`` tokens.
            ids: int64 [rows, n].
            positions: of the n tokens in each row, int64 [n].
            length: how much of the cache is looked at; see ``bucket``.
            wants_last: logits after the last token suffice.

        Returns:
            Logits [rows, n or fewer, vocab].

        Raises:
            Interrupted: a brake was pulled.
        """


class ForwardStep(StaticStep):
    """Computes by the model's own ``forward``."""

    name = "static"

    def __init__(self, model: Any) -> None:
        """Use ``model``, for which there is no refusal."""
        super().__init__(model)
        self._model = model
        self._dtype = model.dtype
        self._is_eager = model.config._attn_implementation == "eager"
        self._windows = {kind: window_of(model, kind) for kind in set(kinds_of_layers(model))}
        parameters = inspect.signature(model.forward).parameters
        self._can_keep_last = "logits_to_keep" in parameters
        self._experts = Experts(model, self.row_cost)
        self.row_cost = self._experts.row_cost

    def __call__(
        self,
        cache: StaticCache,
        ids: Tensor,
        positions: Tensor,
        length: int,
        *,
        wants_last: bool = False,
    ) -> Tensor:
        """See ``StaticStep``."""
        place = cache.place
        place.positions, place.length = positions, length
        masks = {kind: self._mask(positions, length, own) for kind, own in self._windows.items()}
        with self._experts.for_step(ids.numel()):
            output = self._model(
                input_ids=ids,
                attention_mask=masks.get(ALIKE, masks),
                position_ids=positions[None],
                past_key_values=cache,
                use_cache=True,
                **({"logits_to_keep": 1} if wants_last and self._can_keep_last else {}),
            )
        logits: Tensor = output.logits
        return logits

    def _mask(self, positions: Tensor, length: int, window: int | None) -> Tensor:
        """Which of ``length`` tokens are seen: [1, 1, n, length], as the attention wants it."""
        places = torch.arange(length, device=self.device)
        is_seen = places <= positions[:, None]
        if window is not None:
            is_seen &= places > positions[:, None] - window
        mask = is_seen[None, None]
        if not self._is_eager:
            return mask
        lowest = torch.finfo(self._dtype).min
        return torch.zeros_like(mask, dtype=self._dtype).masked_fill_(~mask, lowest)
