"""One step of our own for models of Llama's build, on a CPU: tokens in, logits out.

A token costs the reading of all weights, and whatever is done besides shows. Few tokens go the
way that does least besides; of a block of a prompt, products and attention are most of its cost.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from chatbot.engine.decode.architecture import Architecture
from chatbot.engine.decode.cpu.few_rows import FewRows
from chatbot.engine.decode.cpu.kernels.block_products import MAX_FEW
from chatbot.engine.decode.cpu.key_values import KeyValues
from chatbot.engine.decode.cpu.many_rows import ManyRows
from chatbot.engine.decode.rotations import Rotations


class FusedStep:
    """Computes by an ``Architecture``."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self._rotations = [Rotations(each, architecture.dtype) for each in architecture.rotations]
        self._few_rows = FewRows(architecture)
        self._many_rows = ManyRows(architecture)
        self.exact_from = MAX_FEW + 1 if self._many_rows.is_exact else 0
        """See ``Decoder``."""

    def __call__(
        self,
        tokens: Sequence[int],
        cache: KeyValues,
        start: int,
        is_cancelled: Callable[[], bool],
        *,
        wants_each: bool,
    ) -> Tensor:
        """Read ``tokens``, one after the other, or one in each row of ``cache``.

        Args:
            tokens: at least one.
            cache: has room for them.
            start: tokens that each row has already.
            is_cancelled: asked before each layer.
            wants_each: logits after each token, not after the last alone.

        Returns:
            Logits [tokens or 1, vocab].

        Raises:
            Interrupted: it was cancelled.
        """
        parts = self.architecture
        is_few = len(tokens) <= MAX_FEW or cache.num_rows > 1
        through = self._few_rows if is_few else self._many_rows
        ids = torch.tensor(tokens, dtype=torch.int64)
        rotations = [each.until(start + len(tokens)) for each in self._rotations]
        rows = through(parts.embedded(ids), cache, start, rotations, is_cancelled)
        return parts.logits(rows if wants_each else rows[-1:])
