"""How much memory is free here: on the GPUs, and in RAM. Asks the system, never torch.

What a container may use counts, not what its machine has.
"""

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec

from chatbot.terminal_text import clean_line

SMI_SECONDS: Final = 5.0
"""How long ``nvidia-smi`` may take; a hanging driver must not hang the program."""

_CGROUP: Final = Path("/sys/fs/cgroup")
_DRM: Final = Path("/sys/class/drm")
_CPU: Final = Path("/proc/cpuinfo")
_BF16_FLAGS: Final = ({"avx512f", "avx512bw", "avx512dq", "avx512vl"}, {"asimd", "bf16"})
"""Instructions with which oneDNN multiplies it: of x86 processors, and of Arm's."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One place that weights can lie in."""

    kind: Literal["cuda", "rocm", "mps", "cpu"]
    name: str
    free_bytes: int
    total_bytes: int
    multiplies_bf16: bool = False
    """Of RAM: whether its processor has products in bf16."""


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine has for models."""

    gpus: tuple[Device, ...]
    ram: Device

    @property
    def main(self) -> Device:
        """Where a model is loaded that fits: the GPU with most room, else RAM."""
        return max(self.gpus, key=lambda gpu: gpu.free_bytes, default=self.ram)

    @property
    def is_cpu(self) -> bool:
        """Whether a processor has the weights of a model that is loaded."""
        return not self.gpus

    @property
    def free_bytes(self) -> int:
        """Room for one model: of all GPUs together, else of RAM."""
        return sum(gpu.free_bytes for gpu in self.gpus) or self.ram.free_bytes


def look() -> Hardware:
    """What there is now; takes some 50 ms where ``nvidia-smi`` has to be asked."""
    ram = _ram()
    gpus = _nvidia() or _amd()
    if not gpus and sys.platform == "darwin":  # one memory for both
        gpus = (
            Device(
                kind="mps",
                name="Apple GPU",
                free_bytes=ram.free_bytes,
                total_bytes=ram.total_bytes,
            ),
        )
    return Hardware(gpus=gpus, ram=ram)


def parse_smi(text: str) -> tuple[Device, ...]:
    """The GPUs in the output of ``nvidia-smi``: name, free and total MiB, one a line."""
    gpus = []
    for line in text.splitlines():
        name, _, sizes = line.partition(",")
        free, _, total = sizes.partition(",")
        if free.strip().isdecimal() and total.strip().isdecimal():
            gpus.append(
                Device(
                    kind="cuda",
                    name=clean_line(name),
                    free_bytes=int(free) * 2**20,
                    total_bytes=int(total) * 2**20,
                )
            )
    return tuple(gpus)


def _nvidia() -> tuple[Device, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = ["--query-gpu=name,memory.free,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            [program, *query], capture_output=True, text=True, timeout=SMI_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_smi(done.stdout)


def _amd() -> tuple[Device, ...]:
    gpus = []
    for folder in sorted(_DRM.glob("card[0-9]*/device")):
        try:
            total = int((folder / "mem_info_vram_total").read_text())
            used = int((folder / "mem_info_vram_used").read_text())
        except (OSError, ValueError):
            continue
        if total > 2**30:  # less is the part of a processor that draws the screen
            gpus.append(
                Device(kind="rocm", name="AMD GPU", free_bytes=total - used, total_bytes=total)
            )
    return tuple(gpus)


def _ram() -> Device:
    import psutil  # only here: the first frame has no use for it

    memory = psutil.virtual_memory()
    free, total = memory.available, memory.total
    limit, used = _number(_CGROUP / "memory.max"), _number(_CGROUP / "memory.current")
    if limit is not None and used is not None and limit < total:
        # Of what counts as used, the cache of files is given back when it is needed.
        reclaimable = _stat("inactive_file")
        total, free = limit, min(free, max(limit - used + reclaimable, 0))
    return Device(
        kind="cpu",
        name="RAM",
        free_bytes=free,
        total_bytes=total,
        multiplies_bf16=_has_any(_BF16_FLAGS),
    )


@functools.cache
def _cpu_facts() -> str:
    try:
        return _CPU.read_text("ascii", "replace")
    except OSError:
        return ""


def _has_any(kinds: Iterable[set[str]]) -> bool:
    """Whether the processor has all instructions of one of ``kinds``."""
    return any(wanted <= _cpu_flags() for wanted in kinds)


@functools.cache
def _cpu_flags() -> frozenset[str]:
    """Of the first processor; the others are like it."""
    lines = _cpu_facts().splitlines()
    flags = (line for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(flags, "").split())


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # "max" where there is no limit
        return None


def _stat(name: str) -> int:
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)
