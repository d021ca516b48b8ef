"""Transformers' own step on a cache that does not move, captured as a graph where that is possible.

A small step on a GPU is bound by launching its kernels one by one; a graph launches them all.
Nothing waits for it: the first tokens of each length come without, and then it is captured.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from chatbot.engine.decode.decoder import Decoder
from chatbot.engine.decode.graphs import Capture, Step
from chatbot.engine.decode.plain import GPU_ROW_COST, Brake
from chatbot.engine.decode.static_cache import StaticCache, bucket

Draw = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Draws at the end of a step, on the device: of the logits [vocab], the token that was read, int64
[1], and its position, int64 [1], it makes the next token, int64 [1]. It may be captured."""

NUM_EAGER: Final = 2
"""Steps of one kind before it is captured: for one or two it would not pay."""

MAX_ROWS: Final = 16
"""A step of few tokens, as guesses are checked by, is captured as one of so many."""

MOVING_ROPES: Final = ("dynamic", "longrope")
"""Rotary embeddings that look at how long the text is, on the CPU, with each step."""


def static_refusal(model: Any) -> str:
    """Why ``model`` cannot run on a static cache, in a few words; empty when it can."""
    name = type(model).__name__
    if not getattr(model, "_can_compile_fullgraph", False):
        return f"{name} knows no static cache"
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return f"{name} takes no positions"
    places = getattr(model, "hf_device_map", None) or {}
    if len(set(places.values())) > 1:
        return "its layers are on several devices"
    config = model.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    if kinds != {"full_attention"} or (
        window is not None
        and getattr(config, "layer_types", None) is None
        and getattr(config, "use_sliding_window", True)
    ):
        return "some of its layers look back over a window"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope in MOVING_ROPES:
        return f"its rotary embedding is {rope}"
    if config._attn_implementation not in ("sdpa", "eager"):
        return f"its attention is {config._attn_implementation}"
    return ""


