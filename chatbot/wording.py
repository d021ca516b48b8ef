"""Counts, times and sizes as people read them. Knows nothing of what is there."""


def counted(number: int, noun: str) -> str:
    """So many of something: ``1 token``, ``1,024 tokens``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """As exact as an estimate deserves: ``12 s``, ``3 min``, ``2.1 h``."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def elapsed(seconds: float) -> str:
    """What was measured: ``28 ms``, ``1.25 s``, ``19.2 s``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"


def size(num_bytes: float) -> str:
    """Of files, and of what is sent: ``177 B``, ``820 kB``, ``1.2 MB``, ``370 MB``, ``15.2 GB``."""
    for unit in ("B", "kB"):
        if round(num_bytes) < 1000:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1000
    if round(num_bytes) >= 1000:
        return f"{num_bytes / 1000:.1f} GB"
    return f"{num_bytes:.1f} MB" if num_bytes < 99.95 else f"{num_bytes:.0f} MB"


def memory(num_bytes: float) -> str:
    """Of memory, which is counted in powers of two, and of limits: ``32 KiB``, ``515 MiB``,
    ``15.0 GiB``.
    """
    for unit in ("B", "KiB", "MiB"):
        if round(num_bytes) < 1024:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} GiB"


def parameters(number: int) -> str:
    """How large a model is, as the names of models say it: ``135M``, ``7.62B``, ``1.03T``."""
    for scale, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= 0.9995 * scale:
            return f"{number / scale:.3g}{unit}"
    return f"{number / 1e3:.3g}K"
