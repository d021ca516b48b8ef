"""Whether a model fits into the memory that is free here, and what would.

Knows sizes and memory, nothing of how a model is loaded.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from chatbot.errors import ModelFitError
from chatbot.models.hardware import Hardware
from chatbot.models.memory import BITS, MemoryNeed, memory_need, window_of
from chatbot.models.shape import ModelShape
from chatbot.wording import memory

Verdict = Literal["fits", "split", "no"]
"""``split``: not on the GPUs alone, but with a part of it in RAM, which is much slower."""

_CHOICES: Final[tuple[str, ...]] = ("bf16", "8-bit", "4-bit")
"""What ``auto`` chooses from, the best first."""

_SHORT: Final = 2048
"""Tokens of the shortest window that is proposed."""


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """One precision held against the memory that is free."""

    need: MemoryNeed
    free_bytes: int
    verdict: Verdict


def fit(
    shape: ModelShape,
    precision: str,
    hardware: Hardware,
    context_length: int = 0,
    given_back: int = 0,
) -> Fit:
    """Hold one precision against what is free.

    Args:
        shape: the model's.
        precision: a key of ``BITS``.
        hardware: what there is.
        context_length: window in tokens; see ``memory_need``.
        given_back: bytes that the present model gives back first.
    """
    need = memory_need(shape, precision, context_length, on_cpu=hardware.is_cpu)
    free = hardware.free_bytes + given_back
    if need.total <= free:
        return Fit(need=need, free_bytes=free, verdict="fits")
    can_split = bool(hardware.gpus) and hardware.main.kind != "mps"
    if can_split and need.total <= free + hardware.ram.free_bytes:
        return Fit(need=need, free_bytes=free, verdict="split")
    return Fit(need=need, free_bytes=free, verdict="no")


def automatic(hardware: Hardware) -> tuple[str, ...]:
    """What ``auto`` chooses from on this machine, the best first."""
    if hardware.main.kind == "mps":
        return ("fp16",)
    return _CHOICES if hardware.gpus else _CHOICES[:1]


def fits_of(
    shape: ModelShape, hardware: Hardware, context_length: int = 0, given_back: int = 0
) -> dict[str, Fit]:
    """Every precision held against what is free."""
    return {p: fit(shape, p, hardware, context_length, given_back) for p in BITS}


def best_precision(
    shape: ModelShape,
    hardware: Hardware,
    usable: Sequence[str],
    context_length: int = 0,
    given_back: int = 0,
) -> str:
    """The finest of ``usable`` that fits; where none does, the first of them.

    Args:
        shape: the model's.
        hardware: what there is.
        usable: precisions that work on this device, the best first.
        context_length: window in tokens; see ``memory_need``.
        given_back: bytes that the present model gives back first.
    """
    for precision in usable:
        if fit(shape, precision, hardware, context_length, given_back).verdict == "fits":
            return precision
    return usable[0]


def check_fit(
    name: str,
    shape: ModelShape,
    precision: str,
    hardware: Hardware,
    context_length: int = 0,
    given_back: int = 0,
    hint: str = "",
) -> None:
    """Refuse what does not fit, and say what would.

    Args:
        name: the model's, for the sentence.
        shape: its sizes.
        precision: the one to be loaded.
        hardware: what there is.
        context_length: window in tokens; see ``memory_need``.
        given_back: bytes that the present model gives back first.
        hint: how to load it all the same; the end of the sentence.

    Raises:
        ModelFitError: it does not fit.
    """
    found = fit(shape, precision, hardware, context_length, given_back)
    if found.verdict != "no":
        return
    window = window_of(shape, context_length)
    raise ModelFitError(
        f"{name} takes {memory(found.need.total)} in {precision} with a window of "
        f"{window:,} tokens, and {memory(found.free_bytes)} of {hardware.main.name} are "
        f"free; {_advice(shape, hardware, window, given_back)}{hint}."
    )


def _advice(shape: ModelShape, hardware: Hardware, window: int, given_back: int) -> str:
    for context in (window, *_shorter(window)):
        for precision in _CHOICES:
            found = fit(shape, precision, hardware, context, given_back)
            if found.verdict != "no":
                less = "" if context == window else f" with a window of {context:,} tokens"
                return f"{precision}{less} fits ({memory(found.need.total)})"
    return "it fits in no precision: choose a smaller model"


def _shorter(window: int) -> Iterable[int]:
    while window > _SHORT:
        window = max(window // 2, _SHORT)
        yield window
