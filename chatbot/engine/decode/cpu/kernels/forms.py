"""How the numbers of a weight can lie in memory."""

import enum
from typing import Final

FILLED: Final = 64
"""Rows are as long as a multiple of this, on every processor; what is behind the last number is
zero."""


BLOCK: Final = 8
"""Outputs of a weight in 4 bits that are together: their sums fill a vector of AVX2."""


class Form(enum.IntEnum):
    """What the numbers are."""

    BF16 = 0
    FP16 = 1
    FP32 = 2
    INT8 = 3
    """Steps from -127 to 127; one scale for each row, in fp32."""
    INT4 = 4
    """Levels from 0 to 15, by groups, in blocks of outputs: see ``level_vectors``."""
