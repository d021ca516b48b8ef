"""Rotary positions (Su et al. 2021): by what each pair of a head's numbers is turned.

Knows positions; nothing of what is turned.
"""

from typing import Final

import torch
from torch import Tensor

from chatbot.engine.decode.architecture import Rotation

_FIRST: Final = 1024
"""Positions that are reckoned at once, at least."""


class Rotations:
    """The rotation of each position, rounded to what flows through the layers, as transformers
    does."""

    def __init__(self, rotation: Rotation, dtype: torch.dtype) -> None:
        self._rotation = rotation
        self._dtype = dtype
        self._table = torch.empty(0, rotation.frequencies.shape[0], dtype=torch.complex64)

    def until(self, num_tokens: int) -> Tensor:
        """Of at least the first ``num_tokens`` positions: complex [positions, head size / 2]."""
        if num_tokens > self._table.shape[0]:
            self._table = self._reckoned(max(num_tokens, 2 * self._table.shape[0], _FIRST))
        return self._table

    def _reckoned(self, num_tokens: int) -> Tensor:
        rotation, dtype = self._rotation, self._dtype
        angles = torch.arange(num_tokens)[:, None].float() * rotation.frequencies
        real = (angles.cos() * rotation.scale).to(dtype).float()
        imaginary = (angles.sin() * rotation.scale).to(dtype).float()
        return torch.complex(real, imaginary)