class StaticDecoder(Decoder):
    """Reads tokens by the model's own ``forward``, one at a time by graphs."""

    can_go_back = True
    row_cost = GPU_ROW_COST

    def __init__(self, model: Any, brake: Brake, capture: Capture | None) -> None:
        """Use ``model``, for which there is no refusal.

        Args:
            model: of transformers, in eval mode, on one device.
            brake: breaks off what is not captured.
            capture: turns a step into a faster one; None: steps stay as they are.
        """
        self._model = model
        self._brake = brake
        self._capture = capture
        self._device = torch.device(model.device)
        self._dtype = model.dtype
        self._is_eager = model.config._attn_implementation == "eager"
        parameters = inspect.signature(model.forward).parameters
        self._options = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        # What captured steps read, by how many tokens they read: their memory never changes.
        self._inputs = {
            rows: torch.zeros(2, rows, dtype=torch.int64, device=self._device)
            for rows in (1, MAX_ROWS)
        }
        self.clear()

    @property
    def name(self) -> str:  # type: ignore[override]
        """``graph`` where steps are captured by now, else ``static``."""
        return "graph" if self._captured else "static"

    @property
    def num_cache_bytes(self) -> int:
        """See ``Decoder``."""
        return self._cache.num_bytes

    def clear(self) -> None:
        """See ``Decoder``."""
        config = self._model.config.get_text_config(decoder=True)
        self._cache = StaticCache(config.num_hidden_layers, self._device)
        self._forget_graphs()

    def _forget_graphs(self) -> None:
        self._captured: dict[tuple[int, int | Draw], Step] = {}
        self._num_run: dict[tuple[int, int | Draw], int] = {}

    def crop(self, length: int) -> bool:
        """See ``Decoder``; whatever follows is masked until it is written over."""
        return True

    @torch.inference_mode()
    def read(
        self,
        tokens: Sequence[int],
        start: int,
        is_cancelled: Callable[[], bool],
        *,
        wants_each: bool = False,
    ) -> Tensor:
        """See ``Decoder``; a captured step is not broken off."""
        is_small = len(tokens) == 1 or (wants_each and len(tokens) <= MAX_ROWS)
        rows = len(tokens) if not is_small else 1 if len(tokens) == 1 else MAX_ROWS
        length = bucket(start + rows)
        if self._cache.reserve(length, start):
            self._forget_graphs()
        if is_small:
            logits = self._read_small(tokens, start, length, rows, is_cancelled)
            return logits if wants_each else logits[-1]
        ids = torch.tensor([list(tokens)], dtype=torch.int64, device=self._device)
        positions = torch.arange(start, start + rows, device=self._device)
        with self._brake.pulled_by(is_cancelled):
            logits = self._forward(ids, positions, length, {} if wants_each else self._options)
        return logits if wants_each else logits[-1]

    def _read_small(
        self,
        tokens: Sequence[int],
        start: int,
        length: int,
        rows: int,
        is_cancelled: Callable[[], bool],
    ) -> Tensor:
        """Logits [tokens, vocab]. What follows the tokens up to ``rows`` is never looked at."""
        inputs = self._inputs[rows]
        if rows == 1:  # a copy from the CPU would wait for the device
            inputs[0].fill_(tokens[0])
            inputs[1].fill_(start)
        else:
            ids = [*tokens, *[tokens[-1]] * (rows - len(tokens))]
            inputs.copy_(torch.tensor([ids, list(range(start, start + rows))]))
        step = self._captured_step((length, rows), lambda: self._step(length, rows))
        if step is not None:
            # Cloned, because the next step writes over it.
            return step().clone()[: len(tokens)]
        with self._brake.pulled_by(is_cancelled):
            return self._step(length, rows)[: len(tokens)]

    def _step(self, length: int, rows: int) -> Tensor:
        """Logits [rows, vocab] after the tokens that are in their fixed memory."""
        ids, positions = self._inputs[rows][:1], self._inputs[rows][1]
        return self._forward(ids, positions, length, {})

    def has_room(self, num_tokens: int) -> bool:
        """Whether so many tokens are read without anything being moved."""
        return bucket(num_tokens) <= self._cache.place.capacity

    @torch.inference_mode()
    def read_and_draw(self, draw: Draw, start: int, token: int | None) -> None:
        """Read a token and draw the next one, as one graph; nothing is waited for.

        Args:
            draw: the same one again and again, since its steps are captured with it.
            start: how many tokens were read before; there is room for one more.
            token: to read; None for what the step before has drawn.
        """
        inputs = self._inputs[1]
        if token is not None:
            inputs[0].fill_(token)
        inputs[1].fill_(start)
        length = bucket(start + 1)

        def step() -> Tensor:
            return self._step_and_draw(length, draw)

        (self._captured_step((length, draw), step) or step)()

    def _step_and_draw(self, length: int, draw: Draw) -> Tensor:
        token, position = self._inputs[1].unbind()
        drawn = draw(self._step(length, 1)[0], token, position)
        return token.copy_(drawn)

    def _captured_step(self, kind: tuple[int, int | Draw], step: Step) -> Step | None:
        """The captured form of ``step``, made when it has run often enough without."""
        if kind in self._captured:
            return self._captured[kind]
        count = self._num_run[kind] = self._num_run.get(kind, 0) + 1
        if self._capture is None or count <= NUM_EAGER:
            return None
        # A step that draws writes over what it reads, and runs once while it is captured.
        token = self._inputs[1].clone()
        try:
            self._captured[kind] = self._capture(step)
        except Exception as error:
            # It goes on as it is, and the statistics say so.
            print(f"not captured as a graph: {error}", file=sys.stderr, flush=True)
            self._capture = None
            self._captured = {}
            return None
        finally:
            self._inputs[1].copy_(token)
        return self._captured[kind]

    def _forward(
        self, ids: Tensor, positions: Tensor, length: int, options: dict[str, int]
    ) -> Tensor:
        """Logits [n or 1, vocab] after ``ids`` [1, n] at ``positions`` [n]."""
        place = self._cache.place
        place.positions, place.length = positions, length
        is_seen = torch.arange(length, device=self._device) <= positions[:, None]
        mask = is_seen[None, None]
        if self._is_eager:
            lowest = torch.finfo(self._dtype).min
            mask = torch.zeros_like(mask, dtype=self._dtype).masked_fill_(~mask, lowest)
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions[None],
            past_key_values=self._cache,
            use_cache=True,
            **options,
        )
        logits: Tensor = output.logits[0]
        return logits
