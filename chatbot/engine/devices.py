"""What torch may compute on here, how much memory is free there, and how much a model takes."""

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

import torch
from torch import Tensor

from chatbot.models import hardware
from chatbot.models.hardware import Device, Hardware

CPU: Final = torch.device("cpu")

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""Numbers that glibc's ``mallopt`` knows its settings by."""

_MAPPED_BYTES: Final = 128 * 2**10
_USUAL_BYTES: Final = 32 * 2**20
"""What glibc begins with, and what it comes to by itself once large pieces were freed."""


def take_device() -> torch.device:
    """The fastest device there is, which torch works on from now on."""
    if torch.cuda.is_available():
        device = torch.device("cuda", _roomiest())
        # Streams and graphs are those of the device in use, whichever one tensors are on.
        torch.cuda.set_device(device)
        # It makes a plan for each new shape, tens of milliseconds long, and each prompt has one.
        torch.backends.cuda.enable_cudnn_sdp(False)
        return device
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return CPU


def look(device: torch.device) -> Hardware:
    """What is free now, by torch's own account of the GPUs that it may use."""
    here = hardware.look() if device.type == "mps" else Hardware(gpus=(), ram=hardware.look().ram)
    if device.type != "cuda":
        return here
    gpus = []
    kind: Any = "rocm" if torch.version.hip else "cuda"
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        gpus.append(Device(kind=kind, name=name, free_bytes=free, total_bytes=total))
    return Hardware(gpus=tuple(gpus), ram=here.ram)


def computes_bf16(device: torch.device) -> bool:
    """Whether bf16 is a precision of its own there, not an imitation."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu"


def bytes_by_device(model: Any, others: Iterable[Tensor] = ()) -> dict[str, int]:
    """Where a model's weights lie, and how many bytes of them; ``disk`` for those in no memory.

    What is shared, such as a tied head, counts once.

    Args:
        model: of torch.
        others: weights of it that are no parameters.
    """
    found: dict[str, int] = {}
    seen = set[int]()
    for tensor in (*_tensors(model), *others):
        if tensor.device.type == "meta":
            found["disk"] = found.get("disk", 0) + tensor.numel() * tensor.element_size()
            continue
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen:
            continue
        seen.add(storage.data_ptr())
        place = str(tensor.device)
        found[place] = found.get(place, 0) + storage.nbytes()
    return found


def scales_4bit(parameter: Tensor) -> Iterator[Tensor]:
    """What bitsandbytes reads with a weight in 4 bits and keeps beside it: a scale for every 64
    numbers, those of the scales, and the tables of both; nothing for any other weight.
    """
    state = getattr(parameter, "quant_state", None)
    for scales in (state, getattr(state, "state2", None)):
        for name in ("absmax", "code"):
            tensor = getattr(scales, name, None)
            if isinstance(tensor, Tensor):
                yield tensor


def release_memory() -> None:
    """Give back the memory of a model that nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    trim_memory()


def trim_memory() -> None:
    """Give the system what was freed; takes some milliseconds."""
    trim = _of_glibc("malloc_trim")  # which keeps small pieces for itself until it is told
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def mapped_pieces() -> Iterator[None]:
    """Have each large piece of memory in a map of its own for as long as this lasts.

    Weights that are allocated so leave no gaps behind when they go, and take no more than they
    fill. For what comes and goes with every token it would be slow.
    """
    set_option = _of_glibc("mallopt")
    if set_option is None:
        yield
        return
    set_option(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
    try:
        yield
    finally:
        set_option(_M_MMAP_THRESHOLD, _USUAL_BYTES)
        set_option(_M_TRIM_THRESHOLD, 2 * _USUAL_BYTES)


def _of_glibc(name: str) -> Any:
    """A function of the C library; None where that has it not."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def _tensors(model: Any) -> Iterator[Tensor]:
    for parameter in model.parameters():
        yield parameter
        yield from scales_4bit(parameter)
        scales_8bit = getattr(parameter, "SCB", None)
        if isinstance(scales_8bit, Tensor):
            yield scales_8bit
    yield from model.buffers()


def _roomiest() -> int:
    """The GPU with most free memory; the first of several that are equal."""
    counts = range(torch.cuda.device_count())
    return max(counts, key=lambda index: (torch.cuda.mem_get_info(index)[0], -index))
