"""What turns tokens into logits and remembers what it has read."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

from torch import Tensor

from chatbot.engine.decode.batch import Batch

CPU_ROW_COST: Final = 0.3
GPU_ROW_COST: Final = 0.03
"""See ``Decoder.row_cost``: a small step on a GPU is bound by launching it."""


class Interrupted(Exception):  # noqa: N818  (not an error: the user asked for it)
    """Reading was broken off; what was read before is still there."""


class Decoder(ABC):
    """A model and its cache. Which tokens it has read is known to whoever uses it."""

    name: str
    """For statistics: which step this is."""
    can_go_back: bool
    """Whether what was read last can be taken back."""
    needs_places: bool = False
    """Whether it goes back, beyond what ``can_go_back`` says, to noted places alone."""
    exact_from: int = 0
    """From so many tokens in a portion on, what each comes to is the same to the last bit, however
    many there are; 0: there is no such number."""
    reads_portions: bool = True
    """Whether several tokens are read behind others at once; else one by one, which takes as many
    steps, so that a prompt had better be read in one piece."""
    row_cost: float
    """What one more token in a step costs, as a share of a step of one token. A constant, not
    measured: what is decided by it must come out the same each time."""

    @property
    @abstractmethod
    def num_cache_bytes(self) -> int:
        """Memory of what was read."""

    @abstractmethod
    def crop(self, length: int) -> int:
        """Keep the first ``length`` tokens, or fewer where it cannot go back to just there.

        Returns:
            How many are kept.
        """

    def note_place(self, length: int) -> None:  # noqa: B027  (most can crop anywhere)
        """Have ``crop`` come back to here, where ``length`` tokens were read, if it can be had."""

    @abstractmethod
    def read(
        self,
        tokens: Sequence[int],
        start: int,
        is_cancelled: Callable[[], bool],
        *,
        wants_each: bool = False,
    ) -> Tensor:
        """Read on.

        Args:
            tokens: at least one.
            start: how many were read before.
            is_cancelled: asked before each layer.
            wants_each: logits after each token, not after the last alone.

        Returns:
            Logits [vocab], or [tokens, vocab] where each is wanted.

        Raises:
            Interrupted: it was cancelled; crop to ``start``.
            Exception: whatever the model raised; this cannot be used any more.
        """

    @abstractmethod
    def branch(self, num_rows: int, num_tokens: int) -> Batch:
        """Several sequences behind the ``num_tokens`` that were read, which stay as they are."""
