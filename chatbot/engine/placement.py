"""Where the layers of a model go: one device, or split over GPUs, RAM and the disk.

The splitting itself is accelerate's; here is decided whether there is any, and how much each
place may take.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
import torch

from chatbot import paths
from chatbot.engine.protocol.model_info import DeviceShare
from chatbot.errors import ModelError
from chatbot.models.fitting import fit
from chatbot.models.hardware import Hardware
from chatbot.models.memory import RUNTIME_BYTES, memory_need
from chatbot.models.shape import ModelShape
from chatbot.settings import Precision

RAM_SHARE: Final = 0.9
"""Of the free RAM, what weights may take; the rest is the system's."""

Limits = Mapping[int | str, int]
"""Bytes of weights for each place: a GPU by its number, or ``cpu``."""


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """How a model is to be loaded."""

    device: torch.device | None
    """Where all of it goes; None where it is split."""
    limits: dict[int | str, int] = {}

    def options(self) -> dict[str, Any]:
        """For ``from_pretrained``; on a CPU and an Apple GPU it is moved afterwards."""
        if self.device is not None:
            return {"device_map": {"": self.device}} if self.device.type == "cuda" else {}
        return {
            "device_map": "auto",
            "max_memory": dict(self.limits),
            "offload_folder": str(_offload_folder()),
        }


def place(
    shape: ModelShape | None,
    precision: Precision,
    device: torch.device,
    hardware: Hardware,
    context_length: int = 0,
    limits: Limits | None = None,
) -> Placement:
    """Decide where a model goes.

    Args:
        shape: its sizes; where they are not known it goes to ``device``.
        precision: not ``auto``.
        device: the best one.
        hardware: what is free, with nothing loaded.
        context_length: the window that there must be room for; see ``memory_need``.
        limits: what each place may take, in place of what is free.

    Raises:
        ModelError: it would have to be split, and cannot be.
    """
    if limits is not None:
        return Placement(device=None, limits=dict(limits))
    if shape is None or device.type == "mps":
        return Placement(device=device)
    one = msgspec.structs.replace(hardware, gpus=())
    if device.type == "cuda":
        one = msgspec.structs.replace(hardware, gpus=(hardware.gpus[device.index or 0],))
    # The libraries are in memory already.
    if fit(shape, precision, one, context_length, RUNTIME_BYTES).verdict == "fits":
        return Placement(device=device)
    need = memory_need(shape, precision, context_length, on_cpu=one.is_cpu)
    reserved = need.cache + need.overhead
    room: dict[int | str, int] = {
        index: max(gpu.free_bytes - reserved // len(hardware.gpus), 0)
        for index, gpu in enumerate(hardware.gpus)
    }
    work = need.overhead - RUNTIME_BYTES
    room["cpu"] = int(RAM_SHARE * max(hardware.ram.free_bytes - work, 0))
    if device.type == "cpu" and need.weights <= room["cpu"]:
        return Placement(device=device)  # the window is too long, not the model too large
    if device.type == "cpu" and precision in ("8-bit", "4-bit"):
        raise ModelError(
            f"In {precision} a model has to fit into RAM whole; in bf16 it can be split between "
            "RAM and the disk, which is very slow."
        )
    return Placement(device=None, limits=room)


def shares(bytes_by_device: Mapping[str, int]) -> tuple[DeviceShare, ...]:
    """Where the weights lie now, for the user."""
    return tuple(
        DeviceShare(device=device, num_bytes=size) for device, size in bytes_by_device.items()
    )


def _offload_folder() -> Path:
    """A new folder for what fits in no memory.

    Those of processes that are gone, and of the model before, are deleted: an engine has no
    last moment in which it could do so itself.
    """
    parent = paths.cache_dir() / "offload"
    parent.mkdir(parents=True, exist_ok=True)
    own = os.getpid()
    for folder in parent.iterdir():
        number = folder.name.partition("-")[0]
        is_used = number.isdecimal() and int(number) != own and psutil.pid_exists(int(number))
        if not is_used:
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{own}-", dir=parent))
