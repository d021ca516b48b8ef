"""Several sequences that begin alike, read on together: one step for one more token of each.

Reading the weights is most of a step's cost, and they are read once for all rows. All rows
have the same length, so nothing is padded and nothing is masked.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor


class Batch(ABC):
    """Rows with keys and values of their own. What they began with stays where it was."""

    num_rows: int

    @abstractmethod
    def read(self, tokens: Sequence[int], is_cancelled: Callable[[], bool]) -> Tensor:
        """Read one more token in each row.

        Args:
            tokens: one for each row.
            is_cancelled: asked before each layer.

        Returns:
            Logits [rows, vocab].

        Raises:
            Interrupted: it was cancelled; the batch is of no use any more.
        """

    @abstractmethod
    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, in this order.

        Args:
            rows: indices, not more than there are rows; one may be there several times.
        """
