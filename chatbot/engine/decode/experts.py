"""The products of a mixture's experts where few tokens are read.

transformers sorts tokens by their experts. On most GPUs torch then asks the device how many each
was given, and so waits for it in every layer, and cannot be captured; and weights in 8 or 4 bits
would be widened for all experts. Knows how transformers may compute experts instead; nothing of
caches and graphs.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import torch

from chatbot.engine.quantised_experts import num_rounded

GROUPED: Final = "grouped_mm"
"""Tokens sorted by their experts, whose weights are read where they lie."""

GATHERED: Final = "batched_mm"
"""Copies of the weights of each token's experts: these are read and written three times, but
nothing has to be known of them."""

MOST_GATHERED: Final = 16
"""Tokens of a step that is computed so."""

ROW_COST: Final = 0.5
"""See ``Decoder.row_cost``: another token has other experts, which are most of what is read. By the
parameters of Qwen3-30B-A3B."""

GATHERED_ROW_COST: Final = 1.0


class Experts:
    """How the experts of one model are computed, if it has any."""

    def __init__(self, model: Any, row_cost: float) -> None:
        """Look at a model.

        Args:
            model: of transformers.
            row_cost: what it would be without experts.
        """
        self._model = model
        self._ways = model.get_experts_implementation()
        has_experts = any(hasattr(module, "num_experts") for module in model.modules())
        is_grouped = has_experts and GROUPED in self._ways.values()
        self._gathers = is_grouped and (num_rounded(model) > 0 or _grouping_waits(model))
        with_experts = GATHERED_ROW_COST if self._gathers else ROW_COST
        self.row_cost = with_experts if has_experts else row_cost
        """See ``Decoder``."""

    @contextlib.contextmanager
    def for_step(self, num_tokens: int) -> Iterator[None]:
        """Have a step of so many tokens wait for nothing, and look at no other experts than theirs,
        where they are few."""
        if not self._gathers or num_tokens > MOST_GATHERED:
            yield
            return
        ways = {name: GATHERED if way == GROUPED else way for name, way in self._ways.items()}
        self._model.set_experts_implementation(ways)
        try:
            yield
        finally:
            self._model.set_experts_implementation(self._ways)


def _grouping_waits(model: Any) -> bool:
    """Whether torch has no kernel for groups whose sizes only the device knows: it has one for some
    GPUs (Hopper and the larger Blackwells) in bf16."""
    if model.device.type != "cuda":
        return False
    major, _ = torch.cuda.get_device_capability(model.device)
    return torch.version.hip is not None or major not in (9, 10) or model.dtype != torch.bfloat16
