"""Memory for what is on its way through the layers, and instructions about places in it.

Knows projections; nothing of models.
"""

from typing import Any

import torch
from torch import Tensor

from chatbot.engine.decode.cpu.kernels.forms import FILLED
from chatbot.engine.decode.cpu.kernels.instructions import Instructions
from chatbot.engine.decode.cpu.projections import DirectProjection
from chatbot.engine.decode.projection import Projection


class Workspace:
    """Rows for some tokens; layer after layer uses the same ones again."""

    def __init__(self, num_tokens: int) -> None:
        self._num_tokens = num_tokens
        self._made: dict[tuple[str, int], Tensor] = {}

    def rows(
        self,
        name: str,
        size: int,
        *,
        times: int = 1,
        is_filled: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Zeros [tokens * times, size], the same for the same name and size.

        Args:
            name: what they are.
            size: numbers in one.
            times: rows for each token.
            is_filled: whether there are more zeros behind, as in rows that a product reads.
            dtype: of the numbers.
        """
        size += -size % FILLED if is_filled else 0
        if (name, size) not in self._made:
            shape = self._num_tokens * times, size
            self._made[name, size] = torch.zeros(shape, dtype=dtype, device="cpu")
        return self._made[name, size]

    def filled(self, rows: Tensor) -> Tensor:
        """``rows`` as products read them: fp32, with zeros behind."""
        made = self.rows("filled", rows.shape[1], is_filled=True)
        made[:, : rows.shape[1]] = rows
        return made


def between(source: Tensor, target: Tensor) -> dict[str, Any]:
    """What an instruction is told of where it reads and writes."""
    return {
        "source": source.data_ptr(),
        "target": target.data_ptr(),
        "target_size": target.shape[1],
    }


def product(
    projection: Projection, source: Tensor, target: Tensor, *, num_weights: int = 1
) -> Instructions:
    """The product of rows with a weight, or with one of ``num_weights`` that lie in it one behind
    the other.

    Raises:
        TypeError: compiled code knows no such weight.
        ValueError: the rows are not as long as the weight's.
    """
    if not isinstance(projection, DirectProjection):
        raise TypeError(f"compiled code does not multiply by a {type(projection).__name__}")
    made = projection.product.copy()
    sizes = int(made["num_inputs"][0]), projection.num_outputs // num_weights
    if sizes != (source.shape[1], target.shape[1]):
        raise ValueError(
            f"a layer multiplies {sizes[0]} numbers to {sizes[1]}, where there are "
            f"{source.shape[1]} and {target.shape[1]}"
        )
    for name, value in between(source, target).items():
        made[name] = value
    return made
