"""Which precisions there are on a device, which of them ``auto`` means, and how each is loaded."""

import importlib.util
from collections.abc import Mapping
from typing import Any, Final, get_args

import torch

from chatbot.engine.devices import computes_bf16
from chatbot.errors import ModelError
from chatbot.models.fitting import best_precision
from chatbot.models.hardware import Hardware
from chatbot.models.shape import ModelShape
from chatbot.settings import Precision

DTYPES: Final[Mapping[Precision, torch.dtype]] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}

INT8_THRESHOLD: Final = 6.0
"""LLM.int8: features with a value beyond this are multiplied in 16 bits, the others in 8."""


def automatic(device: torch.device) -> tuple[Precision, ...]:
    """What ``auto`` may mean on ``device``, the best first."""
    half: Precision = "bf16" if computes_bf16(device) else "fp16"
    if device.type == "cuda" and has_bitsandbytes():
        return half, "8-bit", "4-bit"
    return (half,)


def pick_precision(
    wanted: Precision,
    device: torch.device,
    shape: ModelShape | None,
    hardware: Hardware,
    context_length: int = 0,
    given_back: int = 0,
) -> Precision:
    """The precision that ``wanted`` means on ``device``; never ``auto``.

    Args:
        wanted: what the user set.
        device: where the model is to be.
        shape: the model's sizes, if they are known.
        hardware: what is free.
        context_length: the window that there must be room for; see ``memory_need``.
        given_back: bytes that the present model gives back first.

    Raises:
        ModelError: there is no such precision, or it cannot be had here.
    """
    if wanted not in get_args(Precision):
        names = ", ".join(get_args(Precision))
        raise ModelError(f"There is no precision {wanted!r}; there are {names}.")
    if wanted == "auto":
        usable = automatic(device)
        if shape is None:
            return usable[0]
        found = best_precision(shape, hardware, usable, context_length, given_back)
        return next(precision for precision in usable if precision == found)
    if wanted in DTYPES or device.type in ("cuda", "cpu"):
        if device.type == "cuda" and wanted not in DTYPES and not has_bitsandbytes():
            raise ModelError(
                f"{wanted} needs the package bitsandbytes, which is not installed; choose bf16."
            )
        return wanted
    raise ModelError(f"There is no {wanted} on this device ({device.type}); choose fp16.")


def has_bitsandbytes() -> bool:
    """Whether the package is installed; whether it works shows when it is used."""
    return importlib.util.find_spec("bitsandbytes") is not None


def work_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What is computed in, and what is not quantised is kept in."""
    if precision in DTYPES:
        return DTYPES[precision]
    return torch.bfloat16 if computes_bf16(device) else torch.float16


def quantisation(precision: Precision, device: torch.device) -> Any:
    """What transformers is to make of the weights: a configuration, or None for nothing.

    8-bit is LLM.int8, 4-bit is NF4 with its scales quantised once more; for experts see
    ``quantised_experts``. On a CPU, where neither is fast, the weights are rounded after they are
    loaded; see ``decode.preparing``.
    """
    if precision in DTYPES or device.type == "cpu":
        return None
    from transformers import BitsAndBytesConfig

    from chatbot.engine.quantised_experts import round_experts_too

    round_experts_too()
    if precision == "8-bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=INT8_THRESHOLD)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=work_dtype(precision, device),
    )
