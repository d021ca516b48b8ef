"""What compiled code is to do with numbers in memory, one instruction after the other.

A step of a small model is a few hundred instructions, each as short as it takes Python to ask for
one; so Python writes them down once, and asks for a layer of them at a time. Knows how they are
written; nothing of what they do.
"""

import enum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray


class Kind(enum.IntEnum):
    """What an instruction does."""

    PRODUCT = 0
    ATTENTION = 1
    NORMALISE = 2
    ADD_AND_NORMALISE = 3
    NORMALISE_HEADS = 4
    PLACE_HEADS = 5
    GATE = 6
    ROUNDING = 7
    """Of activations, before a product that takes them so."""
    TILED_ATTENTION = 8
    """Of many tokens that follow one another."""
    GATE_BY_GELU = 9
    CHOOSE = 10
    """Experts for each token."""
    GROUP = 11
    """What was chosen, by experts."""
    SPREAD = 12
    """Rows of tokens to their experts."""
    PRODUCTS = 13
    """Of the rows of each expert with its own part of a weight."""
    COLLECT = 14
    """What the experts of a token come to."""


GATES: Final = {"silu": Kind.GATE, "gelu_pytorch_tanh": Kind.GATE_BY_GELU}
"""By what transformers calls the activation."""


INSTRUCTION: Final = np.dtype(
    [
        ("kind", np.int64),
        # Where rows of numbers begin, and how many of them one of ``target`` is long.
        ("source", np.int64),
        ("target", np.int64),
        ("target_size", np.int64),
        ("residual", np.int64),
        # A weight; sizes are the bytes from one row to the next.
        ("form", np.int64),
        ("num_outputs", np.int64),
        ("num_inputs", np.int64),
        ("weight", np.int64),
        ("weight_size", np.int64),
        ("scales", np.int64),
        ("scales_size", np.int64),
        ("bias", np.int64),
        ("rounds", np.int64),  # whether activations of many rows are rounded to bf16
        ("epsilon", np.float64),
        # Heads, and what is kept of the tokens that were read.
        ("num_heads", np.int64),
        ("num_kv_heads", np.int64),
        ("first_head", np.int64),
        ("head_size", np.int64),
        ("keys", np.int64),
        ("values", np.int64),
        ("kept_form", np.int64),
        ("num_texts", np.int64),
        ("capacity", np.int64),
        ("turns", np.int64),
        ("is_rotated", np.int64),
        ("scale", np.float64),
        ("bound", np.float64),  # what scores are bent towards; 0: nothing
        ("window", np.int64),  # tokens that a new one sees, itself among them; 0: all
        ("partial_sums", np.int64),
        # Experts; where what is known of the new tokens' choice is kept: see ``routing``.
        ("num_experts", np.int64),
        ("num_chosen", np.int64),
        ("sums_to_one", np.int64),
        ("chosen", np.int64),
        ("shares", np.int64),
        ("places", np.int64),
        ("groups", np.int64),
        ("times", np.int64),  # rows for each new token
        # Known when it is done.
        ("num_rows", np.int64),
        ("start", np.int64),
        ("part", np.int64),
        ("first_chunk", np.int64),
        ("num_chunks", np.int64),
        ("room", np.int64),
        ("room_size", np.int64),
    ]
)
"""Numbers and addresses; each kind of instruction has its own of them, the others are zero."""

Instructions = NDArray[np.void]
"""Any number of ``INSTRUCTION``."""


def instruction(kind: Kind, **fields: Any) -> Instructions:
    """One instruction."""
    made = np.zeros(1, INSTRUCTION)
    made["kind"], made["times"] = kind, 1
    for name, value in fields.items():
        made[name] = value
    return made
